"""Hypothesis without a time limit an example (the machine may be busy) and with the same examples every time."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
