"""The demonstrations of the course, in killable processes of their own: the web process never imports torch.

One process answers presses of the levers within a fraction of a second, another reproduces failures by training for
some seconds: nobody's press waits behind a training. `cancel()` of a future kills its work; the next request starts
afresh.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from vimpo_core.labs.levers import Levers
from vimpo_core.service.helper_process import HelperProcess


class Told:
    """What a demonstration has measured so far: written line by line by its process, read in this one, gone when
    closed.
    """

    def __init__(self):
        handle, self._path = tempfile.mkstemp(prefix="vimpo-told-")
        os.close(handle)

    def tell(self, measured: dict) -> None:
        # "r+" makes no new file: one that was closed meanwhile, as nobody looks any more, stays gone.
        with suppress(OSError), open(self._path, "r+", encoding="ascii") as file:
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(measured) + "\n")

    def so_far(self) -> list[dict]:
        """Everything told, in order; [] after it was closed. A line that is being written is left for the next time."""
        try:
            text = Path(self._path).read_text(encoding="ascii")
        except OSError:
            return []
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def close(self) -> None:
        Path(self._path).unlink(missing_ok=True)


class LabService:
    """Two child processes, started when they are first needed. Safe to share between threads."""

    def __init__(self):
        self._levers, self._failures = HelperProcess(), HelperProcess()

    def warm_up_levers(self) -> Future:
        """Import torch, load the bundled model and sample the first batch ahead of the first press."""
        return self.press(Levers(), timeout=120)

    def warm_up_failures(self) -> Future:
        """Import torch and load the bundled model ahead of the first demonstration."""
        return self._failures.ask(_warm_up_failures, timeout=120)

    def press(self, asked: Levers, timeout: float = 30, **who: Any) -> Future:
        """The batch before and after the last of the presses. who: `asker` and `is_wanted` of `HelperProcess.ask`.

        Returns:
            A future of `levers.Pressed`. Its result raises Mistake (one sentence: no bundled model) or TimeoutError.
        """
        return self._levers.ask(_press, asked, timeout=timeout, **who)

    def reproduce(self, key: str, seed: int, told: Told, timeout: float = 90, **who: Any) -> Future:
        """Reproduce a failure by real training; `told` gets every point as it is measured.

        Args:
            key: of `failures.FAILURES`; seed: 0 or more. who: `asker` and `is_wanted` of `HelperProcess.ask`.

        Returns:
            A future of None. Its result raises Mistake (one sentence), Diverged or TimeoutError.
        """
        return self._failures.ask(_reproduce, key, seed, told, timeout=timeout, **who)

    def close(self) -> None:
        for pool in (self._levers, self._failures):
            pool.close()


@functools.lru_cache(maxsize=1)
def lab_service() -> LabService:
    """The process-wide service; its processes are started on first use."""
    return LabService()


def _press(asked):
    from vimpo_core.labs import lever_updates

    return lever_updates.press(asked)


def _reproduce(key, seed, told):
    from vimpo_core.labs import failure_runs

    failure_runs.reproduce(key, seed, told.tell)


def _warm_up_failures():
    from vimpo_core.labs import failure_runs

    failure_runs.warm_up()
