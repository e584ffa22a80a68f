"""VIMPO Lab's library: train, score and question token-level credit. Never imports Streamlit.

Importing this package imports no torch; modules that need it (models, sampler, scores, trainer) say so.
"""
