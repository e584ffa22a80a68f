"""A run as the UNIPO viewer reads it: one object in `.json`, or a header line and a line a step in `.jsonl`.

Its build script (poloclub/unipo, scripts/build_data.py, docs/canonical_schema.json) splits the file for a web page.
Therefore everything is finite or null, texts are whole characters, and an array that was not recorded is left out: the
viewer shows a dash. What stands under its names is what it means by them: `token_kl` is this lab's exact KL, which
`hparams.kl_estimator` says; `advantages` are what enters the run's actor loss; `old_log_probs` are those of the policy
that sampled, which at the step that a solution was sampled at is the one that is updated, so that the ratio is 1 and
the clipped `token_objective` of a token is its advantage.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from vimpo_core.config import TrainConfig
from vimpo_core.rules import RULES
from vimpo_core.runs import recorded_settings
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions.pieces import readable
from vimpo_core.tasks import registry
from vimpo_core.types import CreditTrace
from vimpo_core.views import rules_view

OF_OURS = {
    "reward_mean": "reward",
    "actor_loss": "policy_loss",
    "entropy_mean": "entropy",
    "kl_mean": "kl",
    "length_mean": "response_length",
}
"""A metric of this lab -> what UNIPO calls it; the others keep their names."""
HPARAMS = ("beta", "gae_lambda", "learning_rate", "group_size", "actor_coef")
"""Settings under the names that they have here; those that nobody recorded are left out."""
REQUIRED = ("policy_objective", "reward")
MEASURED = {"logprob": "log_probs", "ref_logprob": "ref_log_probs", "kl": "token_kl", "critic_values": "values"}
"""An array of a trace -> its name there."""
TOOLS_OWN = ("advantages", "returns", "rewards", "token_kl", "token_objective", "values", "old_log_probs")
"""Arrays under UNIPO's names that another tool may have recorded."""


def write(store: RunStore, header: dict, read: Callable[[int], list[CreditTrace]], file: BinaryIO, suffix: str) -> None:
    first = _header(store, header)
    entries = _entries(store, header["steps"], read)
    if suffix == ".jsonl":
        file.writelines(_dumps({"type": kind} | value) + b"\n" for kind, value in _typed(first, entries))
        return
    file.write(b'{"header": ' + _dumps(first) + b',\n"entries": [')
    for count, entry in enumerate(entries):
        file.write((b",\n" if count else b"\n") + _dumps(entry))
    file.write(b"\n]}\n")


def remarks(store: RunStore, steps: Sequence[int]) -> list[str]:
    """What UNIPO's schema requires and the run does not have, a sentence each."""
    of_step = _metrics(store.metrics(timings=False)[-1], store.traces(steps[-1]))
    lacks = [name for name in REQUIRED if name not in of_step]
    found = []
    if lacks:
        found.append(
            f"UNIPO's schema asks for {' and '.join(lacks)}, which this run did not record: left out, and the viewer "
            "shows the other curves."
        )
    if not any(trace.has_ids for trace in store.traces(steps[0])):
        found.append("This run's tokens were not recorded: the viewer shows words, and their ids are null.")
    return found


def _typed(header: dict, entries: Iterable[dict]) -> Iterator[tuple[str, dict]]:
    yield "header", header
    for entry in entries:
        yield "step", entry


def _header(store: RunStore, header: dict) -> dict:
    config = store.config()
    is_own = not header.get("imported")
    said = {
        "algorithm": header["algorithm"] or recorded_settings.tool_mark(header["imported"]["tool"]),
        "task": registry.label(config.task) if is_own else None,
        "reward_strategy": "checked by the task's verifier" if is_own else None,
        "model_name": (header.get("model") or {}).get("id") or None,
        "reference_model_name": (header.get("ref") or {}).get("id") or None,
    }
    hparams: dict[str, Any] = {"kl_estimator": "exact"} if _has_exact_kl(store, header["steps"]) else {}
    known = recorded_settings.of(header.get("imported"), config)
    hparams |= {name: known[name] for name in HPARAMS if name in known}
    if {"clip_low", "clip_high"} <= set(known):
        hparams["clip_eps"] = [config.clip_low, config.clip_high]
    if header.get("temperature") is not None:
        hparams["temperature"] = header["temperature"]
    more = {"totalSteps": config.steps if is_own else len(header["steps"]), "hparams": hparams, "vimpo_lab": header}
    found = {name: value for name, value in (said | more).items() if value is not None}
    return json.loads(_utf8(json.dumps(found, ensure_ascii=False)))


def _has_exact_kl(store: RunStore, steps: Sequence[int]) -> bool:
    return any(trace.kl is not None for trace in store.traces(steps[0]))


def _entries(store: RunStore, chosen: Sequence[int], read: Callable[[int], list[CreditTrace]]) -> Iterator[dict]:
    """An entry a step that has metrics or solutions, ascending, from the first chosen step to the last."""
    metrics = {row["step"]: row for row in store.metrics(timings=False)}
    is_own = "imported" not in store.header()
    wanted = set(chosen)
    for step in sorted(wanted | {step for step in metrics if min(wanted) <= step <= max(wanted)}):
        entry: dict[str, Any] = {"step": step}
        if is_own:
            entry["is_first_step_after_rollout_phase"] = True  # every step samples anew
        traces = read(step) if step in wanted else []
        entry["metrics"] = _metrics(metrics.get(step, {}), traces)
        if traces:
            entry["prompts"] = _prompts(traces, store.config().at(step), is_own)
        yield entry


def _metrics(row: dict, traces: Sequence[CreditTrace]) -> dict:
    found = {OF_OURS.get(name, name): value for name, value in row.items() if name != "step"}
    if "policy_loss" in found and found["policy_loss"] is not None:
        found["policy_objective"] = -found["policy_loss"]
    rewards = [trace.reward for trace in traces if math.isfinite(trace.reward)]
    if found.get("reward") is None and rewards:
        found["reward"] = float(np.mean(rewards))
    return {name: value for name, value in found.items() if value is not None}


def _prompts(traces: Sequence[CreditTrace], config: TrainConfig, is_own: bool) -> list[dict]:
    credited = _actor_advantages(traces, config) if is_own else None
    groups: dict[int, list[int]] = {}
    for index, trace in enumerate(traces):
        groups.setdefault(trace.group_id, []).append(index)
    return [
        {
            "prompt": _utf8(traces[rows[0]].prompt_text),
            "responses": [_response(traces[i], None if credited is None else credited[i]) for i in rows],
        }
        for rows in groups.values()
    ]


def _actor_advantages(traces: Sequence[CreditTrace], config: TrainConfig) -> list[np.ndarray] | None:
    """What the run's own rule multiplies each token's ratio with; None where it has no actor, or lacks an array."""
    rule = RULES[config.algorithm]
    batch = rules_view.batch_of(traces, config, token_budget=1)  # which no advantage reads
    if rule.advantages is None or rules_view.judge(batch, [config.algorithm])[config.algorithm].no_push:
        return None
    found = rule.advantages(batch.sampled, config)
    return [np.asarray(row[: len(trace.ids)], np.float64) for row, trace in zip(found, traces, strict=True)]


def _response(trace: CreditTrace, credited: np.ndarray | None) -> dict:
    tokens: dict[str, Any] = {
        "ids": trace.ids.tolist() if trace.has_ids else [None] * len(trace.ids),
        "strings": [_utf8(text) for text in trace.text],
    }
    tokens |= {there: _numbers(getattr(trace, name)) for name, there in MEASURED.items()}
    tokens["old_log_probs"] = tokens["log_probs"] if credited is not None else None
    if credited is not None:
        tokens |= {"advantages": _numbers(credited), "token_objective": _numbers(credited)}
    own = {name: _numbers(trace.tool_arrays[name]) for name in TOOLS_OWN if name in trace.tool_arrays}
    tokens |= {name: values for name, values in own.items() if tokens.get(name) is None}
    advantage = trace.tool_advantage if credited is None else _of_all(credited)
    tokens = {name: values for name, values in tokens.items() if values is not None}
    if None in tokens.get("values", ()):  # the viewer writes each value's digits, and null has none
        del tokens["values"]
    response = {
        "id": f"step{trace.step}_p{trace.group_id}_sample{trace.sample_idx}",
        "reward": _finite(trace.reward),
        "response_text": _utf8(readable(trace.text)),
        "response_length": len(trace.ids),
        "tokens": tokens,
    }
    return response if advantage is None else response | {"advantage": _finite(advantage)}


def _of_all(credited: np.ndarray) -> float | None:
    """The advantage of the whole solution, where all its tokens have the same."""
    return float(credited[0]) if len(credited) and np.ptp(credited) == 0 else None


def _numbers(values) -> list | None:
    """Numbers with the fewest digits that read back to the same bits; what is not finite is null."""
    if values is None:
        return None
    array = np.asarray(values)
    return [float(str(x)) if np.isfinite(x) else None for x in array]


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _utf8(text: str) -> str:
    """Their script writes UTF-8, which has no half characters."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _dumps(value) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
