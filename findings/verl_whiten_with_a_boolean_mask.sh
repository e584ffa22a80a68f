#!/usr/bin/env bash
# verl 0.9.1, verl.utils.torch_functional.masked_whiten: with a boolean (or integer) mask float64 values are whitened to float32
# accuracy only, because n / (n - 1) is a quotient of two integers, which torch computes in its default dtype. The result's dtype is
# float64, so nothing shows it. With the same mask as float64 the result agrees with the formula to 3e-10 (the rest is the 1e-8 that
# verl adds to the number of tokens). Expected: the mask's dtype changes nothing; the docstring asks for a boolean one.
#
# Seen with torch 2.13.0 on 100 values, 70 of them in the mask: boolean mask off by 4.7e-09, float64 mask by 2.1e-10.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
pip install --quiet --disable-pip-version-check --no-deps verl==0.9.1
cd "$folder"
python - <<'PY'
import ast, importlib.metadata
import torch

# The three functions alone: the module imports the engines' packages, which they do not use.
package = importlib.metadata.distribution("verl")
source = package.locate_file("verl/utils/torch_functional.py").read_text()
wanted = {"masked_sum", "masked_mean", "masked_var", "masked_whiten"}
tree = ast.parse(source)
tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
verl = {"torch": torch}
exec(compile(tree, "torch_functional.py", "exec"), verl)

values = torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
mask = torch.arange(100) < 70
kept = values[mask]
wanted = (kept - kept.mean()) / torch.sqrt(kept.var() + 1e-8)
gaps = {name: (verl["masked_whiten"](values, m)[mask] - wanted).abs().max().item() for name, m in (("boolean", mask), ("float64", mask.double()))}
print(f"verl {package.version}: " + ", ".join(f"{name} mask off by {gap:.1e}" for name, gap in gaps.items()))
assert 1e-9 < gaps["boolean"] < 1e-6 and gaps["float64"] < 1e-9, "no longer so"
PY
