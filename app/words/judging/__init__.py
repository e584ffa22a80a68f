"""Judges of single metrics: (value, settings, rows so far) -> what to make of it, in one or two sentences."""
