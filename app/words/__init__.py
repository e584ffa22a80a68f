"""Sentences worked out from numbers, and the words of the lab: teaching text stands here, not in the core."""
