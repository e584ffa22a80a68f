"""VIMPO Lab's library: train, score and question token-level credit. Never imports Streamlit.

Importing this package imports no torch; modules that need it (models, sampler, scores, trainer) say so.
"""

__version__ = "0.2.0.dev0"
"""The one place of it: the package's metadata, the command line and what the lab writes read it here."""
