"""kill -9 at random moments, resume after each, and the comparison with an undisturbed run. No pytest:
benchmarks/kill.py uses it too.
"""

import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.types import RunState


class Process(Protocol):
    """As `subprocess.Popen`."""

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


class RealWorker:
    """`worker.main` in a process of its own, forked where torch is imported already: kills land in steps, not in
    imports.
    """

    def __init__(self, runs_dir: Path):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["vimpo_core.trainer"])
        self._process = context.Process(target=worker.main, args=(runs_dir,))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode


@dataclass(frozen=True)
class Killed:
    """What became of a job whose workers were killed: `lost_steps` counts steps that a reader had seen and that were
    gone after a kill, or holes; `landed` the kills after the first step and before the last."""

    run_ids: list[str]
    lost_steps: int
    landed: int


def kill_and_resume(
    runs_dir: Path,
    configs: list[TrainConfig],
    start_worker: Callable[[Path], Process],
    kills: int,
    longest_life: float,
    seed: int = 0,
) -> Killed:
    """Train `configs` as one job by worker processes that are killed -9 `kills` times, then let it finish.

    Each kill comes a random time, up to `longest_life` seconds, after the worker took its lock (one in four) or
    committed its first step: so kills land while it loads and while it trains, however busy the machine is.
    """
    chance = random.Random(seed)
    runs = RunsDir(runs_dir)
    runs.submit(configs)
    run_ids = list(runs.jobs()[0].run_ids)
    stores = [runs.open(run_id) for run_id in run_ids]
    lost = landed = 0
    for _ in range(kills):
        process = start_worker(runs_dir)
        before, while_loading = [store.last_step() for store in stores], chance.random() < 0.25
        while process.poll() is None and (
            not runs.has_worker() if while_loading else before == [store.last_step() for store in stores]
        ):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, longest_life))
        seen = [store.last_step() for store in stores]
        process.kill()
        process.wait()
        landed += seen[0] is not None and any(store.last_step() != store.config().steps for store in stores)
        lost += sum(_missing(store, step) for store, step in zip(stores, seen, strict=True))
        _revive(runs, run_ids)
    if (code := start_worker(runs_dir).wait()) != 0:
        raise RuntimeError(f"the last worker ended with exit code {code}, see worker.log in {runs_dir}.")
    return Killed(run_ids, lost, landed)


def measure(folder: Path, configs: list[TrainConfig], kills: int, longest_life: float, seed: int = 0) -> dict:
    """kills, landed (those between first and last step), lost_steps, equal (bit for bit) and seconds."""
    start = time.monotonic()
    killed, undisturbed = RunsDir(folder / "killed"), RunsDir(folder / "undisturbed")
    result = kill_and_resume(killed.path, configs, RealWorker, kills, longest_life, seed)
    undisturbed.submit(configs)
    worker.main(undisturbed.path)
    try:
        for run_id in result.run_ids:
            assert_same_run(killed.open(run_id), undisturbed.open(run_id))
        difference = ""
    except AssertionError as error:
        difference = str(error)
    return {
        "kills": kills,
        "landed": result.landed,
        "lost_steps": result.lost_steps,
        "equal": not difference,
        "difference": difference,
        "seconds": time.monotonic() - start,
    }


def _missing(store: RunStore, seen: int | None) -> int:
    """How many of the steps up to the last one, or up to what was seen, are not there."""
    kept = {row["step"] for row in store.metrics()}
    last = max([*kept, -1 if seen is None else seen], default=-1)
    return len(set(range(last + 1)) - kept)


def _revive(runs: RunsDir, run_ids: list[str]) -> None:
    """Resume what the kill interrupted; a job that was not even taken still waits."""
    dead = [run.run_id for run in runs.list() if run.run_id in run_ids and run.state == RunState.INTERRUPTED]
    if dead:
        runs.resume(dead)


def assert_same_run(a: RunStore, b: RunStore) -> None:
    """Bit for bit: all that the seed decides. Timings differ, as they should."""
    assert a.metrics(timings=False) == b.metrics(timings=False), "metrics differ"
    assert (a.trace_steps(), a.snapshot_steps()) == (b.trace_steps(), b.snapshot_steps()), "steps differ"
    assert all(a.snapshot(step) == b.snapshot(step) for step in a.snapshot_steps()), "adapters differ"
    for step in a.trace_steps():
        for x, y in zip(a.traces(step), b.traces(step), strict=True):
            assert _bits(x) == _bits(y), f"solutions of step {step} differ"


def _bits(trace):
    arrays = (trace.ids, trace.logprob, trace.ref_logprob, trace.kl, trace.entropy, trace.sampler_logprob)
    return [a.tobytes() for a in arrays], trace.prompt_text, trace.text, trace.reward, trace.first_wrong
