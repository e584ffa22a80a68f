"""Solutions that another tool recorded, scored again: which, with what, checked against what was recorded, and laid
over it. torch is imported late.

`look` loads the model and says what would be scored; `rescore` does it and shows all of it at the end, so that one that
is ended before leaves the run as it was. What it has scored by then is kept: the same asked for again goes on there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vimpo_core.lm import adapter_files, sources
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.store import RunStore
from vimpo_core.service.helper_process import HelperProcess
from vimpo_core.service.progress import Progress
from vimpo_core.types import CreditTrace, known

TOP_K = 5
SPREAD = 10
"""Solutions of a step that differ most in what they earned, as one of the choices."""
TEMPERATURES = 0.05, 10.0
_GAP = 0.5
"""Nats a token between a text's log-probability and minus the entropy, above which the model hardly wrote it."""
KEEP_SECONDS = 15.0
"""After which what is scored by then is kept."""
_NAMED = 64
"""Solutions that a command names one by one; of more it means the whole step."""
_ROUNDING = 1e-3
"""Nats a token by which two programs differ at most in float32."""
Place = tuple[int, int, int]
"""step, group_id, sample_idx"""


@functools.lru_cache(maxsize=1)
def rescore_service() -> HelperProcess:
    """A process of its own: it takes minutes, and nobody who scores a solution waits behind it."""
    return HelperProcess()


@dataclass(frozen=True)
class Asked:
    """What is to be scored again, and how.

    model, reference: sources (`lm.sources`); no reference: an adapter's base, of a whole model none.
    places: the solutions. temperature: None for the one that fits, else that was recorded, else 1.
    as_ended: score an end token behind a text of which nobody recorded how it ended.
    """

    model: str
    places: tuple[Place, ...]
    reference: str = ""
    temperature: float | None = None
    as_ended: bool = False


@dataclass(frozen=True)
class Look:
    """What was found before anything is scored. All of it is ready for JSON (`dataclasses.asdict`).

    solutions, tokens: that will be scored; left_out: reason -> solutions that cannot be. same: `rescoring.Same` ->
    solutions. unended: texts of which nobody recorded how they ended, and that get no end token. temperature: that will
    be used. difference: mean and largest |log-probability recorded - computed| of some solutions, nats; None where none
    was recorded. is_doubtful: whether it says that another model wrote them. sentences: all of it in words.
    """

    solutions: int
    tokens: int
    left_out: dict[str, int]
    same: dict[str, int]
    unended: int
    temperature: float
    difference: tuple[float, float] | None
    has_reference: bool
    is_doubtful: bool
    sentences: tuple[str, ...]


# ---- which


def places_of(traces: Iterable[CreditTrace]) -> tuple[Place, ...]:
    return tuple((t.step, t.group_id, t.sample_idx) for t in traces)


def of_group(traces: Sequence[CreditTrace], group_id: int) -> list[CreditTrace]:
    return [t for t in traces if t.group_id == group_id]


def spread(traces: Sequence[CreditTrace], count: int = SPREAD) -> list[CreditTrace]:
    """Solutions of the prompts whose rewards lie furthest apart, of each prompt its best and its worst first."""
    rows = [t for t in traces if np.isfinite(t.reward)] or list(traces)
    groups = [sorted(of_group(rows, g), key=lambda t: -t.reward) for g in dict.fromkeys(t.group_id for t in rows)]
    groups.sort(key=lambda group: group[-1].reward - group[0].reward)
    found: list[CreditTrace] = []
    while len(found) < count and any(groups):
        for group in groups:  # the best and the worst of what is left of it
            found += [group.pop(i) for i in (0, -1) if group]
    return found[:count]


def all_places(store: RunStore) -> tuple[Place, ...]:
    return tuple(place for step in store.trace_steps() for place in places_of(store.traces(step, as_recorded=True)))


def read_places(step: int, typed: str) -> tuple[Place, ...]:
    """The solutions that "GROUP:SAMPLE,GROUP:SAMPLE" names. Raises Mistake where it names none."""
    found = []
    for part in typed.split(","):
        group, colon, sample = part.strip().partition(":")
        if not (colon and group.isdecimal() and sample.isdecimal()):
            raise Mistake(f"rows must be GROUP:SAMPLE, separated by commas, such as 0:0,0:3; got {part[:40]!r}.")
        found.append((step, int(group), int(sample)))
    return tuple(dict.fromkeys(found))


def command_line(run_id: str, asked: Asked) -> str:
    """The same as a command."""
    parts = ["python -m vimpo_core rescore", shlex.quote(run_id), "--model", shlex.quote(asked.model)]
    if asked.reference:
        parts += ["--reference", shlex.quote(asked.reference)]
    steps = sorted({step for step, *_ in asked.places})
    if len(steps) == 1:
        rows = ",".join(f"{group}:{sample}" for _, group, sample in asked.places)
        parts += ["--step", str(steps[0]), *(["--rows", rows] if len(asked.places) <= _NAMED else [])]
    else:
        parts.append("--all")
    if asked.temperature is not None:
        parts += ["--temperature", f"{asked.temperature:g}"]
    return " ".join([*parts, *(["--as-ended"] if asked.as_ended else [])])


# ---- checks and scores, in the process that has the model


def look(run_dir: Path, asked: Asked) -> Look:
    """What would be scored, after the model was loaded and compared with what was recorded. Imports torch.

    Raises:
        Mistake, one sentence: no such run, solution or model; the run was trained here; another tokenizer's ids;
            nothing that could be scored.
    """
    return _prepared(run_dir, asked)[0]


def in_service(run_dir: Path, asked: Asked, progress: Progress) -> dict[str, Any]:
    """`rescore` for who waits in another process."""
    return rescore(run_dir, asked, progress.tell)


def rescore(run_dir: Path, asked: Asked, tell: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Score and lay over the recorded; returns the note that the header keeps, with what `look` found. Imports torch.

    tell: is told how many tokens are done, of how many.

    Raises Mistake as `look`; StoreError where it cannot be written. Nothing is shown before all of it is there.
    """
    from vimpo_core.lm import rescoring

    found, policy, rows = _prepared(run_dir, asked)
    named = _names(asked, found)
    folder = sources.adapter_of(asked.model)
    adapter = None if folder is None else _sha256(folder / adapter_files.WEIGHTS)
    with RunStore.open(run_dir, writable=True) as store:
        begun, there = store.begin_rescoring(_begun(asked, adapter, found.temperature))
    scored = rescoring.rescored(policy, rows, found.temperature, TOP_K, named, tell, there)
    begun, traces = _keeping(run_dir, scored, begun)
    note = {
        "model": sources.settled(asked.model),
        "adapter": adapter,
        "reference": _reference(asked) if found.has_reference else None,
        "names": [name for name in named if name],
        "temperature": found.temperature,
        "unmoved": found.has_reference and not begun["moved"],
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": sorted({step for step, *_ in asked.places}),
        "command": command_line(Path(run_dir).name, asked),
        "look": dataclasses.asdict(found),
    }
    with RunStore.open(run_dir, writable=True) as store:
        return store.put_rescored(traces, note)


def _begun(asked: Asked, adapter: str | None, temperature: float) -> dict[str, Any]:
    """What a run says of a re-scoring that is not done: enough to ask for it again, and to know it."""
    said = dataclasses.asdict(asked) | {
        "model": sources.settled(asked.model),
        "places": sorted(map(list, asked.places)),
    }
    marks = [said, adapter, temperature, bases.stamp(asked.model), bases.stamp(asked.reference or "bundled")]
    key = hashlib.sha256(json.dumps(marks, default=str).encode()).hexdigest()
    return {"key": key, "asked": said, "moved": False}


def unfinished(store: RunStore) -> tuple[Asked, int] | None:
    """A re-scoring that was begun and is not done, as it was asked for, and how many of its solutions are kept."""
    found = store.rescoring()
    if found is None:
        return None
    said, kept = found
    return Asked(**said["asked"] | {"places": tuple(map(tuple, said["asked"]["places"]))}), kept


def _keeping(run_dir: Path, scored: Iterable[CreditTrace], begun: dict) -> tuple[dict, list[CreditTrace]]:
    """What is scored, kept in the run every few seconds; returns what is said of it, and the last solutions, which
    are not kept yet. What is there when it is ended is kept too."""
    waiting: list[CreditTrace] = []
    since = time.monotonic()

    def keep() -> None:
        with RunStore.open(run_dir, writable=True) as store:
            store.keep_rescored(waiting, begun)
        waiting.clear()

    try:
        for trace in scored:
            waiting.append(trace)
            if not begun["moved"] and trace.ref_logprob is not None:
                begun = begun | {"moved": not np.array_equal(known(trace.logprob), trace.ref_logprob)}
            if time.monotonic() - since > KEEP_SECONDS:
                keep()
                since = time.monotonic()
    except BaseException:
        with contextlib.suppress(Mistake, OSError):  # what ended it is what is to be said
            keep()
        raise
    return begun, waiting


UNMOVED = "Policy and reference are the same here, so every credit is 0: this model had not learned anything yet."
"""Said of a re-scoring whose note says `unmoved`."""


def drop(run_dir: Path) -> None:
    """Forget a re-scoring that is not done."""
    with RunStore.open(run_dir, writable=True) as store:
        store.drop_rescoring()


def undo(run_dir: Path) -> dict[str, Any]:
    """Take the last re-scoring back; returns its note. Raises Mistake where there is none."""
    with RunStore.open(run_dir, writable=True) as store:
        return store.undo_rescored()


def _prepared(run_dir: Path, asked: Asked):
    """The look, the policy, and the solutions with their tokens."""
    from vimpo_core.lm import rescoring

    store = RunStore.open(run_dir)
    header = store.header()
    if not header.get("imported"):
        raise Mistake(
            f"run {store.run_id} was trained here, and all was recorded then. Only brought runs are re-scored."
        )
    if asked.temperature is not None and not TEMPERATURES[0] <= asked.temperature <= TEMPERATURES[1]:
        low, high = TEMPERATURES
        raise Mistake(f"temperature must be {low:g} to {high:g}, got {asked.temperature:g}. Leave it out to find it.")
    traces = _recorded(store, asked.places)
    policy = _pair(asked.model, asked.reference, (bases.stamp(asked.model), bases.stamp(asked.reference or "bundled")))
    compared = rescoring.to_compare(traces)
    rescoring.refuse_other_tokenizer(policy, compared)
    rows, left_out = [], Counter[str]()
    for trace in traces:
        tokens = rescoring.tokens_of(policy, trace, asked.as_ended)
        if isinstance(tokens, str):
            left_out[tokens] += 1
        else:
            rows.append((trace, tokens))
    if not rows:
        why = "; ".join(f"{count} solutions: {reason}" for reason, count in left_out.items())
        raise Mistake(f"none of the solutions can be scored. {why or 'None was asked for'}.")
    recorded = _recorded_temperature(header, traces)
    fit = rescoring.fit(policy, compared, recorded)
    temperature, why = _temperature(asked, recorded, fit)
    sentences = [
        *_said_of_base(asked),
        _said_of_tokens(rows),
        *_said_of_ends(policy, rows, asked),
        *_said_of_left_out(left_out),
    ]
    gap = None if fit else _gap(policy, rows, temperature)
    doubts = [said for said in (_doubt(fit), _doubt_of_text(gap)) if said]
    same = Counter(str(tokens.same) for _, tokens in rows)
    has_reference = policy.model is not policy.bare
    found = Look(
        solutions=len(rows),
        tokens=sum(len(t.ids) for _, t in rows),
        left_out=dict(left_out),
        same={str(kind): same[str(kind)] for kind in rescoring.Same},
        unended=0 if asked.as_ended else len(_open(policy, rows)),
        temperature=temperature,
        difference=(fit.mean, fit.worst) if fit else None,
        has_reference=has_reference,
        is_doubtful=bool(doubts),
        sentences=(_said_of_fit(fit, gap), why, *doubts, *sentences, *([] if has_reference else [_NO_REFERENCE])),
    )
    return found, policy, rows


_NO_REFERENCE = (
    "No reference is named, and a whole model has none of its own: reference log-probabilities and KL, and so VIMPO's "
    "credit, stay as they were recorded. Name the model that training began with as the reference."
)


@functools.lru_cache(maxsize=1)
def _pair(model: str, reference: str, stamp: tuple):
    from vimpo_core.lm import loading, models

    models.single_thread()
    return loading.load_pair(sources.settled(model), sources.settled(reference) if reference else "")


def _recorded(store: RunStore, places: Sequence[Place]) -> list[CreditTrace]:
    """The solutions as they were recorded. Raises Mistake naming what there is."""
    wanted: dict[int, set[tuple[int, int]]] = {}
    for step, group, sample in places:
        wanted.setdefault(step, set()).add((group, sample))
    found = []
    for step, of_step in wanted.items():
        there = {(t.group_id, t.sample_idx): t for t in store.traces(step, as_recorded=True)}
        for group, sample in sorted(of_step - set(there)):
            store.recorded_trace(step, group, sample)  # says what there is
        found += [trace for key, trace in there.items() if key in of_step]
    return found


def _recorded_temperature(header: dict, traces) -> float | None:
    told = {t.extras["temperature"] for t in traces if isinstance(t.extras.get("temperature"), int | float)}
    of_run = header.get("temperature")
    said = told.pop() if len(told) == 1 else None if told else of_run
    return float(said) if isinstance(said, int | float) and TEMPERATURES[0] <= said <= TEMPERATURES[1] else None


def _temperature(asked: Asked, recorded, fit) -> tuple[float, str]:
    """The temperature to score at, and why, in a sentence."""
    if asked.temperature is not None:
        return asked.temperature, f"Scored at temperature {asked.temperature:g}, as asked for."
    if fit is not None and fit.is_near:
        if recorded is not None and abs(recorded - fit.temperature) > 0.005:
            return fit.temperature, (
                f"Temperature {recorded:g} was recorded, but the log-probabilities are those at {fit.temperature:g}: "
                f"scored at {fit.temperature:g}."
            )
        return fit.temperature, f"Scored at temperature {fit.temperature:g}, which fits."
    if recorded is not None:
        return recorded, f"Scored at temperature {recorded:g}, as recorded."
    return 1.0, "Its temperature was not recorded and cannot be found: scored at 1. Name another if it was sampled so."


def _said_of_fit(fit, gap) -> str:
    if fit is not None:
        rows = f"{fit.rows} solution{'s' if fit.rows > 1 else ''} ({fit.tokens} tokens)"
        at_one = fit.temperature == 1
        fits = "" if at_one else f", and fit temperature {fit.temperature:g} (at 1 they are {fit.mean_at_one:.2g} off)"
        if fit.is_close:
            agree = f"Checked on {rows}: the recorded log-probabilities agree within {fit.worst:.2g} nats a token"
            return f"{agree}{', as half precision leaves them' if fit.worst > _ROUNDING else ''}{fits}."
        if fit.is_near:
            return (
                f"Checked on {rows}: the recorded log-probabilities are {fit.mean:.2g} nats a token off on average, "
                f"{fit.worst:.2g} at most{fits}, as in half precision or a few updates apart."
            )
        return (
            f"Checked on {rows}: the recorded log-probabilities do not fit this model at any temperature: they are "
            f"{fit.mean:.2g} nats a token off on average, {fit.worst:.2g} at most."
        )
    if gap is None:
        return "No log-probabilities were recorded that the model could be checked against."
    return (
        "No log-probabilities were recorded that the model could be checked against. Under it the text has "
        f"{gap[0]:.2f} nats a token; what it samples itself has {gap[1]:.2f}."
    )


def _doubt(fit) -> str:
    if fit is None or fit.is_near:
        return ""
    return "Another model or step wrote them, or the prompt was worded otherwise: what is scored is this model's view."


def _doubt_of_text(gap) -> str:
    if gap is None or gap[1] - gap[0] <= _GAP:
        return ""
    return "It would hardly have written this text: another model or step did, or the prompt was worded otherwise."


def _gap(policy, rows, temperature) -> tuple[float, float] | None:
    """Mean log-probability of some texts, and minus the mean entropy where they stand: nats a token, alike where the
    model wrote them itself."""
    import torch

    from vimpo_core.lm import rescoring, scores

    some = [rows[i][1] for i in sorted({0, len(rows) // 2, len(rows) - 1})]
    kept = [(t.prompt_ids, list(t.ids[: rescoring.FIT_TOKENS])) for t in some]
    total, spread_, count = 0.0, 0.0, 0
    with torch.no_grad():
        for prompt, ids in kept:
            batch = scores.make_batch([prompt], [ids], policy.pad_id, policy.device)
            measured = scores.score(policy, batch, temperature=temperature)
            total, spread_ = total + float(measured.logprobs.sum()), spread_ + float(measured.entropy.sum())
            count += len(ids)
    return (total / count, -spread_ / count) if count else None


def _said_of_tokens(rows) -> str:
    from vimpo_core.lm.rescoring import Same

    same = Counter(tokens.same for _, tokens in rows)
    texts = len(rows) - same[Same.RECORDED]
    if not texts:
        return f"The token ids of all {len(rows)} solutions were recorded: these are scored."
    first = f"Of {same[Same.RECORDED]} solutions the token ids were recorded. " if same[Same.RECORDED] else ""
    return (
        f"{first}Of {texts} solution{'s' if texts > 1 else ''} only the text was recorded, and the text is scored, as "
        f"this tokenizer cuts it: the tokens are known to be as many as were sampled in {same[Same.AGREES]}, known to "
        f"be others in {same[Same.DIFFERS]}, and cannot be known in {same[Same.UNKNOWN]}."
    )


def _open(policy, rows) -> list:
    """Texts of which nobody recorded how they ended, those left out that end in the end token's own text."""
    from vimpo_core.lm.rescoring import completion_of

    ends = tuple(filter(None, (policy.tokenizer.decode([end]) for end in policy.end_ids)))
    unsaid = [trace for trace, _ in rows if trace.finish_reason is None and not _has_ids(trace)]
    return [trace for trace in unsaid if not (ends and completion_of(trace).endswith(ends))]


def _has_ids(trace) -> bool:
    return len(trace.ids) > 0 and trace.has_ids


def _said_of_ends(policy, rows, asked) -> list[str]:
    unended = len(_open(policy, rows))
    if unended and not asked.as_ended:
        whose = f"{unended} solution{'s' if unended > 1 else ''}"
        return [f"Whether {whose} ended or were cut off was not recorded: no end token is scored for them."]
    if unended:
        return [f"An end token is scored for {unended} solutions of which it was not recorded, as asked for."]
    return []


def _said_of_left_out(left_out) -> list[str]:
    return [f"Left out: {count} solution{'s' if count > 1 else ''}, as {reason}." for reason, count in left_out.items()]


# ---- what it is called


def _names(asked: Asked, found: Look) -> tuple[str, str]:
    return _short(asked.model), _short(_reference(asked)) if found.has_reference else ""


def _reference(asked: Asked) -> str:
    if asked.reference:
        return sources.settled(asked.reference)
    folder = sources.adapter_of(asked.model)
    return "" if folder is None else sources.base_alike(folder)[0]


def _said_of_base(asked: Asked) -> list[str]:
    """A sentence where an adapter's base was found by its name."""
    folder = sources.adapter_of(asked.model)
    said = "" if folder is None or asked.reference else sources.base_alike(folder)[1]
    return [said] if said else []


def _short(source: str) -> str:
    return sources.label(sources.settled(source))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
