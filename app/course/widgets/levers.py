"""The two levers on one small batch: press the value loss, the actor, or both, and see what every token did."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from app import state, waiting
from app.components.aligned_strips import Row, aligned_strips
from app.components.words_explained import words_explained
from app.course.folding import fold
from app.course.lesson import symbol, term
from app.text import as_code
from vimpo_core.labs.levers import LEVERS, MOST_BATCH, MOST_PRESSES, SAMPLES, Levers, Moment, Pressed
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import fixed, short, signed
from vimpo_core.runs import bases
from vimpo_core.service.labs import lab_service
from vimpo_core.solutions.steps import step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views.payload import round_up

PRESSES, BATCH, SOLUTION, STAGE = "press", "batch", "solution", "stage"
"""Names in the address."""
STAGES = {
    "sample": "1 Sample",
    "verify": "2 Verify",
    "value": "3 Value",
    "loss": "4 Loss",
    "advantage": "5 Advantage",
    "update": "6 Update",
}
LIMIT_SECONDS = 30
_PATIENCE_SECONDS = 1.0
"""A press takes a tenth of that: waiting for it at once, nothing flickers."""
_REQUEST, _STRIP = "levers.request", "levers.strip"
_NO_CREDIT, _NO_MOVE, _SURE = 0.005, 0.01, 0.9
"""Reward below which a credit is next to none; nats below which a token stayed; probability above which it is nearly
certain."""
_WORDS = {"v": "the value loss", "a": "the actor", "b": "both together"}


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> None:
    """Let the process that presses start before the first press."""
    lab_service().warm_up_levers()


def show(learning_rate: float, beta: float, actor_coef: float, gae_lambda: float) -> None:
    """Buttons, and below them the batch before and after the last press. Everything pressed stands in the address."""
    notes: list[str] = []
    asked = _asked((learning_rate, beta, actor_coef, gae_lambda), notes)
    for note in notes:
        st.info(note)
    _buttons(asked)
    ask, key = partial(lab_service().press, asked), (asked, bases.stamp("bundled"))
    doing = "Pressing" if asked.presses else "Writing the solutions"
    question = waiting.Question(_REQUEST, key, ask, doing, LIMIT_SECONDS)
    pressed = waiting.answer(question, _PATIENCE_SECONDS)
    if pressed is not None:
        _look(pressed)


def _asked(settings: tuple[float, ...], notes: list[str]) -> Levers:
    """What the address asks for; what it asks wrongly is dropped with a sentence."""
    batch = int(state.number(BATCH, 0, MOST_BATCH, 0, notes))
    presses = st.query_params.get(PRESSES, "")
    try:
        return Levers(batch, presses, *settings)
    except Mistake as error:
        state.put(**{PRESSES: None})
        notes.append(f"The link's presses were dropped: {error}")
        return Levers(batch, "", *settings)


def _buttons(asked: Levers) -> None:
    is_full = len(asked.presses) >= MOST_PRESSES
    with st.container(horizontal=True, vertical_alignment="center"):
        for letter, name in LEVERS.items():
            label = {"value": "Step the value loss", "actor": "Step the actor", "both": "Step both"}[name]
            st.button(
                label,
                key=f"levers.{name}",
                type="primary" if letter == "v" else "secondary",
                disabled=is_full,
                on_click=_press,
                args=(asked.presses + letter,),
                help=f"One real update that descends {_WORDS[letter]}.",
            )
        has_pressed = bool(asked.presses)
        st.button(
            "Undo",
            icon=":material/undo:",
            disabled=not has_pressed,
            on_click=_press,
            args=(asked.presses[:-1],),
        )
        st.button(
            "Reset",
            disabled=not has_pressed,
            on_click=_press,
            args=("",),
            help="Back to the untrained policy.",
        )
        st.button(
            "Other solutions",
            on_click=_other_batch,
            args=((asked.batch + 1) % (MOST_BATCH + 1),),
            help="The same for two other problems, with other samples.",
        )
    st.caption(_history(asked.presses))


def _history(presses: str) -> str:
    if not presses:
        return "Nothing pressed yet: policy and reference are the same."
    runs: list[list] = []
    for letter in presses:
        if runs and runs[-1][0] == letter:
            runs[-1][1] += 1
        else:
            runs.append([letter, 1])
    said = ", ".join(_WORDS[letter] + (f" {count} times" if count > 1 else "") for letter, count in runs)
    full = "" if len(presses) < MOST_PRESSES else " That is as many as this page keeps: undo or reset."
    return f"Pressed so far: {said}. Another setting makes all of them again.{full}"


def _press(presses: str) -> None:
    state.put(**{PRESSES: presses or None})


def _other_batch(batch: int) -> None:
    state.put(**{BATCH: batch or None, PRESSES: None})


# --- what happened ---------------------------------------------------------------------------------------------------


def _look(pressed: Pressed) -> None:
    st.markdown(said_of(pressed))
    notes: list[str] = []
    labels = {i: _solution_label(solution) for i, solution in enumerate(pressed.solutions)}
    first = latest_mistake(pressed.solutions)
    row = state.pick("Solution", SOLUTION, labels, first, notes, parse=int, help="The whole batch, two problems.")
    trace = pressed.solutions[row]
    st.caption(
        f"{as_code(trace.prompt_text)} answer {as_code(trace.answer or 'none')}, right: {as_code(trace.gold)}. Reward "
        f"{trace.reward:g}, group mean {trace.group_mean_reward:g}."
    )
    _strips(trace, "what", moved_rows(pressed, row))
    st.markdown(said_of_reach(pressed, row))
    if box := fold("The same press in slow motion, in six stages", "slow", STAGE in st.query_params):
        with box:
            _slow_motion(pressed, row)
    if box := fold("Losses and sizes before and after", "sizes"):
        with box:
            _totals(pressed)


def said_of(pressed: Pressed) -> str:
    """What the last press did, in words worked out from its numbers."""
    if pressed.lever is None:
        return (
            "Before any press policy and reference are one network, so every credit δ and every advantage A is "
            "exactly 0."
        )
    moved = np.abs(pressed.after.logprobs - pressed.before.logprobs)
    who = _WORDS[pressed.lever]
    if moved.max() == 0:
        return (
            f"**{who.capitalize()} moved nothing.** All advantages were exactly 0, so its "
            f"{term('gradient')} is 0: it holds no reward, and there was nothing to amplify yet."
        )
    said = (
        f"**{who.capitalize()}** moved {symbol('logprobs')} of a token by {_mean(moved, pressed):.3f} "
        f"{term('nat', 'nats')} on average, {moved.max():.2f} at most."
    )
    if pressed.lever == "v":
        return said + (
            f" In its {term('gradient')} every token of a solution is pushed alike, by −β times its "
            f"{symbol('terminal_residual', 'residual')}; that tokens moved by different amounts is the network's "
            "doing: solutions share their beginnings and weights."
        )
    if pressed.lever == "a":
        return (
            said + f" It looked at no reward: its {term('gradient')} pushes each token by its advantage, at λ "
            f"{pressed.asked.gae_lambda:g}. Where a token then went is also the network's doing, as tokens share "
            f"weights; many go another way."
        )
    return said + " The reward came in through the value loss alone; c_A weighs the actor beside it."


def latest_mistake(solutions: Sequence[CreditTrace]) -> int:
    """The wrong solution whose first wrong token comes last: there one sees how far back a credit reaches."""
    mistakes = [-1 if trace.first_wrong is None else trace.first_wrong for trace in solutions]
    return mistakes.index(max(mistakes))


def said_of_reach(pressed: Pressed, row: int) -> str:
    """Which tokens of a solution the actor pushes down at λ 1 and at λ 0, counted."""
    trace, after = pressed.solutions[row], pressed.after
    count = len(trace.ids)
    at_1, at_0 = after.whitened_at_1[row, :count], after.whitened_at_0[row, :count]
    if not (np.abs(at_0).max() or np.abs(at_1).max()):
        return "**Which tokens would the actor push now?** None, at any λ: there is no credit yet."
    down_1, down_0 = (int((pushes < 0).sum()) for pushes in (at_1, at_0))
    lowest = int(at_0.argmin())
    where = f"\\#{lowest} {as_code(visible_text(trace.text[lowest]))}"
    mistake = ", the first wrong one" if lowest == trace.first_wrong else ""
    return (
        f"**Which tokens would the actor push down now?** With λ 1: {down_1} of {count}, as each is pushed by every "
        f"credit that follows. With λ 0: {down_0}, each by its own, hardest {where}{mistake}. "
        + _said_of_no_credit(after.td_terms[row, :count], at_0)
    ).strip()


def _said_of_no_credit(delta: np.ndarray, at_0: np.ndarray) -> str:
    """Why the actor pushes, at λ 0, tokens that have no credit; "" where it does not push them all the same way."""
    pushed = at_0[np.abs(delta) < _NO_CREDIT]
    way = "up" if (pushed > 0).all() else "down" if (pushed < 0).all() else ""
    if not len(pushed) or not way:
        return ""
    return (
        f"There {len(pushed)} tokens with next to no credit are pushed {way} a little, by about "
        f"{signed(float(np.median(pushed)))}: Ã is A less its mean over the batch, which is "
        f"{'below' if way == 'up' else 'above'} 0."
    )


def _mean(values: np.ndarray, pressed: Pressed) -> float:
    """Mean over sampled tokens of [B, T]."""
    return float(np.concatenate([v[: len(t.ids)] for v, t in zip(values, pressed.solutions, strict=True)]).mean())


def _totals(pressed: Pressed) -> None:
    """Losses and sizes before and after, as a small table."""
    before, after = pressed.before, pressed.after
    measured = {
        "value loss L_V, reward²": lambda m: m.value_loss,
        "actor loss L_A": lambda m: m.actor_loss,
        "mean size of the residual, reward": lambda m: float(np.abs(m.residual).mean()),
        "mean size of δ, reward": lambda m: _mean(np.abs(m.td_terms), pressed),
        "KL to the reference, nats a token": lambda m: _mean(m.kl, pressed),
    }
    st.table(
        {
            "": list(measured),
            "before": [_number(of(before)) for of in measured.values()],
            "after": [_number(of(after)) for of in measured.values()],
        },
        hide_index=True,
    )
    words_explained("actor", "kl", "nat", "terminal_residual", "td_terms")


def _number(value: float) -> str:
    return fixed(value, 4) if abs(value) >= 5e-5 else short(value)


def _solution_label(trace: CreditTrace) -> str:
    """ "A1 ✓": the problem's letter, the sample's number, right or wrong."""
    return f"{'AB'[trace.group_id]}{trace.sample_idx + 1} {'✓' if trace.reward else '✗'}"


def moved_rows(pressed: Pressed, row: int) -> list[Row]:
    """What this press moved in a solution, its credit since, and what the actor pushes next: at the λ that is set, and
    at both ends."""
    trace, after = pressed.solutions[row], pressed.after
    count, reach = len(trace.ids), pressed.asked.gae_lambda
    step = after.logprobs[row, :count] - pressed.before.logprobs[row, :count]
    delta = after.td_terms[row, :count]
    pushes = {1.0: after.whitened_at_1, 0.0: after.whitened_at_0, reach: after.whitened}
    shown = {each: pushes[each][row, :count] for each in sorted(pushes, reverse=True)}
    scale = _scale("", *shown.values())
    names = {each: f"the actor pushes, λ {each:g}" if each == reach else f"it would, λ {each:g}" for each in shown}
    return [
        _row("log π, this press", step, _scale("nats", step)),
        _row("credit δ, so far", delta, _scale("reward", delta)),
        *(_row(names[each], pushed, scale) for each, pushed in shown.items()),
    ]


def _scale(unit: str, *arrays: np.ndarray) -> dict:
    largest = max(float(np.abs(a).max(initial=0.0)) for a in arrays)
    return {"max": round_up(largest), "signed": True, "unit": unit, "decimals": 3}


def _row(label: str, values: np.ndarray, scale: dict) -> Row:
    largest = float(values[np.abs(values).argmax()]) if len(values) else 0.0
    says = f"up to {signed(largest, 3)} {scale['unit']}".rstrip() if largest else "0 on every token"
    return Row(label, says, [round(float(v), 5) for v in values], scale)


def _strips(trace: CreditTrace, name: str, rows: Sequence[Row]) -> None:
    aligned_strips(
        key=f"{_STRIP}.{name}",
        text=[visible_text(text) for text in trace.text],
        line_starts=step_starts(trace),
        title="The solution",
        rows=rows,
        first_wrong=trace.first_wrong,
        hint="Choose a token in the top row for its numbers.",
        says="" if trace.first_wrong is None else "the red underline is the first wrong token",
    )


# --- slow motion -----------------------------------------------------------------------------------------------------


def _slow_motion(pressed: Pressed, row: int) -> None:
    """The last press in six stages, with this solution's numbers at each."""
    notes: list[str] = []
    stage = state.chosen(STAGE, list(STAGES), "sample", notes)
    names = list(STAGES)
    with st.container(horizontal=True, vertical_alignment="center"):
        place = names.index(stage)
        st.button("Back", key="levers.back", disabled=place == 0, on_click=_go, args=(names[max(place - 1, 0)],))
        st.button(
            "Next",
            key="levers.next",
            disabled=place == len(names) - 1,
            on_click=_go,
            args=(names[min(place + 1, len(names) - 1)],),
        )
        state.segments("Stage", STAGE, STAGES, stage, label_visibility="collapsed")
    words, rows = stage_of(pressed, row, stage)
    st.markdown(words)
    if rows:
        _strips(pressed.solutions[row], "slow", rows)


def _go(stage: str) -> None:
    state.put(**{STAGE: stage})


def stage_of(pressed: Pressed, row: int, stage: str) -> tuple[str, list[Row]]:
    """One stage of the last press: its sentence with this solution's numbers, and its rows of tokens."""
    return _STAGES[stage](pressed, pressed.solutions[row], row, len(pressed.solutions[row].ids), pressed.before)


def _sampled(pressed, trace, row, count, before: Moment):
    chance = np.exp(before.logprobs[row, :count])
    said = (
        f"The untrained policy wrote it, token by token; the whole solution had a chance of "
        f"{np.exp(trace.logprob.sum()):.2g}. "
        "The row shows how likely each token is to the policy just before the press."
    )
    scale = {"max": 1.0, "signed": False, "unit": "", "decimals": 3}
    return said, [Row("probability π", f"lowest {chance.min():.2g}", [round(float(p), 5) for p in chance], scale)]


def _verified(pressed, trace, row, count, before):
    others = [t for t in pressed.solutions if t.group_id == trace.group_id]
    rewards = ", ".join(f"{t.reward:g}" for t in others)
    said = (
        f"A verifier compares the answer with the right one: reward **{trace.reward:g}**. The {SAMPLES} solutions to "
        f"this problem earned {rewards}, {trace.group_mean_reward:g} on average. So the target of this solution is R "
        f"− group mean = **{signed(trace.reward - trace.group_mean_reward)}**. This is the only place where a reward "
        f"comes in."
    )
    return said, []


def _valued(pressed, trace, row, count, before):
    above = before.values[row, 1 : count + 1] - trace.group_mean_reward
    residual = float(before.residual[row])
    said = (
        f"V starts at the group mean {trace.group_mean_reward:g} and adds δ after every token; it arrives at "
        f"{before.values[row, count]:.3f}. The reward is {trace.reward:g}, so the "
        f"{symbol('terminal_residual', 'terminal residual')} is "
        f"**{signed(residual, 3)}**."
    )
    return said, [_row("V − group mean", above, _scale("reward", above))]


def _lost(pressed, trace, row, count, before):
    terms = " + ".join(f"{r * r:.3f}" for r in before.residual)
    size = len(before.residual)
    push = -pressed.asked.beta * float(before.residual[row]) / size
    said = (
        f"L_V = ½ × ({terms}) / {size} = **{before.value_loss:.4f}**. Its gradient pushes log π of **every** token of "
        f"this solution by the same −β × residual / {size} = {signed(push, 5)}."
    )
    if pressed.lever == "a":
        said += " This press left it out: only the actor's loss was descended."
    return said, []


def _advanced(pressed, trace, row, count, before):
    delta, whole, white = (getattr(before, n)[row, :count] for n in ("td_terms", "advantages", "whitened"))
    said = (
        f"δ = {symbol('rho')} − {symbol('kappa')} is read off the policy before the press. A sums δ from a token to "
        f"the end, each later one times λ once more, here λ {pressed.asked.gae_lambda:g}, and is {term('whitened')} "
        "over the batch: minus its mean, over its spread. That is what the actor's loss multiplies."
        + (" Here all are 0, so the actor is silent." if not np.abs(white).max() else "")
        + (" This press left the actor out." if pressed.lever == "v" else "")
    )
    reward = _scale("reward", delta, whole)
    return said, [
        _row("δ", delta, reward),
        _row("A", whole, reward),
        _row("A, whitened", white, _scale("", white)),
    ]


def _updated(pressed, trace, row, count, before):
    step = pressed.after.logprobs[row, :count] - before.logprobs[row, :count]
    if pressed.lever is None:
        return "Nothing was pressed yet. Press a lever above.", []
    if not np.abs(step).max():
        return "All advantages are 0, so the gradient is 0, and no token moves.", []
    norm = "not measured" if pressed.grad_norm is None else f"{pressed.grad_norm:.3g}"
    was, now = (float(moment.logprobs[row, :count].sum()) for moment in (before, pressed.after))
    said = (
        f"The gradient in log π goes back through the network into the {term('adapter')} (its length there: {norm}), "
        f"and {term('adam')} makes one step of {pressed.asked.learning_rate:g}. This solution's log-probability went "
        f"from {fixed(was, 2)} to **{fixed(now, 2)}** nats. "
        + _said_of_staying(trace, step, np.exp(before.logprobs[row, :count]))
    )
    return said, [_row("log π, this press", step, _scale("nats", step))]


def _said_of_staying(trace: CreditTrace, step: np.ndarray, chance: np.ndarray) -> str:
    """How many tokens a press moved, and why most of the others stayed."""
    stayed, most = np.abs(step) < _NO_MOVE, int(np.abs(step).argmax())
    where = f"\\#{most} {as_code(visible_text(trace.text[most]))}"
    said = f"{int((~stayed).sum())} of {len(step)} tokens moved by {_NO_MOVE:g} nats or more, most {where}."
    if sure := int((stayed & (chance > _SURE)).sum()):
        said += (
            f" Of the {int(stayed.sum())} others, {sure} had π above {_SURE:g} before: a push hardly moves a token "
            "that is nearly certain."
        )
    return said


_STAGES = {
    "sample": _sampled,
    "verify": _verified,
    "value": _valued,
    "loss": _lost,
    "advantage": _advanced,
    "update": _updated,
}
