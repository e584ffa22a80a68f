"""The same mistakes read off several policies, as the Scorecard and `truth --set same` report it. torch is imported
late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.snapshots import load_snapshot, newest_snapshot
from vimpo_core.runs.store import RunStore
from vimpo_core.service.progress import Progress
from vimpo_core.service.truth_report import with_bounds
from vimpo_core.types import known

SAME = "same"
"""The set's name, beside those of `scorecard.SETS`."""
WORDS = (
    "Wrong solutions of several runs' policies in one pool, each read off every one of these policies: only so can "
    "figures of different policies be compared."
)
MOST_RUNS = 5
ASKED = ("model", "task", "operands", "prompt_style", "max_new_tokens", "partial_rewards")
"""Settings that decide what is asked, and of whom."""
_KEPT = 16
_reports: dict[tuple, dict] = {}


def shared_same_report(
    places: Sequence[tuple[Path, int | None]], solutions: int, seed: int = 0, progress: Progress | None = None
) -> dict:
    """`same_report` of runs, given by folder and step, measured once by this process while nothing has changed."""
    stores = [RunStore.open(run_dir) for run_dir, _ in places]
    key = (tuple(places), solutions, seed, tuple(bases.origin(store) for store in stores))
    if key not in _reports:
        if len(_reports) >= _KEPT:
            _reports.clear()
        of = [(store, step) for store, (_, step) in zip(stores, places, strict=True)]
        _reports[key] = same_report(of, solutions, seed, progress.tell if progress else None)
    return _reports[key]


def same_report(
    runs: Sequence[tuple[RunStore, int | None]],
    solutions: int = 64,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict:
    """How well each policy's reading finds the first wrong token on one pool of solutions, as JSON. Imports torch.

    `runs`: id, rule, beta and step, in the order given, and `n`, how many wrong solutions each gave; `n_solutions` in
    all. `readings`: name (`same_mistakes.pairs`) -> top1, top3, AUC over the pool; `by_writer`: run -> the same over
    its own mistakes alone. `differences`: of two readings on the same solutions, over the pool and by writer. Intervals
    are 95%, by bootstrap over problems; null where a number is not defined.

    Args:
        runs: with a snapshot step each; None takes the newest.
        solutions: wrong ones of each policy; fewer where it is seldom wrong.
        on_progress: called with (steps done, steps).

    Raises:
        Mistake: fewer than two runs or too many, one twice, runs of other models or tasks, no such snapshot, or a task
            that does not verify steps.
    """
    from vimpo_core.measure import same_mistakes, solution_sets
    from vimpo_core.tasks.registry import task_of

    tell = on_progress or (lambda done, total: None)
    at = [(store, newest_snapshot(store) if step is None else step) for store, step in runs]
    configs = [store.config().at(step) for store, step in at]
    _check([store for store, _ in at], configs, solutions)
    task, names, total = task_of(configs[0]), [store.run_id for store, _ in at], len(at) + len(at) ** 2
    policies = [load_snapshot(store.run_dir, step) for store, step in at]
    pool = []
    for done, policy in enumerate(policies, 1):
        pool.append(solution_sets.own_mistakes(policy, task, solutions, seed))
        tell(done, total)
    suspicion: dict = {}
    for policy, name, (_, step) in zip(policies, names, at, strict=True):
        traces = []
        for drawn in pool:
            traces += solution_sets.scored(policy, task, step, drawn) if drawn else []
            done += 1
            tell(done, total)
        read = same_mistakes.readings(traces)
        suspicion |= {f"{kind}/{name}": values for kind, values in read.items() if kind != same_mistakes.REFERENCE}
        suspicion.setdefault(same_mistakes.REFERENCE, read[same_mistakes.REFERENCE])
    writers = [name for name, drawn in zip(names, pool, strict=True) for _ in drawn]
    asked = [trace.prompt_text for trace in traces]
    found = same_mistakes.found_by(suspicion, [known(trace.first_wrong) for trace in traces])

    def means(rows, by=None):
        kept = [i for i, writer in enumerate(writers) if by in (None, writer)]
        return with_bounds(vars(same_mistakes.averaged(rows[kept], [asked[i] for i in kept], seed)))

    return {
        "set": SAME,
        "solutions": solutions,
        "seed": seed,
        "runs": [
            {"run_id": name, "algorithm": config.algorithm, "beta": config.beta, "step": step, "n": len(drawn)}
            for name, config, (_, step), drawn in zip(names, configs, at, pool, strict=True)
        ],
        "n_solutions": len(writers),
        "n_problems": len(set(asked)),
        "readings": {name: means(rows) for name, rows in found.items()},
        "by_writer": {by: {name: means(rows, by) for name, rows in found.items()} for by in names},
        "differences": [
            {"of": a, "minus": b, "pool": means(found[a] - found[b])}
            | {"by_writer": {by: means(found[a] - found[b], by) for by in names}}
            for a, b in same_mistakes.pairs(names)
        ],
    }


def _check(stores: Sequence[RunStore], configs: Sequence[TrainConfig], solutions: int) -> None:
    ids = [store.run_id for store in stores]
    if not 2 <= len(stores) <= MOST_RUNS or len(set(ids)) < len(ids):
        raise Mistake(
            f"the set {SAME} compares 2 to {MOST_RUNS} different runs, got {', '.join(ids) or 'none'}. Name others "
            "beside the first: --with RUN_ID."
        )
    if solutions < 1:
        raise Mistake(f"a set has at least 1 solution, got {solutions}.")
    for store, config in zip(stores, configs, strict=True):
        other = [name for name in ASKED if getattr(config, name) != getattr(configs[0], name)]
        if other:
            raise Mistake(
                f"run {store.run_id} differs from run {ids[0]} in {', '.join(other)}, so its policy cannot read the "
                "same solutions. Choose runs of one model and one task."
            )
