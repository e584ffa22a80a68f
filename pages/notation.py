"""Notation: every symbol with its anchor, the paper's claims beside what this lab measures, how to cite."""

from app.course import notation

notation.notation()
