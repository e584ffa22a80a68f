"""What a web server does to its runs folder, without pages: a process that is there to be killed. No pytest.

    python -m tests.support.kill_web FOLDER JOURNAL SEED        (`kill_rounds` starts it)

Two sessions name runs, tag and note them, delete and bring back, hand in, move the class on, and queue jobs, all at
once, while a third asks for what the service processes give. Each act is written down before (`begin`) and after
(`done`): what is done must be there whatever is killed then. On standard input: a kind of `KINDS` to ask for, `hold`
(answered once no act is under way) and `go`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

from tests.support.real import small, solutions
from tests.support.waiting import PATIENCE
from vimpo_core.mistake import Mistake
from vimpo_core.paths import DEMOS, ROOT, child_environment
from vimpo_core.runs import backup
from vimpo_core.runs.folder import ACTIVE, RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import import_service, rescore, scoring
from vimpo_core.service.class_runs import ClassRuns
from vimpo_core.service.classroom import PHASES, Classroom
from vimpo_core.service.helper_process import ENDED
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.types import RunState

KINDS = ("training", "truth", "import", "experiment")
CONFIGS = [small(algorithm=algorithm, steps=24, snapshot_every=4) for algorithm in ("vimpo", "grpo")]
QUESTIONS = 4
ROWS = 40
SESSIONS = 2
PROMPT, SOLUTION = "9+2+9+7*6=", "9+2+9+42;11+9+42;20+42;62."
PLAN = """
name = "killed"
question = "Does it come back?"
steps = 6
test_prompts = 8
seeds = [100]
credit = {solutions = 2, rollouts = 2}
[base]
operands = 4
prompts_per_step = 3
group_size = 4
eval_prompts = 8
[[arm]]
name = "GRPO"
algorithm = "grpo"
[[arm]]
name = "VIMPO"
algorithm = "vimpo"
"""


class Journal:
    """What was begun and done, a line each; written by the system at once, so that no kill takes it back."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(self, **said) -> None:
        os.write(self._file, (json.dumps(said) + "\n").encode())

    def act(self, what: str, of: str, value, do) -> object:
        self.tell(begin=[what, of], value=value)
        found = do()
        self.tell(done=[what, of], value=value)
        return found


class Session(threading.Thread):
    """A reader who does something again and again, to runs and questions of their own."""

    def __init__(self, number: int, runs: RunsDir, room: Classroom, journal: Journal, chance: random.Random):
        super().__init__(daemon=True)
        self.turn = threading.Lock()
        self._number, self._runs, self._room, self._journal, self._chance = number, runs, room, journal, chance
        self._count = int(time.time() * 1000) % 10**9

    def run(self) -> None:
        own = ClassRuns(self._runs.path, self._room, self._member())
        acts = [self._hand_in, self._rename, self._note, self._note_training, self._phase, self._bin, self._submit]
        while True:
            with self.turn:
                self._count += 1
                self._chance.choice(acts)(own)
            time.sleep(self._chance.uniform(0.005, 0.05))

    def _member(self):
        token = self._room.join("lantern", f"10.0.0.{self._number}")
        self._journal.tell(done=["member", token], value=True)
        return self._room.member(token)

    def _kept(self) -> str:
        return f"kept-{self._number}"

    def _hand_in(self, own) -> None:
        question, choice = f"{self._number}.{self._chance.randrange(3)}", str(self._count)
        member = type(own._member)(900 + self._number, False)  # as one browser in all lives of the server
        self._journal.act("hand_in", question, choice, lambda: self._room.hand_in("chapter", question, choice, member))

    def _rename(self, _) -> None:
        name = f"name {self._count}"
        self._journal.act("name", self._kept(), name, lambda: self._runs.rename(self._kept(), name))

    def _note(self, _, run_id: str = "") -> None:
        run_id, n = run_id or self._kept(), self._count
        tags = self._runs.open(run_id).header().get("tags", [])
        mine = f"s{self._number}"  # the tags of the other sessions stay

        def label():
            return self._runs.label(run_id, [f"{mine} {n}"], [tag for tag in tags if tag.startswith(mine)])

        self._journal.act("tag", f"{run_id}/{mine}", f"{mine} {n}", label)

    def _note_training(self, own) -> None:
        """Of the run that is being trained: its worker writes the same file."""
        running = [run for job in self._runs.jobs() if job.state == RunState.RUNNING for run in job.run_ids]
        if running:
            self._note(own, self._chance.choice(running))

    def _phase(self, _) -> None:
        phase = self._chance.choice([phase for phase in PHASES if phase != "closed"])
        chapter = f"other {self._number}"
        self._journal.act("phase", chapter, phase, lambda: self._room.set_phase(chapter, phase))

    def _bin(self, _) -> None:
        run_id = f"binned-{self._number}"
        if (self._runs.path / run_id).is_dir():
            self._journal.act("bin", run_id, True, lambda: self._runs.delete(run_id))
        else:
            self._journal.act("bin", run_id, False, lambda: self._runs.restore(run_id))

    def _submit(self, own) -> None:
        """The first session its pair, the other one run of its own: never more than one that waits."""
        if any(job.state == RunState.QUEUED for job in self._runs.jobs()):
            return
        runs, configs = (self._runs, CONFIGS) if self._number == 0 else (own, CONFIGS[:1])
        try:
            job_id = runs.submit(configs)
        except Mistake:  # it has one already
            return
        self._journal.tell(done=["job", job_id], value=True)
        runs.ensure_worker()


class Asks(threading.Thread):
    """Somebody who asks the service processes, one thing after the other, of the kind that is asked for now."""

    def __init__(self, folder: Path, runs: RunsDir, journal: Journal, chance: random.Random):
        super().__init__(daemon=True)
        self.kind = ""
        self._folder, self._runs, self._journal, self._chance = folder, runs, journal, chance

    def run(self) -> None:
        while True:
            if not self.kind:
                time.sleep(0.01)
                continue
            kind = self.kind
            self._journal.tell(asked=kind)
            try:
                answer = getattr(self, f"_{kind}")()
                self._journal.tell(answer=kind, value=answer)
            except (*ENDED, CancelledError, Mistake, OSError) as error:
                self._journal.tell(failed=kind, value=f"{type(error).__name__}: {error}")

    def _training(self):
        """What Inspect asks while a run trains."""
        arguments = (self._runs.path / "kept-0", 100, PROMPT, SOLUTION)
        trace = scoring.scoring_service().ask(scoring.score_solution, *arguments, timeout=PATIENCE).result()[0]
        return ["score", "", trace.logprob.tobytes().hex()]

    def _truth(self):
        seed = self._chance.randrange(QUESTIONS)
        arguments = (self._runs.path / "kept-0", 100, PROMPT, SOLUTION, 64, seed)
        found = scoring.scoring_service().ask(scoring.solution_truth, *arguments, timeout=PATIENCE).result()
        return ["truth", str(seed), [hashlib.sha256(v.outcomes.tobytes()).hexdigest() for v in found]]

    def _import(self):
        """Bring a file, score some of it again, and back all up."""
        n = f"{time.time_ns()}-{self._chance.randrange(10**6)}"
        file = self._folder / "brought" / f"{n}.jsonl"
        file.parent.mkdir(exist_ok=True)
        rows = [
            {"prompt": prompt, "completion": solution, "reward": i % 2, "step": i // 10}
            for i, (prompt, solution) in enumerate(solutions(ChainTask(4), ROWS, self._chance.randrange(10**6)))
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        run_id = import_service.outcome(import_service.ask_import(self._runs.path, [(str(file), file.name)], n))
        self._journal.tell(done=["brought", run_id], value=ROWS)
        traces = RunStore.open(self._runs.path / run_id).traces(0)
        asked = rescore.Asked("bundled", rescore.places_of(traces[:4]))
        progress = import_service.Progress()
        service = rescore.rescore_service()
        note = service.ask(
            rescore.in_service, self._runs.path / run_id, asked, timeout=PATIENCE, progress=progress
        ).result()
        self._journal.tell(done=["rescored", run_id], value=note["rows"])
        target = self._folder / "backups" / f"{n}.zip"
        target.parent.mkdir(exist_ok=True)
        backup.backup(self._runs, target)
        self._journal.tell(done=["backup", target.name], value=True)
        for older in sorted(target.parent.glob("*.zip"))[:-2]:
            older.unlink()
        return ["import", "", note["rows"]]

    def _experiment(self):
        """An experiment to its end; the next one begins in a new folder."""
        experiments = self._folder / "experiments"
        experiments.mkdir(exist_ok=True)
        left = [
            file for file in sorted(experiments.glob("*.toml")) if not (file.with_suffix("") / "report.md").exists()
        ]
        file = left[0] if left else experiments / f"killed-{len(list(experiments.glob('*.toml'))):03}.toml"
        file.write_text(PLAN, encoding="utf-8")
        command = [sys.executable, "-m", "vimpo_core", "experiment", str(file), "--jobs", "1"]
        with open(self._folder / "experiments.log", "ab") as log:
            code = subprocess.call(command, cwd=ROOT, env=child_environment(), stdout=log, stderr=log)
        if code:
            raise OSError(f"exit code {code}")
        return ["experiment", file.stem, code]


def prepare(folder: Path) -> None:
    """The folder before anybody does anything: some runs that are kept, and a class."""
    runs = RunsDir(folder / "runs")
    runs.path.mkdir(parents=True)
    for n in range(SESSIONS):
        shutil.copytree(DEMOS / "vimpo-beta-0.1", runs.path / f"kept-{n}")
        shutil.copytree(DEMOS / "grpo", runs.path / f"binned-{n}")
    room = Classroom(runs.path)
    room.open_up("lantern", 1000)
    room.set_phase("chapter", "held")  # while the reveal is held a new answer takes the place of the last


def resume_interrupted(runs: RunsDir) -> None:
    """As a person who comes back: what was cut off goes on, a job at a time."""
    busy = {run_id for job in runs.jobs() if job.state in ACTIVE for run_id in job.run_ids}
    dead = [run for run in runs.list() if run.state == RunState.INTERRUPTED and run.run_id not in busy]
    for job_id in dict.fromkeys(run.job_id for run in dead[::-1]):
        runs.resume([run.run_id for run in dead[::-1] if run.job_id == job_id])
    runs.ensure_worker()


def main(folder: Path, journal_path: Path, seed: int) -> None:
    runs, chance = RunsDir(folder / "runs"), random.Random(seed)
    room, journal = Classroom(runs.path), Journal(journal_path)
    sessions = [Session(n, runs, room, journal, random.Random(chance.random())) for n in range(SESSIONS)]
    asks = Asks(folder, runs, journal, random.Random(chance.random()))
    threading.excepthook = lambda told: journal.tell(bug=f"{told.exc_type.__name__}: {told.exc_value}")
    resume_interrupted(runs)
    for thread in (*sessions, asks):
        thread.start()
    threading.Thread(target=_wakes, args=(runs, journal), daemon=True).start()
    journal.tell(started=True)
    for line in sys.stdin:
        said = line.strip()
        if said == "hold":
            for session in sessions:
                session.turn.acquire()
            journal.tell(held=True)
        elif said == "go":
            for session in sessions:
                session.turn.release()
        elif said == "resume":
            resume_interrupted(runs)
        else:
            asks.kind = said


def _wakes(runs: RunsDir, journal: Journal) -> None:
    """As every page that waits for its run."""
    while True:
        runs.wake_worker()
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
