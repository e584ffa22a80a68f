#!/usr/bin/env bash
# OpenRLHF 0.11.2, openrlhf.models.utils.log_probs_from_logits: with a temperature other than 1 it divides the caller's logits in
# place. A second call on the same tensor therefore scores at temperature^2, and an entropy or KL taken afterwards is of the scaled
# logits. Expected from the name and from trl's and verl's functions: the argument is left as it is.
#
# Seen with torch 2.13.0: largest change of the logits 1.0 (2.0 became 1.0), second call differs from the first by 0.1891.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
pip install --quiet --disable-pip-version-check --no-deps openrlhf==0.11.2
cd "$folder"
python - <<'PY'
import ast, importlib.metadata
import torch
import torch.nn.functional as F

# The two functions alone: their module imports engines that they do not use.
package = importlib.metadata.distribution("openrlhf")
tree = ast.parse(package.locate_file("openrlhf/models/utils.py").read_text())
wanted = {"_logsumexp_by_chunk", "log_probs_from_logits"}
tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
names = {"torch": torch, "F": F}
exec(compile(tree, "utils.py", "exec"), names)
log_probs_from_logits = names["log_probs_from_logits"]

logits = torch.tensor([[[2.0, 1.0, 0.0]]])
before, labels = logits.clone(), torch.tensor([[0]])
first = log_probs_from_logits(logits, labels, temperature=2.0)
change = (logits - before).abs().max().item()
second = log_probs_from_logits(logits, labels, temperature=2.0)
print(f"openrlhf {package.version}: logits changed by {change}, second call differs by {(second - first).abs().item():.4f}")
assert change == 1.0 and round((second - first).abs().item(), 4) == 0.1891, "no longer so"
PY
