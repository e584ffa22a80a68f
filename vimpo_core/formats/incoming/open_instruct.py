"""open-instruct's saved rollouts (`save_traces`): exact ids and what the inference engine said of them, no text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.types import StopReason

NAME = "open-instruct rollouts"
TOOL = "open-instruct"
_FINISH = {"stop": StopReason.EOS, "length": StopReason.LENGTH}


def matches(sample: Sample) -> bool:
    return sample.kind == "jsonl" and {"prompt_tokens", "response_tokens", "prompt_idx"} <= set(sample.columns)


def accompanies(sample: Sample) -> bool:
    return {"run_name", "git_commit", "model_name", "timestamp"} <= set(sample.columns)


def facts(sample: Sample) -> dict[str, Any]:
    if accompanies(sample):
        named = {"name": sample.first.get("run_name"), "model": sample.first.get("model_name")}
        return {name: value for name, value in named.items() if isinstance(value, str) and value != "unknown"}
    tools = any(_called_tools(values) for values in sample.records)
    note = "Tools were called: which tokens a tool wrote was not recorded, so all count as the model's own."
    return {"notes": [note]} if tools else {}


def read(file: Incoming) -> Iterator[Row | Refusal]:
    return rows.each(file, _row)


def _row(place: str, values: dict[str, Any]) -> Row:
    gold = values.get("ground_truth")
    group = values.get("prompt_idx")
    extras: dict[str, str | float] = {"tools": "called"} if _called_tools(values) else {}
    if isinstance(gold, list):
        extras["ground_truth_ids"] = " ".join(map(str, gold[:200]))
    return Row(
        place=place,
        step=rows.whole(values.get("step"), "step"),
        reward=rows.number(values.get("reward"), "reward"),
        advantage=rows.number(values.get("advantage"), "advantage"),
        gold=gold if isinstance(gold, str) else "",
        group=None if group is None else str(group),
        prompt_ids=rows.token_ids(values.get("prompt_tokens"), "prompt_tokens"),
        ids=rows.token_ids(values.get("response_tokens"), "response_tokens"),
        arrays=rows.arrays(values, {"logprobs": "sampler_logprob"}),
        finish=_FINISH.get(str(values.get("finish_reason"))),
        extras=extras | parts.extras(values, ("dataset", "finish_reason")),
    )


def _called_tools(values: dict[str, Any]) -> bool:
    info = values.get("request_info")
    return isinstance(info, dict) and bool(info.get("tool_calleds"))
