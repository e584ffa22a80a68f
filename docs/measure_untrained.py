"""What the untrained model solves of an experiment's test problems, with the draws of each final seed: a trained run is
compared with it problem by problem. Imports torch.

python docs/measure_untrained.py experiments/real.toml     writes docs/results/real/untrained.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from vimpo_core.experiment import estimates, plan  # noqa: E402
from vimpo_core.files import write_whole  # noqa: E402


def main() -> None:
    asked = plan.read(Path(sys.argv[1]))
    out = Path(sys.argv[2]) if sys.argv[2:] else DOCS / "results" / asked.name
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "untrained.json", json.dumps({"runs": measured(asked)}) + "\n")


def measured(asked: plan.Plan) -> list[dict]:
    """{"seed", "outcomes"} of each final seed, as results.json has those of a run."""
    from vimpo_core.lm import loading, models
    from vimpo_core.measure import evaluate
    from vimpo_core.tasks.registry import task_of

    arm = asked.arms[0]
    config = asked.config(arm, asked.blocks[0], arm.first_point, asked.seeds[0], asked.steps)
    models.single_thread(config.threads)
    policy, task = loading.load_policy(config), task_of(config)
    with models.merged(policy) as model:

        def solved(seed, hows) -> dict[str, list[bool]]:
            return evaluate.outcomes(policy, model, task, "test", asked.test_prompts, seed, hows=hows)

        greedy = solved(0, ("greedy",))
        return [
            {"seed": seed, "outcomes": estimates.packed(**solved(seed, ("sampled",)), **greedy)} for seed in asked.seeds
        ]


if __name__ == "__main__":
    main()
