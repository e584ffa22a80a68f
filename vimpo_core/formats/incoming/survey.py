"""The first table of what somebody brought: what is in it, what is doubtful, and what will not be possible with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vimpo_core.formats.incoming.rows import TOKEN_ARRAYS, Refusal, Row
from vimpo_core.types import CreditTrace

LOGPROB_SLACK = 1e-4
"""How far above 0 rounding may lift a log-probability."""
_PLACES = 3
_SHOWN = 2
_WORDS = {
    "ids": "token ids",
    "logprob": "log-probabilities of the policy",
    "ref_logprob": "log-probabilities of the reference",
    "kl": "exact KL",
    "entropy": "entropy",
    "sampler_logprob": "log-probabilities of the sampler",
    "topk": "alternatives",
}


@dataclass
class Survey:
    """Counts what is read, step by step; `as_dict` is the table."""

    steps: dict[int, Counter] = field(default_factory=dict)
    """What each step has of "rows", "tokens", ("array", name), ("doubt", what), ..."""
    kept: int = 0
    repeated: int = 0
    refused: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    approximate: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    too_many: str = ""

    def refuse(self, refusal: Refusal) -> None:
        count, places = self.refused.get(refusal.why, (0, []))
        self.refused[refusal.why] = count + 1, [*places, refusal.place][:_PLACES]

    def note(self, said: str) -> None:
        """Say it once."""
        if said not in self.notes:
            self.notes.append(said)

    def take(self, row: Row, trace: CreditTrace) -> None:
        """Count a row that is kept."""
        self.kept += 1
        self.approximate |= row.approximate
        count = self.steps.setdefault(trace.step, Counter())
        count["rows"] += 1
        count["tokens"] += len(trace.ids)
        count["marked"] += row.group is not None or row.trace is not None
        if trace.provenance.get("ids") != "missing":
            count["array", "ids"] += 1
        for name in (*TOKEN_ARRAYS, "topk"):
            if getattr(trace, name) is not None:
                count["array", name] += 1
        for name in trace.tool_arrays:
            count["other", name] += 1
        if "completion" in trace.extras and row.texts is not None:
            count["doubt", "texts of tokens that do not spell the completion"] += 1
        for name, paid in (row.rewards or trace.rewards).items():
            count["reward", name] += paid is not None
        for name, value in trace.extras.items():
            count["beside", name] += not isinstance(value, str)
        if len(row.extras) > len(trace.extras):
            count["doubt", "more other values than are kept"] += 1
        for remark in row.remarks:
            count["remark", remark] += 1
        count["plain sum"] += len(row.rewards) > 1 and not row.is_total and not row.remarks
        if math.isnan(trace.reward):
            count["unrewarded"] += 1
        else:
            count["reward sum"] += trace.reward  # type: ignore[assignment]
        self._look(trace, count)

    @staticmethod
    def _look(trace: CreditTrace, count: Counter) -> None:
        for name in ("logprob", "ref_logprob", "sampler_logprob"):
            values = getattr(trace, name)
            if values is not None and bool((values > LOGPROB_SLACK).any()):
                count["doubt", f"a log-probability above 0 ({name})"] += 1
        if trace.kl is not None and bool((trace.kl < -LOGPROB_SLACK).any()):
            count["doubt", "a KL below 0"] += 1
        for name in ("kl", "entropy"):
            values = getattr(trace, name)
            if values is not None:
                count[f"{name} sum"] += float(np.nansum(values, dtype=np.float64))  # type: ignore[assignment]

    def forget(self, step: int) -> None:
        """A step whose rows are those of the one before."""
        rows = self.steps.pop(step)["rows"]
        self.kept -= rows
        self.repeated += rows

    def metrics(self) -> dict[int, dict[str, float]]:
        """What each step's means are, by the names of `measure.metrics`."""
        return {step: dict(_means(count)) for step, count in sorted(self.steps.items())}

    def as_dict(self, groups: Mapping[int, Sequence[int]]) -> dict[str, Any]:
        """The table; groups: step -> the sizes of its groups."""
        total: Counter = Counter()
        for count in self.steps.values():
            total.update(count)
        sizes = Counter(size for of_step in groups.values() for size in of_step)
        usual = sizes.most_common(1)[0][0] if sizes else 0
        steps = sorted(groups)
        return {
            "rows": self.kept,
            "refused": {why: {"rows": count, "places": places} for why, (count, places) in self.refused.items()},
            "repeated": self.repeated,
            "steps": {"count": len(steps), "first": steps[0], "last": steps[-1]} if steps else {"count": 0},
            "groups": {
                "count": sizes.total(),
                "size": usual,
                "odd": sizes.total() - sizes[usual],
                "by": "the tool's own mark" if total["marked"] == self.kept else "equal prompts in a step",
            },
            "tokens": total["tokens"] if total["array", "ids"] else None,
            "arrays": {name: self._source(name, total) for name in ("ids", *TOKEN_ARRAYS, "topk")},
            "others": _named(total, "other"),
            "rewards": {name: total["reward", name] for name in _named(total, "reward")},
            "unrewarded": total["unrewarded"],
            "doubts": self._doubts(total, sizes, usual),
            "cannot": _cannot(total),
            "notes": self.notes + _beside(total),
        }

    def _source(self, name: str, total: Counter) -> str:
        """ "recorded", "approximate (...)", "recorded for 3 of 8 rows" or "missing"."""
        have = total["array", name]
        if not have:
            return "missing"
        said = f"approximate ({self.approximate[name]})" if name in self.approximate else "recorded"
        return said if have == self.kept else f"{said} for {have} of {self.kept} rows"

    def _doubts(self, total: Counter, sizes: Counter, usual: int) -> list[str]:
        doubts = {what: total["doubt", what] for what in _named(total, "doubt")}
        said = [f"{count} {'row has' if count == 1 else 'rows have'} {what}." for what, count in doubts.items()]
        if odd := sizes.total() - sizes[usual]:
            said.append(
                f"{odd} of {sizes.total()} groups do not have {usual} solutions like most: they could not be rebuilt "
                "for certain."
            )
        if self.repeated:
            said.append(
                f"{self.repeated} rows are those of the step before, row for row: a batch that was used again. They "
                "are counted once, at the first step."
            )
        for remark in _named(total, "remark"):
            count = total["remark", remark]
            said.append(remark if count == self.kept else f"{remark} (So it is with {count} of {self.kept} rows.)")
        if total["plain sum"] and len(names := _named(total, "reward")) > 1:
            said.append(
                f"There are several rewards ({', '.join(names)[:200]}): where no total was recorded, a solution's "
                "reward is their sum, as no weights were."
            )
        if total["unrewarded"]:
            said.append(f"{total['unrewarded']} of {self.kept} rows have no reward.")
        return said + ([self.too_many] if self.too_many else [])


def _named(total: Counter, kind: str) -> list[str]:
    return sorted(key[1] for key in total if isinstance(key, tuple) and key[0] == kind)


def _beside(total: Counter) -> list[str]:
    """A sentence that names the numbers of a row that are taken for nothing."""
    names = [name for name in _named(total, "beside") if total["beside", name]]
    if not names:
        return []
    return [f"Numbers beside the reward, shown with a solution and counted in nothing: {', '.join(names)[:300]}."]


def _cannot(total: Counter) -> list[str]:
    said = []
    if not total["array", "ids"]:
        said.append(
            "Token ids were not recorded: pieces of text stand for tokens, and a re-scoring scores the text, which "
            "need not be the tokens that were sampled."
        )
    lacking = [_WORDS[name] for name in ("logprob", "ref_logprob", "kl") if not total["array", name]]
    if lacking:
        said.append(f"Token credit of VIMPO needs {', '.join(lacking)}: re-score the run with its model.")
    said.append("Adapters and the optimizer are not here: it cannot be resumed, forked or filmed.")
    return said


def _means(count: Counter) -> Iterator[tuple[str, float]]:
    if count["rows"] > count["unrewarded"]:
        yield "reward_mean", count["reward sum"] / (count["rows"] - count["unrewarded"])
    if count["array", "ids"] == count["rows"]:
        yield "length_mean", count["tokens"] / count["rows"]
    for name in ("kl", "entropy"):
        if count["array", name] == count["rows"] and count["tokens"]:
            yield f"{name}_mean", count[f"{name} sum"] / count["tokens"]


def adapters_kept(found: Mapping[str, Any]) -> str:
    """How many adapters came with it; "" where none did."""
    count = len(found.get("adapters") or ())
    return f"{count} adapter{'' if count == 1 else 's'}, kept with the run" if count else ""


def lines(found: Mapping[str, Any]) -> list[str]:
    """The first table as text, a line a fact."""
    steps, groups = found["steps"], found["groups"]
    facts = {
        "format": f"{found['format']}, {found['file_count']} {'file' if found['file_count'] == 1 else 'files'}",
        "rows": f"{found['rows']}" + (f", and {found['repeated']} written again" if found["repeated"] else ""),
        "steps": f"{steps['count']}, from {steps['first']} to {steps['last']}",
        "groups": f"{groups['count']}, mostly of {groups['size']}, by {groups['by']}",
        "tokens": "not recorded" if found["tokens"] is None else f"{found['tokens']}",
        **found["arrays"],
    }
    if found["others"]:
        facts["also a token"] = ", ".join(found["others"])
    if found["rewards"]:
        facts["rewards"] = ", ".join(f"{name} ({count})" for name, count in found["rewards"].items())
    if kept := adapters_kept(found):
        facts["adapters"] = kept
    said = [f"{name:<18} {value}" for name, value in facts.items()]
    for why, those in found["refused"].items():
        rows = "1 row" if those["rows"] == 1 else f"{those['rows']} rows"
        said.append(f"left out           {rows}: {why} ({'; '.join(those['places'])})")
    said += [f"left alone         {why}" for why in list(found["left_alone"].values())[:_SHOWN]]
    if (more := len(found["left_alone"]) - _SHOWN) > 0:
        said.append(f"left alone         {more} more files")
    said += [f"doubtful           {one}" for one in found["doubts"]]
    said += [f"not possible       {one}" for one in found["cannot"]]
    return said + [f"note               {one}" for one in found["notes"]]
