"""The derivation as a column of checked steps: each with its formula, the rule, two marks and what breaks it.

A chapter draws CONTROLS with its lesson and hands their values to `show`. What is broken in a step stands in the
address as d_STEP. sympy takes a second at first: the tree's numbers are on the page before it is imported, the steps
before it proves.
"""

from __future__ import annotations

import time
from itertools import groupby

import streamlit as st

from app import state
from app.course.lesson import TEXT_WIDTH, Control
from app.text import as_sentence
from vimpo_core.numbers import short
from vimpo_core.tree.two_optima import TwoOptima, example, two_optima

CONTROLS = (
    Control(
        "d_beta",
        "β, reward per nat",
        (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0),
        0.2,
        "What a nat of KL costs. The smaller it is, the further both policies go for the reward, and from each other.",
    ),
    Control("d_vocab", "Tokens to choose from", (2, 3, 4), 3, "The vocabulary of the tree.", kind="buttons"),
    Control("d_depth", "Tokens in a solution", (2, 3, 4), 3, "The depth of the tree.", kind="buttons"),
    Control(
        "d_seed",
        "Tree",
        tuple(range(20)),
        0,
        "Each number is a tree with other rewards and another reference.",
    ),
)
"""In the order of `show`'s arguments."""
PASSED = ":green[:material/check_circle:]"
FAILED = ":red[:material/cancel:]"
_SHORT = 80
"""Characters of LaTeX that fit on a line of half the page."""
_WAITING = ":gray[:material/hourglass_empty:]"


def show(beta: float, vocab: int, depth: int, seed: int) -> None:
    """The derivation with its checks on one tree. Breaking a step reruns only this part of the page.

    Args:
        beta: reward per nat; vocab, depth, seed: of `two_optima.example`. Values of CONTROLS.
    """
    st.fragment(_view)(beta, vocab, depth, seed)


def _view(beta: float, vocab: int, depth: int, seed: int) -> None:
    tree, reference = example(vocab, depth, seed)
    above, shared = st.container(), st.container()
    _fork(two_optima(tree, reference, beta))
    local, soft = st.columns(2, gap="medium", border=True)
    local.markdown("#### Local\nQ is the plain reward that π itself will get. VIMPO takes this branch.")
    soft.markdown("#### Soft\nQ is reward less the cost of all KL to come. There is no KL term in the end.")
    onward = st.container()
    onward.markdown("#### On from the local branch", width=TEXT_WIDTH)
    with above, st.spinner("Writing the steps down"):
        from vimpo_core.tree import derivation
    notes: list[str] = []
    places = iter((shared, local, soft, onward))
    drawn = []
    for _, group in groupby(enumerate(derivation.steps(), start=1), key=lambda pair: pair[1].branch):
        with next(places):
            for position, step in group:
                broken = _broken(step, notes)
                drawn.append((step, broken, _step(position, step, broken)))
    gaps = {step.key: derivation.numeric_check(step, tree, reference, beta, broken) for step, broken, _ in drawn}
    for step, broken, slot in drawn:
        slot.markdown(_marks(step, broken, None, gaps[step.key]))
    with above, st.spinner("sympy is proving every step for 2 and 3 tokens"):
        proofs, seconds = _proofs()
    for step, broken, slot in drawn:
        proved = proofs[step.key] if broken is None else _is_proved(step.key, broken)
        slot.markdown(_marks(step, broken, proved, gaps[step.key]))
    with above:
        for note in notes:
            st.info(as_sentence(note))
        st.markdown(_summary(drawn, gaps, seconds), width=TEXT_WIDTH)


# --- a step ----------------------------------------------------------------------------------------------------------


def _broken(step, notes: list[str]) -> str | None:
    return state.chosen(f"d_{step.key}", [one.key for one in step.breaks], None, notes)


def _step(position: int, step, broken: str | None):
    """Draw a step; returns the place of its marks."""
    from vimpo_core.tree import formulas

    with st.container(width=TEXT_WIDTH, gap="small"):
        st.markdown(f"##### {position}. {step.title}\n{step.statement}")
        before, after = map(formulas.latex, step.sides(broken))
        st.latex(_equation(before, after, "=" if broken is None else r"\neq"))
        if step.given:
            given = [
                rf"$\displaystyle {formulas.latex(symbol)} = {formulas.latex(value)}$" for symbol, value in step.given
            ]
            st.markdown(f"with {', '.join(given)}")
        st.markdown(f"**Rule.** {step.rule}")
        marks = st.empty()
        st.pills(
            f"Break step {position}:",
            [one.key for one in step.breaks],
            format_func=lambda key: step.break_named(key).term,
            **state.bound(f"d_{step.key}", broken),
        )
    return marks


def _equation(before: str, after: str, sign: str) -> str:
    """In one line where both sides are short."""
    if len(before) + len(after) < _SHORT:
        return f"{before} {sign} {after}"
    return rf"\begin{{aligned}} & {before} \\ & \quad {sign} {after} \end{{aligned}}"


def _marks(step, broken: str | None, proved: bool | None, numeric) -> str:
    lines = [_symbolic_mark(proved), _numeric_mark(numeric)]
    if broken is not None:
        from vimpo_core.tree import formulas

        off_by = formulas.latex(step.break_named(broken).off_by)
        lines.insert(0, f"**{step.break_named(broken).term}**: left minus right is then ${off_by}$ instead of 0.")
    return "  \n".join(lines)


def _symbolic_mark(proved: bool | None) -> str:
    if proved is None:
        return f"{_WAITING} sympy: being proved"
    if proved:
        return f"{PASSED} sympy: the difference is exactly 0, for 2 and for 3 tokens"
    return f"{FAILED} **sympy: the difference is not 0**"


def _numeric_mark(numeric) -> str:
    if numeric.gap == 0:
        return f"{PASSED} this tree: the sides are the same"
    if numeric.passed:
        return f"{PASSED} this tree: the sides differ by {short(numeric.gap)} at most"
    return f"{FAILED} **this tree: the sides differ by up to {short(numeric.gap)}**"


def _summary(drawn, gaps, seconds: float) -> str:
    broken = [step.title for step, key, _ in drawn if key is not None]
    if broken:
        return f"{FAILED} **{len(broken)} of {len(drawn)} steps are broken**: {', '.join(broken)}."
    worst = max(check.gap for check in gaps.values())
    return (
        f"{PASSED} **All {len(drawn)} steps hold.** sympy proved them for 2 and 3 tokens in {seconds:.1f} s; on this "
        f"tree no two sides differ by more than {short(worst)}."
    )


@st.cache_data(show_spinner=False, max_entries=1)
def _proofs() -> tuple[dict[str, bool], float]:
    """step -> whether sympy proves it for every vocabulary, and the seconds it took."""
    from vimpo_core.tree import derivation

    start = time.perf_counter()
    proofs = {step.key: _is_proved(step.key, None) for step in derivation.steps()}
    return proofs, time.perf_counter() - start


def _is_proved(key: str, broken: str | None) -> bool:
    from vimpo_core.tree import derivation

    step = derivation.step_named(key)
    return all(derivation.symbolic_check(step, vocab, broken).passed for vocab in derivation.VOCABULARIES)


# --- the fork --------------------------------------------------------------------------------------------------------


def _fork(found: TwoOptima) -> None:
    local, soft = found.local, found.soft
    st.markdown("#### :material/call_split: The fork: whose Q?", width=TEXT_WIDTH)
    st.markdown(
        "The tilted policy needs a Q, and there are two honest answers. They lead to two different policies. At the "
        "start of this tree:",
        width=TEXT_WIDTH,
    )
    st.markdown(
        "| | Local fixed point | Soft optimum |\n|---|---|---|\n"
        f"| Its value | $V^{{\\pi}}(s_0) = {local.value:.3f}$ | $V_{{\\mathrm{{soft}}}}(s_0) = "
        f"{soft.value:.3f}$ |\n"
        f"| Expected reward (reference: {found.reference_reward:.3f}) | {local.reward:.3f} | "
        f"{soft.reward:.3f} |\n"
        f"| Cost of the KL, β times nats | {local.cost:.3f} | {soft.cost:.3f} |\n"
        f"| Reward less cost | {local.reward - local.cost:.3f} | **{soft.reward - soft.cost:.3f}** |",
        width=TEXT_WIDTH,
    )
    st.markdown(
        f"**Total variation between the two: {found.apart:.3f}.** That is how much more often one of them samples some "
        "set of solutions than the other does. The local value is its expected reward; the soft value is reward less "
        "cost, and no policy has a higher one.",
        width=TEXT_WIDTH,
    )
