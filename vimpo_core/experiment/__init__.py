"""Declared experiments: a grid of training runs, tuned on validation problems, measured on test problems, reported.

plan reads the TOML file; runner trains what it asks for; results is what a run leaves behind; estimates
works out means and intervals; tables puts the numbers together; report, figures and page write them down.
"""
