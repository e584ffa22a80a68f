"""Runs on disk: one folder and one SQLite file each, the queue, the worker that trains them, forks, locks and the
bin.
"""

from vimpo_core.runs.folder import RunsDir

__all__ = ["RunsDir"]
