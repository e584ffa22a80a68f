"""Answers that need torch, given by a killable process of their own, so that the web process never imports it."""

from vimpo_core.service.scoring import score_solution  # generated code imports it from here

__all__ = ["score_solution"]
