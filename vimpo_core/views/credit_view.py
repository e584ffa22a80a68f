"""From measured traces to what a page draws: lenses on the tokens of a solution, and one payload with all of them.

A trace holds what was measured; everything here is derived when it is looked at, by the functions of `credit` that
also train, so a beta slider shows what training at that beta would have seen. What was not recorded is None, never 0.
NumPy only; knows neither Streamlit nor where a trace came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from vimpo_core.rules import RULES
from vimpo_core.solutions import picks, pieces, reading
from vimpo_core.solutions.ledger import NATS_DECIMALS, UNITLESS_DECIMALS, Ledger, ledger, units
from vimpo_core.solutions.lenses import LENSES, PAIR, TOOL_ADVANTAGES, VALUE_LENSES, lens_values
from vimpo_core.solutions.steps import mark_note
from vimpo_core.solutions.visible_text import visible_lines, visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views.payload import marked, round_up, shown_texts, shown_units, tokens_of, whole, with_version


def inspector_payload(traces: Sequence[CreditTrace], index: int, beta: float, gae_lambda: float) -> dict:
    """Everything the credit view draws for `traces[index]`, all lenses at once, ready for JSON.

    Numbers travel as whole numbers of their last shown digit (`decimals` says how many a unit has) and come from one
    `ledger`, so whatever is on the screen recombines to what is on the screen. None: not recorded.
    """
    trace = traces[index]
    book = ledger(trace, beta, gae_lambda)
    arrays = {name: whole(values) for name, values in book.arrays.items()}
    for name in ("advantages_whitened", "grpo", "tool_advantage"):
        values = lens_values(traces, index, name, beta, gae_lambda)
        arrays[name] = None if values is None else whole(units(values, UNITLESS_DECIMALS))
    arrays["entropy"] = None if trace.entropy is None else whole(units(trace.entropy, NATS_DECIMALS))
    payload = {
        **tokens_of(trace),
        "note": mark_note(trace),
        "prompt": _prompt(traces, index),
        "beta": beta,
        "gae_lambda": gae_lambda,
        "decimals": {
            "reward": book.reward_decimals,
            "nats": NATS_DECIMALS,
            "position": NATS_DECIMALS,
            "whitened": UNITLESS_DECIMALS,
            "grpo": UNITLESS_DECIMALS,
            "tool": UNITLESS_DECIMALS,
        },
        "reward": whole([book.reward])[0],
        "baseline": whole([book.baseline])[0],
        "residual": whole([book.residual])[0],
        "anchor": reading.anchor_name(trace),
        "kl_name": reading.kl_name(trace),
        "missing": reading.missing(trace),
        "arrays": arrays,
        "pushes": _pushes(trace, beta, gae_lambda, book),
        "lenses": [{"key": key, **_lens_card(trace, key)} for key in LENSES if key != TOOL or arrays[TOOL] is not None],
        "of_words": not trace.has_ids,
        "tool": _by_its_tool(trace),
        "topk": _topk(trace),
    }
    return with_version(payload | {"scales": _scales(arrays, book, payload["baseline"], payload["pushes"])})


def marks(trace: CreditTrace) -> dict:
    """Which token stands out, and what is written under it: the part of `inspector_payload` that a measurement adds
    to.
    """
    return {**marked(trace), "note": mark_note(trace)}


def credit_name(algorithm: str, tool: str = "") -> str:
    """Whose credit it is: read off the policy, whatever trained it; tool: the other one that did."""
    if tool:
        return f"read off the policy of the run from {tool}"
    return f"read off the {RULES[algorithm].name} policy"


TOOL = "tool_advantage"
"""The lens that only a run of another tool has."""
FILM_ARRAYS = (
    "td_terms",
    "advantages",
    "values_from_end",
    "rho",
    "kappa",
    "logprob",
    "ref_logprob",
    "kl",
    "entropy",
)
FILM_LENSES = tuple(
    key for key in LENSES if key not in ("values", "advantages_whitened", "grpo", TOOL)
)  # these need a group, and a solution that is scored again has none


def film_payload(frames: Sequence[CreditTrace], beta: float, gae_lambda: float) -> dict:
    """Everything the film strip draws: one solution under several policies, ready for JSON.

    frames: the same solution at ascending steps, without a group. Numbers are those of `inspector_payload`; one scale a
    unit for all frames. V is anchored at the end (R added) and coloured by its distance from R.
    """
    trace = frames[0]
    books = [inspector_payload([frame], 0, beta, gae_lambda) for frame in frames]
    first = books[0]
    shared = (
        "text",
        "units",
        "line_starts",
        "first_wrong",
        "note",
        "beta",
        "gae_lambda",
        "decimals",
        "reward",
        "anchor",
        "kl_name",
        "missing",
    )
    reward_names = ("td_terms", "advantages", "rho", "kappa")
    largest = max((_largest_credit(book, reward_names) for book in books), default=0)
    scales = {name: max(book["scales"][name] for book in books) for name in first["scales"]}
    payload = {
        **{name: first[name] for name in shared},
        "prompt": visible_text(trace.prompt_text),
        "baseline": None,
        "lenses": [{"key": key, **_lens_card(trace, key)} for key in FILM_LENSES],
        "scales": scales | {"reward": round_up(largest / 10 ** first["decimals"]["reward"])},
        "frames": [
            {"step": frame.step, "arrays": {name: book["arrays"][name] for name in FILM_ARRAYS}}
            for frame, book in zip(frames, books, strict=True)
        ],
    }
    return with_version(payload)


def _largest_credit(book: dict, names: Sequence[str]) -> int:
    """The largest magnitude among some arrays and of V's distance from R, in last shown digits."""
    found = [abs(v) for name in names for v in book["arrays"][name] or () if v is not None]
    found += [abs(v - book["reward"]) for v in book["arrays"]["values_from_end"] or () if v is not None]
    return max(found, default=0)


# --- inside --------------------------------------------------------------------------------------------------------


def _pushes(trace: CreditTrace, beta: float, gae_lambda: float, book: Ledger) -> dict:
    """What GRPO and VIMPO push each token by, in reward units before scaling: as Inspect's *Every rule* has them under
    "Credit in reward units", and Start in its first two rows.

    above_group: R - group mean, None where the group's rewards are not known; grpo, vimpo: whole numbers of the last
    digit of a reward, None where not known; rule: that trained the run, "" where none is known; is_as_trained: whether
    it trained with a value loss, at this beta and lambda.
    """
    config = None if trace.config is None else trace.config.at(trace.step)
    above = trace.reward - trace.group_mean_reward
    flat = np.where(np.asarray(trace.mask, bool), above, 0.0)
    if config is not None and RULES[config.algorithm].value and config.algorithm != "vimpo":
        book = ledger(trace.with_(config=replace(trace.config, algorithm="vimpo")), beta, gae_lambda)
    rule = "" if config is None else config.algorithm
    return {
        "rule": rule,
        "names": {key: RULES[key].name for key in dict.fromkeys(("grpo", "vimpo", rule)) if key},
        "above_group": float(above) if np.isfinite(above) else None,
        "grpo": whole(units(flat, book.reward_decimals)) if np.isfinite(above) else None,
        "vimpo": whole(book.arrays["advantages"]),
        "is_as_trained": config is not None
        and bool(RULES[rule].value)
        and (config.beta, config.gae_lambda) == (beta, gae_lambda),
    }


_LONGEST_PROMPT = 8000
_SHORT_PROMPT = 40
"""A prompt that a picker's line shows whole."""


def _prompt(traces: Sequence[CreditTrace], index: int) -> dict | None:
    """The prompt as its task words it, what tells it from the step's others where they begin alike, and its tokens as
    the model saw it where they are known and say more; None where the picker has said it all."""
    text, seen = traces[index].prompt_text, pieces.prompt_pieces(traces, index)
    if not seen and len(text) <= _SHORT_PROMPT and "\n" not in text:
        return None
    prompts = list(dict.fromkeys(trace.prompt_text for trace in traces))
    own = picks.told_apart(prompts)[prompts.index(text)]
    return {
        "text": visible_lines(text, _LONGEST_PROMPT),
        "short": visible_lines(own, _LONGEST_PROMPT) if own != text else None,
        "pieces": shown_texts(seen),
        "units": shown_units(seen),
    }


def _lens_card(trace: CreditTrace, key: str) -> dict:
    """What the view says of a lens, in the words of the run's own loss. `absent`: why it has no number, in a word or
    two.
    """
    card = asdict(LENSES[key]) | {"absent": "not recorded"}
    del card["needs"]
    if key == "values":
        card["help"] = (
            f"V after this token, counted up from V₀, the {reading.anchor_name(trace)}; blue above it, orange below."
        )
    if not reading.has_kappa(trace):
        if key == "td_terms":
            card["help"] = (
                "β (log π − log π_ref): how far training moved this token, a reading, not a push. This rule "
                "subtracts no KL."
            )
        if key == "kappa":
            card |= {"help": "This run's rule subtracts no KL, so there is no κ.", "absent": "none here"}
    elif (name := reading.kl_name(trace)) != "KL" and key in ("td_terms", "kappa"):
        card["help"] = card["help"].replace("KL", name) if key == "td_terms" else f"β {name}: what training subtracted."
    return card


def _scales(arrays: dict, book: Ledger, baseline: int | None, pushes: dict) -> dict[str, float]:
    """The largest magnitude of each unit, rounded up to a readable number: one colour scale a unit for the page."""
    known_arrays = arrays | {"push": [*(pushes["grpo"] or ()), *(pushes["vimpo"] or ())]}

    def largest(decimals: int, *names: str, centre: int = 0) -> float:
        found = [abs(v - centre) for name in names for v in known_arrays[name] or () if v is not None]
        return max(found, default=0) / 10**decimals

    reward = max(
        largest(book.reward_decimals, "td_terms", "advantages", "rho", "kappa", "push"),
        largest(book.reward_decimals, *VALUE_LENSES, centre=baseline or 0),
    )
    log_ratio = _difference(arrays["logprob"], arrays["ref_logprob"])
    return {
        "reward": round_up(reward),
        "whitened": round_up(largest(UNITLESS_DECIMALS, "advantages_whitened")),
        "grpo": round_up(largest(UNITLESS_DECIMALS, "grpo")),
        "tool": round_up(largest(UNITLESS_DECIMALS, TOOL)),
        "nats": round_up(max(largest(NATS_DECIMALS, *PAIR), log_ratio / 10**NATS_DECIMALS)),
        "position": round_up(largest(NATS_DECIMALS, "kl", "entropy")),
        "probability": 1.0,
    }


def _by_its_tool(trace: CreditTrace) -> list[dict]:
    """What another tool recorded a token beside what the lab knows, under its own names; four digits, None where it
    wrote nothing."""
    return [
        {"name": visible_text(name), "values": [float(f"{v:.4g}") if np.isfinite(v) else None for v in values.tolist()]}
        for name, values in trace.tool_arrays.items()
        if name != TOOL_ADVANTAGES
    ]


def _difference(a: list | None, b: list | None) -> int:
    pairs = zip(a or (), b or (), strict=False)
    return max((abs(x - y) for x, y in pairs if x is not None and y is not None), default=0)


def _topk(trace: CreditTrace) -> dict | None:
    """The alternatives at each position, most probable first: tokens as indices into one list of texts."""
    if trace.topk is None:
        return None
    top = trace.topk
    texts: list[str] = []
    places: dict[str, int] = {}
    rows: dict[str, list] = {"token": [], "logprob": [], "ref_logprob": [], "chosen": []}
    shown = {text: visible_text(text) for row in top.text for text in row}
    order = np.argsort(np.nan_to_num(-np.asarray(top.logprob, dtype=np.float64), nan=np.inf), axis=1, kind="stable")
    logprob, ref_logprob = (units(values, NATS_DECIMALS) for values in (top.logprob, top.ref_logprob))
    for t in range(len(trace.text)):
        ids = top.ids[t].tolist()
        # Each token once: policy and reference may both have named it.
        kept = sorted({token: k for k, token in reversed(list(enumerate(ids)))}.values())
        ranked = [k for k in order[t].tolist() if k in kept]
        for k in ranked:
            text = shown[top.text[t][k]]
            if text not in places:
                places[text] = len(texts)
                texts.append(text)
        rows["token"].append([places[shown[top.text[t][k]]] for k in ranked])
        rows["logprob"].append(whole(logprob[t][ranked]))
        rows["ref_logprob"].append(whole(ref_logprob[t][ranked]))
        rows["chosen"].append(next((n for n, k in enumerate(ranked) if ids[k] == trace.ids[t]), -1))
    return {"texts": texts, **rows}
