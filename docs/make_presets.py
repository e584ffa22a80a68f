"""Run the presets of the Train page and keep their curves in assets/presets.json: python docs/make_presets.py

With --seed N they are run with that seed, and what they came to is kept in assets/preset_seeds.json. A preset that does
not show what it says is named, and the exit code is 1. About 160 CPU seconds a seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vimpo_core.config import TrainConfig  # noqa: E402  (needs the path)
from vimpo_core.labs.presets import OTHER_SEEDS, PRESETS, RECORDED, Preset, other_seeds  # noqa: E402
from vimpo_core.trainer import Trainer  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("presets", nargs="*", help=f"of {', '.join(PRESETS)} (default: all, which is what is kept)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    made, failed = {}, []
    for key in arguments.presets or PRESETS:
        made[key] = {config.algorithm: _run(PRESETS[key], config, arguments.seed) for config in PRESETS[key].configs}
        rows = {algorithm: run["rows"] for algorithm, run in made[key].items()}
        shows = PRESETS[key].holds(rows)
        print(
            f"{key}, seed {arguments.seed}: {PRESETS[key].figure(rows)}{'' if shows else ' DOES NOT SHOW IT'}",
            flush=True,
        )
        failed += [] if shows else [key]
        if arguments.seed:
            _keep(key, arguments.seed, PRESETS[key].figure(rows), shows)
    if not failed and not arguments.presets and arguments.seed == 0:
        RECORDED.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")
    return int(bool(failed))


def _keep(key: str, seed: int, figure: str, shows: bool) -> None:
    found = other_seeds()
    found.setdefault(key, {})[str(seed)] = {"figure": figure, "holds": shows}
    OTHER_SEEDS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


BESIDE = {"sampled_accuracy": "greedy_accuracy"}
"""What stands in the same chart."""


def _run(preset: Preset, config: TrainConfig, seed: int) -> dict:
    trainer = Trainer(dataclasses.replace(config, seed=seed))
    kept = [*preset.curves, *filter(None, map(BESIDE.get, preset.curves))]
    rows = []
    while not trainer.done:
        record = trainer.step()
        rows.append({"step": record.step} | {n: float(f"{record.metrics[n]:.4g}") for n in kept if n in record.metrics})
    return {"settings": trainer.config.to_dict(), "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
