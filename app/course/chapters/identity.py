"""Chapter 3, The identity: what it says, where it comes from step by step, and which of two optima the value loss goes
to.
"""

from __future__ import annotations

import streamlit as st

from app import routes
from app.course.effort import Effort
from app.course.folding import fold
from app.course.lesson import Lesson, Option, Plan, Question, symbol, term
from app.course.widgets import derivation
from vimpo_core.tree import tree_lab
from vimpo_core.tree.outline import OUTLINE
from vimpo_core.tree.two_optima import example, two_optima
from vimpo_core.views.lessons import descents, group_end

DROPPED = Question(
    "dropped",
    "Training asks that the sum of ρ − κ over a solution match its reward, up to one number that all solutions share. "
    "Cross out κ, so that the sum of ρ alone shall match it. Where does training go?",
    (
        Option(
            "other",
            "To another policy, which weighs the KL to come as well",
            "Without the KL term the same descent ends at the **soft optimum**, {rho_soft} away from it and "
            "{rho_local} from VIMPO's policy (total variation: 0 is the same, 1 is no overlap). There the cost of "
            "moving sits inside V itself, so no term is left for it.",
            is_right=True,
        ),
        Option(
            "same",
            "To the same policy: the KL term is small and averages out",
            "It cannot average out: a KL is never below 0. Over a whole solution on this tree it comes to {kappa} on "
            "average, where rewards are 0 or 1, and the policy that training reaches is {rho_local} away in total "
            "variation.",
        ),
        Option(
            "back",
            "Back to the reference: nothing pays for moving any more",
            "At the reference every sum of ρ is 0, while some solutions earn 1 and others 0, so nothing matches "
            "there. ρ alone pays for moving: the reference earns {reference_reward} on this tree, the policy reached "
            "without the term {soft_reward}.",
        ),
        Option(
            "nowhere",
            "Nowhere: no policy makes the sums match",
            "One does. With V as the plain reward to come, ρ = Q − V is indeed impossible for a policy that has "
            "moved: averaged over it, KL would be 0. But V may be reward less the cost of all KL to come; then it can "
            "hold, and after {steps} steps the descent is {rho_soft} away from the policy for which it does.",
        ),
    ),
)
QUESTIONS = (DROPPED,)
EFFORT = Effort(words=370, words_on_press=100, looks=2, presses=3, formulas=2, wait_seconds=5)
GROUP_SIZES = (2, 4, 8, 16)
SHARE = 50
"""Percent of leaves that `two_optima.example` rewards: with it the Tree lab grows the very tree of this chapter."""
CONTROLS = derivation.CONTROLS

PLAN = Plan(
    aims=(
        "Say the identity in words: moved probability = effect on the reward + what the position moved on average.",
        "Follow it from a KL-regularised choice of one token, and know at which step two roads part.",
        "Name the policy that VIMPO's value loss goes to, and the one it does not go to.",
    ),
    timings=(
        (2, "Read the sentence and the formula; let somebody say each term in words."),
        (2, "Predict what happens without the KL term."),
        (
            3,
            "Walk through the steps. Let the class choose a term to break, and read which check fails and by how much.",
        ),
        (
            2,
            "The fork: with κ the descent ends {kappa_local} from the local fixed point, with ρ only {rho_soft} from "
            "the soft one.",
        ),
    ),
    asks=(
        (
            "Which step would fail if β were on the wrong side of the exponent?",
            "The tilted policy: the weight of a token is exp(Q/β). Break it in the list and read the gap.",
        ),
        (
            "The two policies get {local_reward} and {soft_reward} of the reward on this tree. Is the soft one better?",
            "By its own measure, reward less KL cost, it is the best there is. VIMPO's policy fulfils another "
            "equation and is close by when β is large.",
        ),
    ),
    misconceptions=(
        (
            "VIMPO finds the KL-regularised optimum.",
            "That is the soft optimum. With κ in its loss VIMPO goes to the local fixed point, {apart} away on this "
            "tree.",
        ),
        (
            "The identity holds during training.",
            "It holds at the fixed point. Before that the two sides differ, and the gap is what the value loss "
            "squares (chapter 4).",
        ),
    ),
)


def numbers() -> dict[str, str]:
    """The tree that the sliders show at first."""
    return _numbers(*(control.first() for control in CONTROLS))


def show(lesson: Lesson) -> None:
    story, asked = st.columns(2, gap="large")
    with story:
        _tell(lesson)
    table, more = st.columns(2, gap="large")
    values = tuple(control.first() for control in CONTROLS)
    if lesson.answer(DROPPED) is not None and lesson.link.is_unlocked:
        with more, st.popover("Another tree, another β", icon=":material/account_tree:"):
            values = tuple(lesson.control(control) for control in CONTROLS)
    found = _numbers(*values)
    with asked:
        is_shown = lesson.predict(DROPPED, **found)
    if not is_shown:
        return
    with table:
        _reveal(lesson, values, found)
    with more:
        _more(lesson, values)
    if box := fold(f"The proof in {len(OUTLINE)} steps, each checked twice", "proof", derivation.is_asked_for()):
        with box:
            derivation.show(*values)
    beta, vocab, depth, seed = values
    shown = {"vocab": vocab, "depth": depth, "seed": seed, "share": SHARE, "beta": beta, "policy": "descent"}
    lesson.onward(see=("Watch both descents in the Tree lab", routes.TREE, shown))


def _tell(lesson: Lesson) -> None:
    lesson.text(
        "A {policy} earns a reward at the end and pays {beta} for every {nat} (of log-probability) by which it leaves "
        "the {reference}. Its best choice at one position, knowing {q}, the reward to expect after each {token}: "
        "multiply a token's probability by $\\exp(Q/\\beta)$ and divide by one number, so that all sum to 1. Take the "
        "log, and average that number away:",
        beta=symbol("beta"),
        reference=symbol("reference", "reference"),
        q=symbol("q_values"),
        nat=term("nat"),
        policy=symbol("policy", "policy"),
        token=term("token"),
    )
    st.latex(
        r"\begin{aligned} & \underbrace{\beta\,\log\frac{\pi(y_t\mid s_t)}{\pi_{\mathrm{ref}}(y_t\mid s_t)}}_{\rho_t}"
        r" \\ & \; = \underbrace{Q(s_t, y_t) - V(s_t)}_{\text{advantage}}"
        r" + \underbrace{\beta\,\mathrm{KL}(s_t)}_{\kappa_t} \end{aligned}",
        width=780,
    )
    lesson.text(
        "**How far a token was moved, in reward units, is how much it changed the reward to expect, plus what its "
        "position has moved on average.** ({v} is that expectation before the token, {kl} that average.) So {rho} − "
        "{kappa}, the {delta} of chapter 2, is the token's **advantage**, Q − V, and no {critic} had to be trained "
        "for it.",
        v=symbol("values"),
        kl=term("kl"),
        rho=symbol("rho"),
        kappa=symbol("kappa"),
        delta=symbol("td_terms", "credit δ"),
        critic=term("critic"),
    )


def _reveal(lesson: Lesson, values: tuple, found: dict[str, str]) -> None:
    lesson.text(
        "After {steps} steps of descent on the {loss}, on a small tree with β = {beta}, the policy is so far from "
        "the **local fixed point** and the **soft optimum**, {apart} apart:\n\n"
        "| distance from | local | soft |\n|---|---|---|\n"
        "| with κ (VIMPO) | **{kappa_local}** | {kappa_soft} |\n"
        "| ρ only | {rho_local} | **{rho_soft}** |",
        **found,
        beta=f"{values[0]:g}",
        loss=symbol("value_loss", "value loss"),
    )


def _more(lesson: Lesson, values: tuple) -> None:
    """What stays folded until somebody wants to know."""
    if box := fold("Two policies: why the term belongs to one of them", "fork"):
        with box:
            beta, *shape = values
            derivation.fork(two_optima(*example(*shape), beta))
    if box := fold("In groups credit is only a share of the advantage", "groups"):
        with box:
            _in_groups(lesson, values)


def _in_groups(lesson: Lesson, values: tuple) -> None:
    lesson.text(
        "The table above takes the reward to expect as its baseline. Training has {group} solutions to a prompt, and "
        "their mean holds the solution itself. On average that takes 1/G of its reward off, so descent ends where a "
        "larger β would, δ is only a share of Q − V, and a {residual} is left. Computed on this "
        "tree:\n\n{groups}\n\nWith the mean of the **other** solutions as baseline (setting `baseline`) descent ends "
        "at β itself and δ is Q − V whole. The last column stays in both: no credit can foresee how the other "
        "solutions of a group come out, so even a perfect V leaves a residual.",
        group=symbol("group_size"),
        residual=symbol("terminal_residual", "residual"),
        groups=_groups(*values),
    )


@st.cache_data(show_spinner=False, max_entries=64)
def _groups(beta: float, vocab: int, depth: int, seed: int) -> str:
    """A table of where descent ends with groups of several sizes."""
    ends = [group_end(*example(vocab, depth, seed), beta, size) for size in GROUP_SIZES]
    rows = "".join(f"\n| {end.size} | {end.beta:.3f} | **{end.slope:.3f}** | {end.floor:.3f} |" for end in ends)
    return (
        f"| G | ends where β is | δ / (Q − V) | residual / target |\n|---|---|---|---|{rows}\n\n"
        f"(Distance from the fixed point of that β: at most {max(end.to_own for end in ends):.3f}; from that of "
        f"{beta:g}: up to {max(end.to_plain for end in ends):.3f}.)"
    )


@st.cache_data(show_spinner=False, max_entries=64)
def _numbers(beta: float, vocab: int, depth: int, seed: int) -> dict[str, str]:
    tree, reference = example(vocab, depth, seed)
    optima, ends = two_optima(tree, reference, beta), descents(tree, reference, beta)
    shown = {
        "kappa_local": ends.with_kappa["local"],
        "kappa_soft": ends.with_kappa["soft"],
        "rho_local": ends.rho_only["local"],
        "rho_soft": ends.rho_only["soft"],
        "apart": optima.apart,
        "kappa": ends.kappa,
        "local_reward": optima.local.reward,
        "soft_reward": optima.soft.reward,
        "soft_value": optima.soft.value,
        "reference_reward": optima.reference_reward,
    }
    return {name: f"{value:.3f}" for name, value in shown.items()} | {"steps": str(tree_lab.STEPS)}
