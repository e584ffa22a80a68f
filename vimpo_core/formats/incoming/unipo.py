"""UNIPO's canonical JSON (`header`, `entries`) or JSONL (a header line, then a line a step).

Its `token_kl` says no estimator: it is the KL over the whole vocabulary only where `hparams.kl_estimator` is "exact".
`old_log_probs` are of the policy that sampled, `log_probs` of the one that is updated: the same on the first step after
sampling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.mistake import Mistake

NAME = "UNIPO"
TOOL = "UNIPO"
_OWN = ("values", "advantages", "returns", "rewards", "token_objective")
_FACTS = {"algorithm": "algorithm", "model_name": "model", "reference_model_name": "reference"}
_HPARAMS = ("temperature", "beta", "gae_lambda")


def matches(sample: Sample) -> bool:
    first = sample.first
    if isinstance(first.get("entries"), list):
        return isinstance(first.get("header"), dict) and "algorithm" in first["header"]
    has_steps = any("prompts" in one or "metrics" in one for one in sample.records[1:])
    return sample.kind == "jsonl" and isinstance(first.get("algorithm"), str) and has_steps


def facts(sample: Sample) -> dict[str, Any]:
    header = _header(sample.first)
    found = {ours: header.get(theirs) for theirs, ours in _FACTS.items()}
    hparams = header.get("hparams")
    hparams = hparams if isinstance(hparams, dict) else {}
    found |= {name: parts.finite(hparams.get(name)) for name in _HPARAMS}
    if not _is_exact(header):
        found["notes"] = ["UNIPO does not say how token_kl was estimated: it is shown, and credit needs exact KL."]
    return {name: value for name, value in found.items() if value not in (None, "")}


def read(file: Incoming) -> Iterator[Row | Refusal]:
    header: dict[str, Any] = {}
    for number, found in enumerate(file.records()):
        if isinstance(found, Refusal):
            yield found
            continue
        place, values = found
        if isinstance(values.get("entries"), list):
            header = _header(values)
            blueprint = values.get("blueprint")
            shared = blueprint.get("prompts") if isinstance(blueprint, dict) else None
            for entry in values["entries"]:
                yield from _entry(file.sample.name, entry, header, shared)
        elif number == 0:
            header = _header(values)
        else:
            yield from _entry(place, values, header, None)


def metrics(file: Incoming) -> list[dict[str, float]]:
    """The metrics of every step."""
    return [one for found in file.records() if isinstance(found, tuple) for one in _metrics(found[1])]


def _metrics(values: dict[str, Any]) -> list[dict[str, float]]:
    entries = values["entries"] if isinstance(values.get("entries"), list) else [values]
    whole = [one for one in entries if isinstance(one, dict) and isinstance(one.get("metrics"), dict)]
    return [
        {"step": one["step"]} | {n: v for n, v in map(_finite, one["metrics"].items()) if v is not None}
        for one in whole
        if type(one.get("step")) is int and one["step"] >= 0
    ]


def _finite(named: tuple[str, Any]) -> tuple[str, float | None]:
    return named[0], parts.finite(named[1])


def _header(values: dict[str, Any]) -> dict[str, Any]:
    header = values.get("header", values)
    return header if isinstance(header, dict) else {}


def _is_exact(header: dict[str, Any]) -> bool:
    hparams = header.get("hparams")
    return isinstance(hparams, dict) and hparams.get("kl_estimator") == "exact"


def _entry(place: str, entry: Any, header: dict[str, Any], shared: Any) -> Iterator[Row | Refusal]:
    if not isinstance(entry, dict):
        yield Refusal(place, "an entry is no record.")
        return
    prompts = entry.get("prompts") or shared or []
    at = f"{place}, step {entry.get('step')}"
    if not isinstance(prompts, list):
        yield Refusal(at, "prompts is no list.")
        return
    for group, prompt in enumerate(prompts):
        responses = prompt.get("responses") if isinstance(prompt, dict) else None
        if not isinstance(responses, list):
            yield Refusal(at, "a prompt has no list of responses.")
            continue
        for number, response in enumerate(responses):
            where = f"{at}, prompt {group}, response {number}"
            try:
                yield _row(where, entry, str(group), prompt.get("prompt"), response, _is_exact(header))
            except Mistake as error:
                yield Refusal(where, str(error))


def _row(place: str, entry: dict[str, Any], group: str, prompt: Any, response: Any, is_exact: bool) -> Row:
    tokens = response.get("tokens") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(tokens or {}, dict):
        raise Mistake("a response is no record, or its tokens are none.")
    tokens = dict(tokens or {})
    if isinstance(tokens.get("prob"), list) and "log_probs" not in tokens:
        tokens["log_probs"] = [math.log(p) if isinstance(p, int | float) and p > 0 else None for p in tokens["prob"]]
    ids = tokens.get("ids")
    has_ids = not isinstance(ids, list) or (bool(ids) and None not in ids)
    return Row(
        place=place,
        step=rows.whole(entry.get("step"), "step"),
        prompt=rows.text(prompt, "prompt"),
        completion=rows.text(response.get("response_text"), "response_text"),
        reward=rows.number(response.get("reward"), "reward"),
        advantage=rows.number(response.get("advantage"), "advantage"),
        group=group,
        ids=rows.token_ids(ids, "ids") if has_ids else None,
        texts=rows.token_texts(tokens.get("strings"), "strings"),
        arrays=_arrays(tokens, is_exact),
        extras={"id": str(response["id"])[:200]} if response.get("id") is not None else {},
    )


def _arrays(tokens: dict[str, Any], is_exact: bool) -> dict[str, Any]:
    has_old = isinstance(tokens.get("old_log_probs"), list)
    names = {"old_log_probs" if has_old else "log_probs": "logprob", "ref_log_probs": "ref_logprob"}
    names |= {"token_kl": "kl" if is_exact else "token_kl"} | {name: name for name in _OWN}
    if has_old and tokens.get("log_probs") != tokens["old_log_probs"]:
        names["log_probs"] = "log_probs"
    return rows.arrays(tokens, names)
