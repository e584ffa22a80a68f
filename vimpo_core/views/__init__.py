"""Payloads that the browser draws, each module named like the component that draws it. NumPy only."""

from vimpo_core.solutions.lenses import credit_of  # generated code says `views.credit_of`

__all__ = ["credit_of"]
