#!/usr/bin/env bash
# verifiers 0.4.0, verifiers.v1.graph.MessageNode: dumped as JSON by pydantic's own means (model_dump_json, and with it every
# traces.jsonl) logprobs, advantages and entropies are rounded to four decimals. An advantage that is spread over the tokens of a long
# solution becomes 0, which the class's own words keep apart: zeros mean a group whose rewards were all equal, None one that was never
# scored. Expected: what model_validate_json reads is what model_dump_json was given, or else too small numbers are not made 0. Whoever
# reads a saved trace has to ask for to_record(float_decimals=None) when it is written; the precision is not said in the file.
#
# Seen: 8,000 tokens of advantage 0.3 / 8,000 and logprob -0.00004 come back as 0.0 and -0.0; their sums, 0.3 and -0.32, as 0.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check pydantic==2.12.3 numpy==2.4.6
pip install --quiet --disable-pip-version-check --no-deps verifiers==0.4.0 renderers==0.1.12
cd "$folder"
python - <<'PY'
import importlib.metadata, sys, types

# The graph alone: the packages' own __init__ import the clients of many services, which it does not use.
for name, path in (("verifiers.v1", "verifiers/v1"), ("renderers", "renderers")):
    bare = types.ModuleType(name)
    bare.__path__ = [str(importlib.metadata.distribution(name.partition(".")[0]).locate_file(path))]
    sys.modules[name] = bare
from verifiers.v1.graph import MessageNode

length = 8000
node = MessageNode(
    message={"role": "assistant", "content": "5"},
    sampled=True,
    token_ids=[20] * length,
    mask=[True] * length,
    logprobs=[-0.00004] * length,
    advantages=[0.3 / length] * length,
)
back = MessageNode.model_validate_json(node.model_dump_json())
was, now = ({name: round(sum(getattr(one, name)), 4) for name in ("advantages", "logprobs")} for one in (node, back))
print(f"verifiers {importlib.metadata.version('verifiers')}: sums before {was}, after {now}")
assert was == {"advantages": 0.3, "logprobs": -0.32} and set(back.advantages) == {0.0} and set(back.logprobs) == {0.0}, "no longer so"
PY
