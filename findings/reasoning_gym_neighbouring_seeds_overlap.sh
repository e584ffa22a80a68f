#!/usr/bin/env bash
# reasoning-gym 0.1.25: the data sets of neighbouring seeds are the same items, moved by one. Item i is made by a generator with seed
# `seed + i`, so item i of seed s is item i - 1 of seed s + 1. Whoever trains with seed 0 and measures with seed 1, as is customary,
# measures on what was trained: of 1,000 items 999 are the same. Expected: another seed, other items. Splits have to be made by the
# problem's text, or with seeds further apart than the sets are long.
#
# Seen: 1,000 items of chain_sum, leg_counting and number_sorting with seed 7 and seed 8 share all but the first.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check reasoning-gym==0.1.25
cd "$folder"
python - <<'PY'
import importlib.metadata

import reasoning_gym

print("reasoning-gym", importlib.metadata.version("reasoning-gym"))
for name in ("chain_sum", "leg_counting", "number_sorting"):
    first, second = (
        [item["question"] for item in reasoning_gym.create_dataset(name, size=1000, seed=seed)] for seed in (7, 8)
    )
    print(f"{name}: {sum(a == b for a, b in zip(first[1:], second))} of 1000 items of seed 8 are items of seed 7")
    assert first[1:] == second[:-1], f"{name}: no longer so"
PY
