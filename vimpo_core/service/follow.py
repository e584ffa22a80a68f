"""A run that another tool is training, followed: new steps of its folder are taken in as they appear.

    follow(runs_dir, folder)         in this process, until it is stopped; the command line's `import --follow`
    start(runs_dir, folder)          in a process of its own that outlives this one; what a page calls
    stop(store)                      ask whoever follows a run to end

Two kinds of folders: those of this lab's writer (and prime-rl's), a folder a step, which is read once its STABLE file
is there; and loose files, one a step (TRL's completions, verl's rollouts), which are read once they have stopped
growing. An output folder that holds `traces` or `completions` will do. While it is followed the run's state is running;
then it is finished, with what is whole of steps that were not. A folder that was followed before goes on as the same
run.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vimpo_core import paths
from vimpo_core.formats.incoming import assemble, recognise
from vimpo_core.formats.incoming.opening import File
from vimpo_core.formats.incoming.recognise import SKIPPED, STABLE
from vimpo_core.formats.incoming.rows import Refusal
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.new_run import NewRun
from vimpo_core.runs.store import RunStore
from vimpo_core.types import CreditTrace, RunState, StepRecord, known

LOOK_SECONDS = 0.5
QUIET_SECONDS = 12 * 3600.0
"""After so long without a new step nobody is training any more."""
_STOP = "stop_following"
_INSIDE = ("traces", "completions")
_STEP = re.compile(r"step_(\d+)$")
Told = Callable[[str], None]


@dataclass
class Watch:
    """What is new in a folder. Everything of a step comes at once, and once."""

    folder: Path
    seen: set[str] = field(default_factory=set)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def new(self) -> Iterator[list[File]]:
        """The files of each step that has become whole since."""
        for step in sorted(self._steps(), key=lambda path: path.name):
            if step.name not in self.seen and (step / STABLE).exists():
                self.seen.add(step.name)
                yield self._files(step)
        for path in sorted(self._loose(), key=lambda path: recognise.natural(path.name)):
            stat = path.stat()
            now = stat.st_size, stat.st_mtime_ns
            if path.name not in self.seen and self.sizes.get(path.name) == now and _is_closed(path):
                self.seen.add(path.name)
                yield [File(path, path.name)]
            self.sizes[path.name] = now

    def rest(self) -> Iterator[list[File]]:
        """At the end: the files of steps that nobody marked."""
        for step in sorted(self._steps(), key=lambda path: path.name):
            if step.name not in self.seen:
                self.seen.add(step.name)
                yield self._files(step)
        for path in self._loose():
            if path.name not in self.seen and path.stat().st_size:
                self.seen.add(path.name)
                yield [File(path, path.name)]

    def _steps(self) -> list[Path]:
        return [path for path in self._entries() if path.is_dir() and _STEP.search(path.name)]

    def _loose(self) -> list[Path]:
        return [path for path in self._entries() if path.is_file() and path.suffix in (".parquet", ".jsonl")]

    def _entries(self) -> list[Path]:
        return [p for p in self.folder.iterdir() if not p.name.startswith(SKIPPED) and not p.is_symlink()]

    def _files(self, step: Path) -> list[File]:
        inside = sorted(path for path in step.iterdir() if path.is_file() and path.name != STABLE)
        return [File(path, f"{step.name}/{path.name}") for path in inside if not path.is_symlink()]


def _is_closed(path: Path) -> bool:
    """Whether a file ends as a whole one does."""
    end = b"PAR1" if path.suffix == ".parquet" else b"\n"
    with open(path, "rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return file.read().endswith(end)


def folder_of(given: Path) -> Path:
    """The folder to watch: the one given, or what of it holds the steps."""
    return next((given / name for name in _INSIDE if (given / name).is_dir()), given)


@dataclass
class Follower:
    """Takes in what `Watch` finds."""

    runs: RunsDir
    folder: Path
    name: str = ""
    told: Told = lambda said: None
    builder: assemble.Builder = field(default_factory=assemble.Builder)
    store: RunStore | None = None
    first: recognise.Recognised | None = None
    names: list[str] = field(default_factory=list)
    last_print: bytes = b""

    def take(self, of_step: list[File], is_whole: bool = True) -> None:
        """The rows of a step's files as a step of the run; rows that cannot be taken are counted."""
        try:
            found = recognise.recognise([(file.path, file.name) for file in of_step])
        except (Mistake, OSError) as error:
            self.builder.survey.refuse(Refusal(of_step[0].name, str(error)))
            return
        if self.first is None:
            self.first = found
            header = self.folder / "header.json"
            if header.is_file():
                self.first = recognise.recognise(
                    [(self.folder / f.name, f.name) for f in of_step] + [(header, header.name)]
                )
        self.names += [file.name for file in found.files]
        if not is_whole:
            self.builder.survey.notes.append(f"{of_step[0].name} was not finished: what is whole of it is kept.")
        by_step: dict[int, list[CreditTrace]] = {}
        for trace in assemble.read_rows(found, self.builder):
            by_step.setdefault(trace.step, []).append(trace)
        for step in sorted(by_step):
            self._commit(step, by_step[step])

    def _commit(self, step: int, traces: list[CreditTrace]) -> None:
        if step in self.builder.repeats():
            self.builder.forget(step)
        elif self.store is None:
            self._begin(traces)
        elif step <= known(self.store.last_step()):
            if step not in self.store.trace_steps():
                self.builder.survey.refuse(Refusal(f"step {step}", "its step came after a later one."))
        else:
            metrics = self.builder.survey.metrics()[step]
            self.store.commit_step(StepRecord(step, metrics, {}, with_means(traces), b""))
            self.told(f"step {step}: {len(traces)} solutions")

    def _begin(self, traces: list[CreditTrace]) -> None:
        recognised = known(self.first)
        found = assemble.described(recognised, self.builder)
        settings = assemble.settings_of(recognised, self.builder)
        header = assemble.header_of(recognised, found, settings, self.name or found["name"])
        header["imported"] |= {"folder": str(self.folder), "follows": True}
        with NewRun(self.runs.place(assemble.slug(recognised))) as new:
            for trace in traces:
                new.add(trace)
            made = new.finish(settings.config, header, self.builder.survey.metrics())
        self.store = self.runs.open_writable(made.run_id)
        self.told(f"run {made.run_id}, step {traces[0].step}: {len(traces)} solutions")

    def describe(self, follows: bool) -> None:
        """The first table, as it is by now, into the run's header."""
        store = known(self.store)
        recognised = known(self.first)
        found = assemble.described(recognised, self.builder) | assemble.names_of(self.names)
        imported = known(store.imported()) | {
            "survey": found,
            "files": found["files"],
            "sources": found["arrays"],
            "follows": follows,
            "notes": found["notes"],
        }
        store.grow(max(1, known(store.last_step())), {"imported": imported})


def with_means(traces: list[CreditTrace]) -> list[CreditTrace]:
    """Traces of a step with the mean reward of their groups."""
    rewards: dict[int, list[float]] = {}
    for trace in traces:
        if not math.isnan(trace.reward):
            rewards.setdefault(trace.group_id, []).append(trace.reward)
    means = {group: sum(paid) / len(paid) for group, paid in rewards.items()}
    return [t.with_(group_mean_reward=means.get(t.group_id, math.nan)) for t in traces]


def follow(
    runs_dir: Path,
    given: Path,
    name: str = "",
    told: Told = lambda said: None,
    is_over: Callable[[], bool] = lambda: False,
) -> str:
    """Follow a folder until `is_over()`, until it is asked to stop (`stop`, Ctrl-C), or nothing new comes for long.

    Returns the run's id. Raises Mistake where the folder is not there, is followed already, or held nothing in the end.
    """
    folder = folder_of(given.absolute())
    if not folder.is_dir():
        raise Mistake(f"{str(given)[:200]!r} is no folder. Give the folder that the run writes into.")
    runs = RunsDir(runs_dir)
    follower, watch = Follower(runs, folder, name, told, store=_before(runs, folder)), Watch(folder)
    with contextlib.ExitStack() as held:
        try:
            _watch(follower, watch, is_over, held)
        except KeyboardInterrupt:
            told("stopped")
        if follower.store is None:
            raise Mistake(
                f"nothing of a format that is known here came into {folder.name}. docs/bring_a_run.md lists them."
            )
        _end(follower, watch)
        return follower.store.run_id


def _watch(follower: Follower, watch: Watch, is_over: Callable[[], bool], held: contextlib.ExitStack) -> None:
    changed, has_lock = time.monotonic(), False
    while True:
        ends = is_over()  # whatever was there by then is taken in
        if not watch.seen:  # the folder of the steps may come after whoever waits for it
            follower.folder = watch.folder = folder_of(watch.folder)
        for of_step in watch.new():
            follower.take(of_step)
            changed = time.monotonic()
            if follower.store is not None:
                if not has_lock:
                    held.enter_context(follower.store.lock())
                    has_lock = True
                follower.describe(follows=True)
                follower.store.set_state(RunState.RUNNING)
        is_asked = follower.store is not None and follower.store.header().get(_STOP)
        is_quiet = time.monotonic() - changed > QUIET_SECONDS
        if ends or is_asked or is_quiet or not watch.folder.is_dir():
            return
        time.sleep(LOOK_SECONDS)


def _end(follower: Follower, watch: Watch) -> None:
    store = known(follower.store)
    if watch.folder.is_dir():
        for of_step in watch.rest():
            follower.take(of_step, is_whole=False)
    if follower.first is not None:
        follower.describe(follows=False)
    store.update_header({_STOP: False})
    store.set_state(RunState.FINISHED)
    store.close()


def _before(runs: RunsDir, folder: Path) -> RunStore | None:
    """The run as which this folder was followed before."""
    for run in runs.list():
        if run.imported and run.imported.get("folder") == str(folder) and "follows" in run.imported:
            if run.imported.get("fingerprint"):
                continue  # it was brought, not followed
            if run.state == RunState.RUNNING:
                raise Mistake(f"the folder {folder.name} is followed already: it is run {run.run_id}.")
            return runs.open_writable(run.run_id)
    return None


def stop(store: RunStore) -> None:
    """Ask whoever follows a run to end; it does within a second. The store is writable."""
    store.update_header({_STOP: True})


def start(runs_dir: Path, folder: Path, name: str = "") -> subprocess.Popen:
    """Follow a folder in a process that outlives this one. Its run appears with the first whole step."""
    command = [sys.executable, "-m", "vimpo_core", "import", str(folder), "--follow", "--runs-dir", str(runs_dir)]
    return subprocess.Popen(
        [*command, "--as", name] if name else command,
        env=paths.child_environment(),
        cwd=paths.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=True,
        start_new_session=True,
    )
