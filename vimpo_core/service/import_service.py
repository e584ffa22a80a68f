"""Runs of other tools, looked at and brought in: in a process of its own, with limits, that reads the files and writes
the run. The web process never opens what somebody brought.

    survey = ask_survey(brought).result()               the first table; nothing is written
    run_id = ask_import(runs_dir, brought).result()     the run, whole or not at all

`brought` is a list of (path, name): a file or folder of this machine, and what it is called on the page. Both return a
future, take `timeout`, `progress`, `asker` and `is_wanted` as `HelperProcess.ask` does, and raise Mistake, one
sentence, through it; its `cancel()` kills the work.
"""

from __future__ import annotations

import functools
import secrets
import shutil
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLong
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vimpo_core.formats.incoming import limits
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import HIDDEN
from vimpo_core.service.helper_process import ENDED, HelperProcess
from vimpo_core.service.progress import Progress

if TYPE_CHECKING:
    from vimpo_core.formats.incoming.adapters import Adapter
    from vimpo_core.formats.incoming.recognise import Recognised

Brought = Sequence[tuple[str, str]]


@functools.lru_cache(maxsize=1)
def import_process() -> HelperProcess:
    """The process, a new one each time something is brought."""
    return HelperProcess(prepare=limits.apply, is_fresh=True)


def ask_survey(
    brought: Brought,
    runs_dir: Path | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    is_handed_over: bool = False,
    **who: Any,
) -> Future:
    """The first table of what was brought (`formats.incoming.survey`), with "already": the run of `runs_dir` that was
    made of the same files, or "". is_handed_over: nobody knows where it lay, so adapters in it are kept with the run.
    """
    return import_process().ask(
        survey,
        list(brought),
        runs_dir,
        is_handed_over,
        timeout=timeout or limits.WALL_SECONDS,
        progress=progress or Progress(),
        **who,
    )


def ask_import(
    runs_dir: Path,
    brought: Brought,
    name: str = "",
    folder: Path | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    is_handed_over: bool = False,
    **who: Any,
) -> Future:
    """The id of the run that was made of what was brought. name: what to call it, "" for a name by itself; folder:
    where its files lie on this machine, where they were not handed over; is_handed_over: see `ask_survey`."""
    hidden = runs_dir / f"{HIDDEN}{secrets.token_hex(8)}"
    future = import_process().ask(
        bring,
        list(brought),
        runs_dir,
        hidden,
        name,
        folder,
        is_handed_over,
        timeout=timeout or limits.WALL_SECONDS,
        progress=progress or Progress(),
        **who,
    )
    future.add_done_callback(lambda _: shutil.rmtree(hidden, ignore_errors=True))
    return future


def outcome(future: Future) -> Any:
    """What a future of the above gives, with a limit that was met as a sentence. Raises Mistake or OSError."""
    try:
        return future.result()
    except (*ENDED, TooLong) as error:
        raise limits.too_much() from error


# ---- in the process


def survey(brought: Brought, runs_dir: Path | None, is_handed_over: bool, progress: Progress) -> dict[str, Any]:
    from vimpo_core.formats.incoming import assemble

    with _within_memory():
        recognised, adapters = _recognised(brought, is_handed_over)
        found = assemble.survey(recognised, progress.tell, adapters)
        found["already"] = _already(runs_dir, recognised.fingerprint) if runs_dir else ""
        return found


def bring(
    brought: Brought,
    runs_dir: Path,
    hidden: Path,
    name: str,
    folder: Path | None,
    is_handed_over: bool,
    progress: Progress,
) -> str:
    from vimpo_core.formats.incoming import assemble
    from vimpo_core.runs.folder import RunsDir

    with _within_memory():
        recognised, adapters = _recognised(brought, is_handed_over)
        if already := _already(runs_dir, recognised.fingerprint):
            raise Mistake(
                f"the same files were brought before: they are run {already}. Open it, or delete it to bring them anew."
            )
        run_dir = RunsDir(runs_dir).place(assemble.slug(recognised))
        return assemble.import_run(recognised, run_dir, name, progress.tell, folder, hidden, adapters).run_id


class _within_memory:
    """Turns the end of memory into a sentence."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and (issubclass(kind, MemoryError) or kind.__name__ == "ArrowMemoryError"):
            raise limits.too_much() from error


def _recognised(brought: Brought, is_handed_over: bool) -> tuple[Recognised, list[Adapter]]:
    from vimpo_core.formats.incoming import adapters
    from vimpo_core.formats.incoming.recognise import recognise

    if not is_handed_over:
        return recognise(_paths(brought)), []
    handed = adapters.apart(_paths(brought))
    recognised = recognise(handed.others)
    left = {**handed.refused, **recognised.left_alone}
    if "models" in left:
        left["models"] = (
            "Other files of models and checkpoints are not kept: of a dropped folder adapters alone are. To re-score "
            "with a whole model, type the path of its folder."
        )
    return replace(recognised, left_alone=left), handed.adapters


def _paths(brought: Brought) -> list[tuple[Path, str]]:
    return [(Path(path), name) for path, name in brought]


def _already(runs_dir: Path, fingerprint: str) -> str:
    from vimpo_core.runs.folder import RunsDir

    runs = RunsDir(runs_dir, read_only=True).list()
    return next((run.run_id for run in runs if (run.imported or {}).get("fingerprint") == fingerprint), "")
