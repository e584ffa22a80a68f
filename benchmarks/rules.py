"""How long every credit rule on one solution takes: credit, push, table, ranking and formula diff, of a bundled step.

    python -m vimpo_core bench rules --json

    every_rule_ms            from the recorded traces of a step (128 solutions) to all that the section draws for one of
    24 tokens,
                             Monte Carlo values at hand; every repeat starts from the traces again
    first_ms                 the first time in a process, imports of the array functions included
    next_token_ms            of another token of the same solution, once the step is judged

Times are medians of wall time; `_max` is the worst. A critic's values are drawn at random: they take part like learned
ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from vimpo_core.paths import DEMOS
from vimpo_core.rules import RULES
from vimpo_core.runs.store import RunStore
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.views import rule_diff, rules_view

RUN, STEP, TOKENS = "vimpo-beta-0.3", 100, 24


def read_step():
    """The traces of the step with values of a critic, Monte Carlo values beside them, and the run's settings."""
    random = np.random.default_rng(0)
    with RunStore.open(DEMOS / RUN) as store:
        traces, config = store.traces(STEP), store.config()
    traces = [trace.with_(critic_values=random.random(len(trace.ids))) for trace in traces]
    return traces, [random.random(len(trace.ids) + 1) for trace in traces], config


def judged_step(traces, mc_values, config):
    read = rules_view.settings_at(config, STEP, config.beta, config.gae_lambda)
    batch = rules_view.batch_of(traces, read, ChainTask(config.operands).max_new_tokens, mc_values=mc_values)
    return batch, rules_view.judge(batch)


def draw(batch, judged, index: int, token: int) -> None:
    rules_view.rules_payload(batch, judged, index)
    rules_view.rule_rows(batch, judged, index, token)
    rules_view.disputed_tokens(batch, judged, index, list(RULES))
    rules_view.disputed_solutions(judged, "vimpo", "grpo")
    for key in ("vimpo", "grpo"):
        rule_diff.working(batch, judged, key, index, token)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="Measured repeats (default: 20).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    step = read_step()
    index = next(i for i, trace in enumerate(step[0]) if len(trace.ids) == TOKENS)
    whole, token = [], []
    for repeat in range(arguments.repeats + 1):
        start = time.perf_counter()
        batch, judged = judged_step(*step)
        draw(batch, judged, index, repeat % TOKENS)
        middle = time.perf_counter()
        draw(batch, judged, index, (repeat + 1) % TOKENS)
        whole.append(1000 * (middle - start))
        token.append(1000 * (time.perf_counter() - middle))
    report = {
        "every_rule_ms": statistics.median(whole[1:]),
        "every_rule_ms_max": max(whole[1:]),
        "first_ms": whole[0],
        "next_token_ms": statistics.median(token[1:]),
        "rules": len(RULES),
        "repeats": arguments.repeats,
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<20} {value:.4g}")


if __name__ == "__main__":
    main()
