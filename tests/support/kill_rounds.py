"""kill -9 of the web process, the worker, a service process or all of them at random moments, again and again on one
folder, and what was there afterwards beside what had been done. No pytest: benchmarks/kill.py uses it too.

The web process is `kill_web`; worker, scoring, import and experiment processes are the lab's own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tests.support.kill_web import CONFIGS, KINDS, ROWS, prepare
from tests.support.kills import assert_same_run
from tests.support.waiting import PATIENCE
from vimpo_core.experiment import results
from vimpo_core.files import write_whole
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT, child_environment
from vimpo_core.runs import backup, worker
from vimpo_core.runs.folder import QUEUE_NAME, WORKER_LOCK_NAME, RunsDir
from vimpo_core.runs.locks import is_held
from vimpo_core.runs.store import CLASS_NAME, LOCK_NAME, RunStore
from vimpo_core.service.classroom import Classroom
from vimpo_core.types import RunState

WHO = ("web", "worker", "scoring", "all")
LONGEST_LIFE = 1.5
"""Seconds after the sign that a kill waits for: for a lock, a step, an act, a question that is being worked on."""
LONGEST_WAIT = 180.0
"""Seconds for what has to come on a busy machine; what does not come is a fault."""
_LOOK_SECONDS = 0.005
_JOURNAL = "journal-"
_MARK = "VIMPO_KILL_FOLDER"
"""Environment variable by which the processes of a folder are known."""


@dataclass
class Row:
    """What came of the kills of one kind of job and one kind of process."""

    kills: int = 0
    at_work: int = 0
    lost_steps: int = 0
    lost_acts: int = 0
    unclean: int = 0


@dataclass
class Tally:
    """All that a run of rounds has found so far, and what it goes on with."""

    seed: int
    rounds: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    acts: int = 0
    answers: int = 0
    cpu_seconds: float = 0.0
    possible: dict[str, list] = field(default_factory=dict)
    """What an act was about -> what may be there: what was done last, and what was begun since."""
    first_answers: dict[str, object] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """The jobs of the queue, as they stood last."""
    read: dict[str, int] = field(default_factory=dict)
    """Journal of a web process -> how many bytes of it were taken in."""

    @property
    def is_clean(self) -> bool:
        return not self.faults

    def save(self, folder: Path) -> None:
        write_whole(folder / "tally.json", json.dumps(asdict(self)))

    @classmethod
    def of(cls, folder: Path, seed: int) -> Tally:
        """What is in the folder, or a new one. Raises ValueError where it was begun with another seed."""
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads((folder / "tally.json").read_text(encoding="utf-8"))
            if kept["seed"] != seed:
                raise ValueError(f"{folder} was begun with seed {kept['seed']}, got {seed}. Use that, or a new folder.")
            return cls(**{**kept, "rows": {name: Row(**row) for name, row in kept["rows"].items()}})
        return cls(seed)

    def news(self, journal: Path) -> list[dict]:
        """The whole lines that were written into a journal since, taken in."""
        found: list[dict] = []
        with contextlib.suppress(FileNotFoundError), open(journal, "rb") as file:
            file.seek(self.read.get(journal.name, 0))
            for line in itertools.takewhile(lambda line: line.endswith(b"\n"), file):
                self.read[journal.name] = self.read.get(journal.name, 0) + len(line)
                found.append(json.loads(line))
        for said in found:
            self._take(said)
        return found

    def close(self, journal: Path) -> None:
        """Take in the rest of a journal that nobody writes any more, and remove it."""
        self.news(journal)
        journal.unlink(missing_ok=True)
        self.read.pop(journal.name, None)

    def _take(self, said: dict) -> None:
        if "begin" in said:
            self.possible.setdefault("\t".join(said["begin"]), [None]).append(said["value"])
        if "done" in said:
            self.possible["\t".join(said["done"])] = [said["value"]]
            self.acts += 1
        if "answer" in said:
            *of, value = said["value"]
            first = self.first_answers.setdefault("\t".join(of), value)
            self.answers += 1
            if first != value:
                self.faults.append(f"the answer to {of} is another one than before")
        if "bug" in said:
            self.faults.append(f"a session of the web process ended: {said['bug']}")


class Life:
    """One web process, from its start to its death, and what it wrote down."""

    def __init__(self, folder: Path, seed: int, tally: Tally):
        self._journal, self._tally = folder / f"{_JOURNAL}{time.time_ns()}", tally
        self._log = open(folder / "web.log", "ab")  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kill_web", folder, self._journal, str(seed)],
            cwd=ROOT,
            env=child_environment() | {_MARK: str(folder)},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            text=True,
        )
        self.signs: dict[str, int] = {}
        """How often each kind of line was written."""
        self.failures: list[str] = []

    def say(self, word: str) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()

    def read(self) -> None:
        """Take in what was written since."""
        for said in self._tally.news(self._journal):
            for word in ("begin", "done", "asked", "answer", "failed", "held", "started", "bug"):
                self.signs[word] = self.signs.get(word, 0) + (word in said)
            if "failed" in said:
                self.failures.append(said["value"])

    def close(self) -> None:
        self.process.wait()
        self._log.close()
        self.read()
        self._tally.close(self._journal)


def run_rounds(
    folder: Path,
    rounds: int,
    kinds: tuple[str, ...] = KINDS,
    seed: int = 0,
    told: Callable[[str], None] = lambda said: None,
) -> Tally:
    """Kill in so many rounds in all, those before an interruption included, and let everything come to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    tally = Tally.of(folder, seed)
    if not (folder / "runs").exists():
        prepare(folder)
    runs, life = RunsDir(folder / "runs"), None
    _kill_all(folder)  # of rounds that were broken off, which had done more than they had counted
    for left in sorted(folder.glob(f"{_JOURNAL}*")):
        tally.close(left)
    try:
        while tally.rounds < rounds:
            number = tally.rounds
            chance = random.Random(f"{seed}/{number}")
            kind, who = _turn(kinds, seed, number)
            if life is None:
                life = Life(folder, chance.randrange(10**6), tally)
            faults = len(tally.faults)
            told(f"round {number}: {kind}, {who}")
            life = _round(folder, runs, life, kind, who, chance, tally)
            tally.rounds += 1
            tally.save(folder)
            for fault in tally.faults[faults:]:
                told(f"round {number}, {kind}, {who}: {fault}")
        _end(folder, runs, life or Life(folder, seed, tally), tally)
        tally.save(folder)
    finally:
        _kill_all(folder)
    return tally


def _kill_all(folder: Path) -> None:
    for process in {p.pid: p for p in _processes(folder)}.values():
        with contextlib.suppress(psutil.Error):
            process.kill()
            process.wait(LONGEST_WAIT)


# ---- one round


def _turn(kinds: tuple[str, ...], seed: int, number: int) -> tuple[str, str]:
    """Every kind with every process once, in random order, then again in another one."""
    turns = list(itertools.product(kinds, WHO))
    block, at = divmod(number, len(turns))
    random.Random(f"{seed}/{block}").shuffle(turns)
    return turns[at]


def _round(folder, runs, life: Life, kind: str, who: str, chance, tally: Tally) -> Life | None:
    """Returns the web process where it lives on."""
    row = tally.rows.setdefault(f"{kind}, {who}", Row())
    try:
        _wait(lambda: _told(life, "started"), life)
        life.say(kind)
        _until_a_moment(runs, life, kind, who, chance)
    except TimeoutError:
        tally.faults.append("the web process does not begin, or ended by itself: web.log says why")
        life.process.kill()
        life.close()
        return None
    seen = _steps(runs)
    victims = _victims(folder, life, who)
    row.kills += 1
    row.at_work += bool(victims)
    tally.cpu_seconds += _cpu(victims)
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.wait(LONGEST_WAIT)
    is_web = who in ("web", "all")
    faults: list[str] = []
    if is_web:
        life.close()
        with contextlib.suppress(TimeoutError):
            _wait(lambda: not [p for p in _processes(folder) if not _is_worker(p)], None, 30)
        faults += [f"{_named(p)} lives on after its web process" for p in _processes(folder) if not _is_worker(p)]
    else:
        life.say("hold")
        held = life.signs.get("held", 0)
        _wait(lambda: _told(life, "held", held), life)
    lost = _lost_steps(runs, seen)
    gone = _lost_acts(folder, runs, tally)
    faults += _unclean(folder, runs, tally)
    row.lost_steps += len(lost)
    row.lost_acts += len(gone)
    row.unclean += bool(faults)
    tally.faults += lost + gone + faults
    if is_web:
        return None
    life.say("go")
    life.say("resume")
    if who == "scoring":  # the next question is answered by a new process
        answered = life.signs.get("answer", 0)
        try:
            _wait(lambda: _told(life, "answer", answered), life)
        except TimeoutError:
            tally.faults.append(f"no answer after the kill: {life.failures[-1:]}")
    return life


def _until_a_moment(runs: RunsDir, life: Life, kind: str, who: str, chance) -> None:
    """Wait for one of the signs, then for a random time."""
    asked, acts, answers = (life.signs.get(word, 0) for word in ("asked", "done", "answer"))
    steps = _steps(runs)
    signs = {
        "act": lambda: _told(life, "done", acts),
        "worker": runs.has_worker,
        "step": lambda: _steps(runs) != steps,
        "asked": lambda: _told(life, "asked", asked),
        "answer": lambda: _told(life, "answer", answers),
    }
    fitting = {"worker": ("worker", "step", "step"), "scoring": ("asked", "answer")}.get(who, tuple(signs))
    sign = chance.choice(fitting)
    with contextlib.suppress(TimeoutError):
        _wait(signs[sign], life, 60)
    end = time.monotonic() + chance.uniform(0, LONGEST_LIFE)
    if who == "scoring":
        with contextlib.suppress(TimeoutError):
            _wait(lambda: _services(life), life, 60)
    while time.monotonic() < end:
        life.read()
        time.sleep(_LOOK_SECONDS)


def _wait(condition, life: Life | None, seconds: float = LONGEST_WAIT):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end or (life is not None and life.process.poll() is not None):
            raise TimeoutError("waited in vain")
        if life is not None:
            life.read()
        time.sleep(_LOOK_SECONDS)
    return found


def _told(life: Life, word: str, before: int = 0) -> bool:
    life.read()
    return life.signs.get(word, 0) > before


# ---- processes


def _processes(folder: Path) -> Iterator[psutil.Process]:
    """All that work in this folder: the web process, its services, the worker, experiments."""
    for process in psutil.process_iter(["environ"]):
        with contextlib.suppress(psutil.Error):
            is_here = (process.info["environ"] or {}).get(_MARK) == str(folder)
            if is_here and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "vimpo_core.runs.worker" in process.cmdline()
    return False


def _named(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())[-80:]
    return "a process"


def _services(life: Life) -> list[psutil.Process]:
    """Processes below the web process that answer: scoring, import, an experiment's."""
    return _below(life, "multiprocessing.spawn")


def _below(life: Life, word: str) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(life.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if word in " ".join(process.cmdline()):
                    found.append(process)
    return found


def _victims(folder: Path, life: Life, who: str) -> list[psutil.Process]:
    """An experiment's command, which has no page, counts as a web process."""
    web = [psutil.Process(life.process.pid), *_below(life, "vimpo_core experiment")]
    services, workers = _services(life), [p for p in _processes(folder) if _is_worker(p)]
    return {"web": web, "worker": workers, "scoring": services, "all": [*web, *services, *workers]}[who]


def _cpu(processes) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


# ---- what is there


def _steps(runs: RunsDir) -> dict[str, int]:
    """How far each run is, where it has a step."""
    found = {}
    for run_id in runs._run_ids():
        with contextlib.suppress(Mistake):
            step = RunStore.open(runs.path / run_id).last_step()
            if step is not None:
                found[run_id] = step
    return found


def _lost_steps(runs: RunsDir, seen: dict[str, int]) -> list[str]:
    faults = []
    for run_id, step in seen.items():
        if run_id.startswith("binned"):
            continue
        try:
            kept = {row["step"] for row in RunStore.open(runs.path / run_id).metrics()}
        except Mistake as error:
            faults.append(f"run {run_id} with {step} steps: {error}")
            continue
        missing = set(range(max(step, *kept) + 1)) - kept
        faults += [f"run {run_id} lost step {one}" for one in sorted(missing)]
    return faults


def _lost_acts(folder: Path, runs: RunsDir, tally: Tally) -> list[str]:
    """Acts that were done and are not there; what is there is what may be there from now on."""
    faults = []
    there = _there(folder, runs)
    for key, possible in tally.possible.items():
        what, of = key.split("\t")
        if what in ("brought", "rescored", "backup") and of not in there[what] and what == "backup":
            continue  # older ones were removed
        actual = there[what].get(of)
        if actual not in possible:
            faults.append(f"{what} of {of} is {actual!r}, not one of {possible}")
        elif len(possible) > 1:
            tally.possible[key] = [actual]
    return faults


def _there(folder: Path, runs: RunsDir) -> dict[str, dict]:
    room = Classroom(runs.path)
    rows = room.hand_in_rows()
    listed = {run.run_id: run for run in runs.list()}
    tags = {f"{run.run_id}/{tag.split()[0]}": tag for run in listed.values() for tag in run.tags}
    return {
        "hand_in": {question: choice for chapter, question, _, choice, _ in rows if chapter == "chapter"},
        "name": runs.queue.names(),
        "tag": tags,
        "phase": room.phases(),
        "bin": {entry.run_id: True for entry in runs.bin.entries()} | dict.fromkeys(listed, False),
        "job": {job.job_id: True for job in runs.jobs()},
        "member": _Members(room),
        "brought": _counted(runs, lambda store: sum(len(store.traces(step)) for step in store.trace_steps())),
        "rescored": _counted(runs, lambda store: sum(note["rows"] for note in store.rescored())),
        "backup": {file.name: True for file in (folder / "backups").glob("*.zip")},
    }


class _Members(dict):
    def __init__(self, room: Classroom):
        super().__init__()
        self._room = room

    def get(self, token, default=None):
        return self._room.member(token) is not None


def _counted(runs: RunsDir, count) -> dict[str, int]:
    imported = [run.run_id for run in runs.list() if run.imported]
    return {run_id: count(RunStore.open(runs.path / run_id)) for run_id in imported}


def _unclean(folder: Path, runs: RunsDir, tally: Tally) -> list[str]:
    """What a start would find: locks of the dead, runs that seem to train, halves of files, another order."""
    faults = [f"folder {name} is shown as no run" for name in runs.others()]
    has_worker = runs.has_worker()
    jobs = runs.jobs()
    for run in runs.list():
        if not run.algorithm:
            faults.append(f"run {run.run_id} cannot be read: {run.message}")
        if run.state in (RunState.RUNNING, RunState.PAUSED) and not has_worker and not runs.has_worker():
            faults.append(f"run {run.run_id} says {run.state} and nobody trains")
        if "is missing" in run.message:
            faults.append(f"run {run.run_id}: {run.message}")
        if run.imported and not str(run.run_id).startswith("kept"):
            count = _counted_rows(runs, run.run_id)
            if count != ROWS:
                faults.append(f"run {run.run_id} was brought with {count} of {ROWS} solutions")
    if not _is_worker_alive(folder):
        held = [p for p in (runs.path / WORKER_LOCK_NAME, *runs.path.glob(f"*/{LOCK_NAME}")) if is_held(p)]
        faults += [f"{path.parent.name}/{path.name} is held by nobody" for path in held]
    order = [job.job_id for job in jobs]
    if order[: len(tally.order)] != tally.order:
        faults.append(f"the queue is in another order: {order}, not {tally.order} first")
    tally.order = order
    faults += _damaged(runs)
    for file in (folder / "backups").glob("*.zip"):
        with zipfile.ZipFile(file) as packed:
            if packed.testzip() or backup.MANIFEST not in packed.namelist():
                faults.append(f"backup {file.name} is no whole one")
    for file in (folder / "experiments").glob(f"*/runs/*/{results.RESULT_NAME}"):
        json.loads(file.read_text(encoding="utf-8"))
    return faults


def _counted_rows(runs: RunsDir, run_id: str) -> int:
    store = RunStore.open(runs.path / run_id)
    return sum(len(store.traces(step, as_recorded=True)) for step in store.trace_steps())


def _is_worker_alive(folder: Path) -> bool:
    return any(_is_worker(process) for process in _processes(folder))


def _damaged(runs: RunsDir) -> list[str]:
    faults = []
    for path in (runs.path / QUEUE_NAME, runs.path / CLASS_NAME):
        with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if said != "ok":
            faults.append(f"{path.name}: {said}")
    for run in runs.list()[:8]:
        try:
            RunStore.open(runs.path / run.run_id).check()
        except Mistake as error:
            faults.append(str(error))
    return faults


# ---- the end


def _end(folder: Path, runs: RunsDir, life: Life, tally: Tally) -> None:
    """Let the queue run empty and compare every run with one that nobody disturbed."""
    _wait(lambda: _told(life, "started"), life)
    life.say("")
    life.say("hold")
    held = life.signs.get("held", 0)
    _wait(lambda: _told(life, "held", held), life)
    life.say("resume")

    def is_over() -> bool:
        return not runs.has_worker() and not runs.queue.has_waiting()

    with contextlib.suppress(TimeoutError):
        _wait(is_over, life, 20 * LONGEST_WAIT)
    gone = _lost_acts(folder, runs, tally) + _unclean(folder, runs, tally)
    for process in (*_services(life), psutil.Process(life.process.pid)):
        tally.cpu_seconds += _cpu([process])
        with contextlib.suppress(psutil.Error):
            process.kill()
    life.close()
    undisturbed = RunsDir(folder / "undisturbed")
    shutil.rmtree(undisturbed.path, ignore_errors=True)
    undisturbed.submit(CONFIGS)
    worker.main(undisturbed.path)
    right = {run.algorithm: undisturbed.open(run.run_id) for run in undisturbed.list()}
    trained = [run for run in runs.list() if run.config in CONFIGS and not run.imported]
    for run in trained:
        try:
            if run.state != RunState.FINISHED:
                raise AssertionError(f"it is {run.state}: {run.message}")
            assert_same_run(runs.open(run.run_id), right[run.algorithm])
        except AssertionError as error:
            gone.append(f"run {run.run_id} differs from an undisturbed one: {error}")
    gone += _experiments(folder)
    tally.faults += gone
    tally.first_answers["trained"] = len(trained)


def _experiments(folder: Path) -> list[str]:
    """Experiments that ended have the same outcomes."""
    found: dict[str, set] = {}
    for file in sorted((folder / "experiments").glob(f"*/runs/*/{results.RESULT_NAME}")):
        result = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault(file.parent.name, set()).add(json.dumps([result["sampled"], result["greedy"]]))
    return [f"experiment run {name} has {len(seen)} outcomes" for name, seen in found.items() if len(seen) > 1]
