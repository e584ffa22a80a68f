"""Whole runs as files for other tools, and for this lab again."""
