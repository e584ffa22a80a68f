"""verifiers: results of the older line (`results.jsonl`, with tokens where the trajectory was saved) and traces of v1
(`traces.jsonl`, an episode a line, as prime-rl's file monitor writes them too).

A trace is a graph of messages; each path from its root to a leaf is one solution. Numbers are kept for sampled tokens
alone there, in order, and laid out over all tokens here. Since 0.4 they are written with four decimals, unless asked
for otherwise: a row whose numbers are all of that kind says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.mistake import Mistake
from vimpo_core.types import StopReason

NAME = "verifiers results"
TOOL = "verifiers"
_NODE_ARRAYS = {
    "logprobs": "sampler_logprob",
    "trainer_logprobs": "logprob",
    "reference_logprobs": "ref_logprob",
    "entropies": "entropy",
    "advantages": "advantages",
}
_STREAMS = {
    "advantages": "advantages",
    "trainer_logprobs": "logprob",
    "entropies": "entropy",
    "is_masked": "is_masked",
    "mismatch_kl": "mismatch_kl",
}
"""What prime-rl writes of a branch beside its trace."""
_MOST_NUMBERS = 20_000_000
_ROUNDED = "written with 4 decimals"
_ENOUGH = 4
"""Numbers that all have four decimals by chance once in 10^16 or less."""
_MOST_NODES = 10_000


def matches(sample: Sample) -> bool:
    return _is_episode(sample.first) or _is_trace(sample.first) or _is_legacy(sample.first)


def accompanies(sample: Sample) -> bool:
    """metadata.json of the older line; prime-rl's annotations of traces."""
    columns = set(sample.columns)
    return {"env_id", "model", "num_examples"} <= columns or {"trace_id", "branches"} <= columns


def facts(sample: Sample) -> dict[str, Any]:
    first = sample.first
    if "env_id" not in first:
        return {}
    sampling = first.get("sampling_args")
    temperature = parts.finite(sampling.get("temperature")) if isinstance(sampling, dict) else None
    found = {"model": first.get("model"), "name": first.get("env_id"), "temperature": temperature}
    return {name: value for name, value in found.items() if value not in (None, "")}


@dataclass(frozen=True)
class Looked:
    """What prime-rl's trainer wrote of traces in files beside them: trace id -> number of the branch -> stream ->
    one value for each token of the branch, null where it is not known. The newest of a stream counts."""

    said: dict[str, dict[int, dict[str, list[Any]]]]
    notes: tuple[str, ...] = ()


def look(files: Sequence[Incoming], beside: Sequence[Incoming] = (), before: Looked | None = None) -> Looked:
    said = dict(before.said) if before else {}
    room = _MOST_NUMBERS
    notes: tuple[str, ...] = ()
    for file in beside:
        for found in file.records() if "trace_id" in file.sample.columns else ():
            values = found[1] if isinstance(found, tuple) else {}
            branches = values.get("branches")
            for branch in branches if isinstance(branches, list) else ():
                if isinstance(branch, dict) and type(branch.get("index")) is int:
                    streams = {name: one for name, one in branch.items() if name in _STREAMS and isinstance(one, list)}
                    room -= sum(map(len, streams.values()))
                    if room < 0:
                        notes = (f"Of the annotations beside the traces the first {_MOST_NUMBERS:,} numbers are read.",)
                        return Looked(said, notes)
                    of_trace = said.setdefault(str(values.get("trace_id")), {})
                    of_trace.setdefault(branch["index"], {}).update(streams)
    if said:
        notes = ("What the trainer wrote of a trace in files beside it stands in the place of the trace's own.",)
    return Looked(said, notes)


def read(file: Incoming, looked: Looked) -> Iterator[Row | Refusal]:
    for found in file.records():
        if isinstance(found, Refusal):
            yield found
            continue
        place, values = found
        if _is_legacy(values):
            yield _tried(place, _legacy, values)
        else:
            yield from _episode(place, values, looked)


def _tried(place: str, make, *values) -> Row | Refusal:
    try:
        return make(place, *values)
    except Mistake as error:
        return Refusal(place, str(error))


# ---- the older line


def _is_legacy(values: dict[str, Any]) -> bool:
    return {"example_id", "prompt", "completion", "reward"} <= set(values)


def _legacy(place: str, values: dict[str, Any]) -> Row:
    answer, example = values.get("answer"), values.get("example_id")
    metrics = values.get("metrics")
    extras = parts.extras(metrics, list(metrics)) if isinstance(metrics, dict) else {}
    extras = parts.beside(extras, parts.extras(values, ("stop_condition", "error")))
    tokens, note = _trajectory(values.get("trajectory"))
    advantage = tokens.pop("advantage", None)
    is_cut = values.get("is_truncated") is True
    return Row(
        place=place,
        prompt=rows.messages(values.get("prompt"), "prompt"),
        completion=rows.said(values.get("completion"), "completion"),
        reward=rows.number(values.get("reward"), "reward"),
        advantage=advantage,
        gold=answer if isinstance(answer, str) else "",
        group=None if example is None else str(example),
        finish=StopReason.LENGTH if is_cut else None,
        extras=extras | ({"tokens_left_out": note} if note else {}),
        **tokens,
    )


def _trajectory(turns: Any) -> tuple[dict[str, Any], str]:
    """Token fields of a `Row` from the turns of a rollout, or why there are none."""
    if not isinstance(turns, list) or not turns:
        return {}, ""
    kept = [turn["tokens"] for turn in turns if isinstance(turn, dict) and isinstance(turn.get("tokens"), dict)]
    if len(kept) < len(turns):
        return {}, "some turn was saved without its tokens"
    ids: list[int] = []
    mask: list[bool] = []
    logprobs: list[np.ndarray] = []
    for one in kept:
        before = rows.token_ids(one.get("prompt_ids"), "prompt_ids") or ()
        written = rows.token_ids(one.get("completion_ids"), "completion_ids") or ()
        said = rows.array(one.get("completion_logprobs"), "completion_logprobs")
        counted = rows.token_mask(one.get("completion_mask"), "completion_mask") or (True,) * len(written)
        if list(before[: len(ids)]) != ids:
            return {}, "a turn does not begin with the tokens of the turns before it"
        if len(counted) != len(written) or (said is not None and len(said) != len(written)):
            raise Mistake("completion_ids, completion_mask and completion_logprobs have different lengths.")
        more = len(before) - len(ids)
        nothing = np.full(more + (len(written) if said is None else 0), np.nan, np.float32)
        logprobs += [nothing] if said is None else [nothing, said]
        ids += [*before[len(ids) :], *written]
        mask += [*(False,) * more, *counted]
    found = parts.cut(ids, mask, {"sampler_logprob": np.concatenate(logprobs)})
    advantages = {turn.get("advantage") for turn in turns if isinstance(turn.get("advantage"), int | float)}
    return found | {"advantage": float(advantages.pop()) if len(advantages) == 1 else None}, ""


# ---- v1


def _is_episode(values: dict[str, Any]) -> bool:
    return isinstance(values.get("traces"), list) and {"id", "task"} <= set(values)


def _is_trace(values: dict[str, Any]) -> bool:
    return isinstance(values.get("nodes"), list) and "rewards" in values


def _episode(place: str, values: dict[str, Any], looked: Looked) -> Iterator[Row | Refusal]:
    traces = values["traces"] if _is_episode(values) else [values]
    if not (_is_episode(values) or _is_trace(values)):
        yield Refusal(place, "it is neither an episode nor a trace of verifiers.")
        return
    shared = {"step": _inside(values, "run", "work", "step"), "group": _inside(values, "group", "id")}
    for number, trace in enumerate(traces):
        at = f"{place}, trace {number}" if len(traces) > 1 else place
        if not isinstance(trace, dict) or not isinstance(trace.get("nodes"), list):
            yield Refusal(at, "a trace has no list of nodes.")
            continue
        if _inside(trace, "agent", "trainable") is False:
            continue
        try:
            paths = _paths(trace["nodes"])
        except Mistake as error:
            yield Refusal(at, str(error))
            continue
        for branch, path in enumerate(paths):
            said = looked.said.get(str(trace.get("id")), {}).get(branch, {})
            yield _tried(f"{at}, branch {branch}" if len(paths) > 1 else at, _branch, trace, path, shared, said)


def _paths(nodes: list[Any]) -> list[list[dict[str, Any]]]:
    """From the root to each leaf, in the leaves' order."""
    if len(nodes) > _MOST_NODES:
        raise Mistake(f"a trace has more than {_MOST_NODES:,} messages.")
    parents: list[int | None] = []
    for index, node in enumerate(nodes):
        parent = node.get("parent") if isinstance(node, dict) else -1
        if parent is not None and not (type(parent) is int and 0 <= parent < index):
            raise Mistake("a message of the trace does not follow one that stands before it.")
        parents.append(parent)
    found = []
    for leaf in sorted(set(range(len(nodes))) - set(parents)):
        path: list[dict[str, Any]] = []
        at: int | None = leaf
        while at is not None:
            path.append(nodes[at])
            at = parents[at]
        found.append(path[::-1])
    return found


def _branch(
    place: str, trace: dict[str, Any], path: list[dict[str, Any]], shared: dict[str, Any], annotated: dict[str, Any]
) -> Row:
    begins = next((i for i, node in enumerate(path) if node.get("sampled")), len(path))
    rewards, reward = _rewards(trace.get("rewards"))
    answer = _inside(trace, "task", "data", "answer")
    metrics = trace.get("metrics")
    extras = parts.extras(metrics, list(metrics)) if isinstance(metrics, dict) else {}
    last = _last_call(trace)
    said = parts.extras(trace, ("stop_condition",))
    temperature = parts.finite(_inside(last, "sampling", "temperature"))
    if temperature is not None:
        said["temperature"] = temperature
    tokens, approximate, remarks = _tokens(path, annotated)
    reasoning = "".join(_text_of(node, "reasoning_content") for node in path if node.get("sampled"))
    if reasoning:
        said["reasoning_content"] = rows.shown(reasoning)
    finish = {"length": StopReason.LENGTH, "stop": StopReason.EOS if tokens else None}
    return Row(
        place=place,
        step=rows.whole(shared["step"], "step"),
        prompt=[_message(node) for node in path[:begins]],
        completion=rows.said([_message(node) for node in path[begins:]], "completion") if path[begins:] else "",
        reward=reward,
        rewards=rewards,
        is_total=True,
        advantage=parts.common(tokens["arrays"].get("advantages"), tokens["mask"]) if tokens else None,
        gold=answer if isinstance(answer, str) else "",
        group=None if shared["group"] is None else str(shared["group"]),
        finish=finish.get(str(last.get("finish_reason"))),
        extras=parts.beside(extras, said),
        approximate=approximate,
        remarks=remarks,
        **tokens,
    )


def _tokens(
    path: Sequence[dict[str, Any]], annotated: dict[str, list[Any]]
) -> tuple[dict[str, Any], dict[str, str], tuple[str, ...]]:
    """Token fields of a `Row`, {} where none were recorded, as of a model behind an API; which arrays were rounded;
    what is to be said. annotated: streams over all tokens, which count where they have every sampled one."""
    ids: list[int] = []
    mask: list[bool] = []
    laid_out: dict[str, list[np.ndarray]] = {name: [] for name in _NODE_ARRAYS}
    numbers: list[float] = []
    for node in path:
        own = rows.token_ids(node.get("token_ids"), "token_ids") or ()
        written = rows.token_mask(node.get("mask"), "mask") or (False,) * len(own)
        if len(written) != len(own):
            raise Mistake("token_ids and mask of a message have different lengths.")
        ids += own
        mask += written
        for name, pieces in laid_out.items():
            compact = rows.array(node.get(name), name)
            if compact is None or not len(compact):
                compact = np.full(sum(written), np.nan, np.float32)
            else:
                numbers += [float(one) for one in node[name] if one is not None]
            pieces.append(parts.spread(written, compact, name))
    if not any(mask):
        return {}, {}, ()
    found = {_NODE_ARRAYS[name]: np.concatenate(pieces) for name, pieces in laid_out.items()}
    rounded = dict.fromkeys(found, _ROUNDED) if _are_rounded(numbers) else {}
    remarks: tuple[str, ...] = ()
    for name, values in annotated.items():
        stream = rows.array(values, name)
        if stream is not None and len(stream) == len(ids) and np.isfinite(stream[np.asarray(mask)]).all():
            found[_STREAMS[name]] = parts.only_where(mask, stream)
            rounded.pop(_STREAMS[name], None)
        else:
            remarks = ("Numbers beside a trace do not cover its sampled tokens: the trace's own stand.",)
    tokens = parts.cut(ids, mask, found)
    return tokens, {name: how for name, how in rounded.items() if name in tokens["arrays"]}, remarks


def _are_rounded(numbers: Sequence[float]) -> bool:
    """Whether numbers were written with four decimals: none has more, and there are some with as many."""
    long = [one for one in numbers if math.isfinite(one) and one != round(one, 2)]
    return len(long) >= _ENOUGH and all(one == round(one, 4) for one in long)


def _rewards(named: Any) -> tuple[dict[str, float | None], float | None]:
    """Each reward's score by name, and their weighted sum; None where none was given."""
    if not isinstance(named, dict):
        return {}, None
    scores: dict[str, float | None] = {}
    total = []
    for name, one in named.items():
        scores[name] = rows.number(one.get("score"), name) if isinstance(one, dict) else None
        weight = rows.number(one.get("weight", 1.0), f"the weight of {name}") if isinstance(one, dict) else None
        score = scores[name]
        if score is not None and weight is not None:
            total.append(score * weight)
    return scores, sum(total) if total else None


def _message(node: dict[str, Any]) -> dict[str, str]:
    role = _inside(node, "message", "role")
    return {"role": role if isinstance(role, str) else "", "content": _text_of(node, "content")}


def _text_of(node: dict[str, Any], name: str) -> str:
    content = _inside(node, "message", name)
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if isinstance(part, dict) and type(part.get("text")) is str)
    return rows.text(content, "a message")


def _last_call(trace: dict[str, Any]) -> dict[str, Any]:
    calls = trace.get("calls")
    last = calls[-1] if isinstance(calls, list) and calls else None
    return last if isinstance(last, dict) else {}


def _inside(values: Any, *names: str) -> Any:
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values
