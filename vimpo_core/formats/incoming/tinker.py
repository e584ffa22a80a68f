"""tinker-cookbook's capture of sampling calls: ids and logprobs at the temperature of the call, no rewards.

Its rollout summaries hold lengths and rewards but nothing that says which sample they belong to: they are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.mistake import Mistake
from vimpo_core.types import StopReason

NAME = "tinker-cookbook capture"
TOOL = "tinker-cookbook"
_FINISH = {"stop": StopReason.EOS, "length": StopReason.LENGTH}


def matches(sample: Sample) -> bool:
    return {"samples", "prompt_tokens", "sampling_params"} <= set(sample.columns)


def accompanies(sample: Sample) -> bool:
    columns = sample.columns
    is_summary = {"group_idx", "traj_idx", "total_reward"} <= set(columns)
    is_metrics = "step" in columns and any(name.startswith("env/all/") for name in columns)
    return is_summary or is_metrics


def facts(sample: Sample) -> dict[str, Any]:
    if accompanies(sample):
        return {}
    model = sample.first.get("base_model")
    found: dict[str, Any] = {"model": model} if isinstance(model, str) else {}
    temperatures = {parts.finite(_sampling(values).get("temperature")) for values in sample.records}
    if len(temperatures) == 1:
        found["temperature"] = temperatures.pop()
    note = "tinker-cookbook keeps rewards in another file that does not name the sample: these rows have none."
    return found | {"notes": [note]}


def read(file: Incoming) -> Iterator[Row | Refusal]:
    for found in file.records():
        if isinstance(found, Refusal):
            yield found
            continue
        place, values = found
        samples = values.get("samples")
        if not isinstance(samples, list):
            yield Refusal(place, "samples is no list.")
            continue
        for number, sample in enumerate(samples):
            try:
                yield _row(f"{place}, sample {number}", values, sample)
            except Mistake as error:
                yield Refusal(f"{place}, sample {number}", str(error))


def _row(place: str, call: dict[str, Any], sample: Any) -> Row:
    if not isinstance(sample, dict):
        raise Mistake("a sample is no record.")
    scope = call.get("scope")
    scope = scope if isinstance(scope, dict) else {}
    group = scope.get("group_idx")
    return Row(
        place=place,
        step=rows.whole(scope.get("iteration"), "iteration"),
        group=None if group is None else str(group),
        prompt_ids=rows.token_ids(call.get("prompt_tokens"), "prompt_tokens"),
        ids=rows.token_ids(sample.get("tokens"), "tokens"),
        arrays=rows.arrays(sample, {"logprobs": "sampler_logprob"}),
        finish=_FINISH.get(str(sample.get("stop_reason"))),
        extras=parts.extras(_sampling(call), ("temperature", "top_p", "top_k")),
    )


def _sampling(call: dict[str, Any]) -> dict[str, Any]:
    found = call.get("sampling_params")
    return found if isinstance(found, dict) else {}
