"""The derivation: a list of steps, of which one is opened at a time, with its formula, the rule, two marks and what
breaks it.

A chapter draws CONTROLS with its lesson and hands their values to `show`. The opened step stands in the address as
`proof`, what is broken in a step as d_STEP. sympy is imported, and a step proved, when it is opened and not before.
"""

from __future__ import annotations

import re
import time

import streamlit as st

from app import state
from app.components.part import part
from app.components.words_explained import words_explained
from app.course.lesson import TEXT_WIDTH, Control
from app.text import as_sentence
from vimpo_core.numbers import short
from vimpo_core.tree.outline import OUTLINE
from vimpo_core.tree.two_optima import TwoOptima, example

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
PROOF, ALL = "proof", "all"
"""The opened step in the address; ALL: the marks of every step."""
PASSED = ":green[:material/check_circle:]"
FAILED = ":red[:material/cancel:]"
WORDS = (
    *("gradient", "kl", "nat", "reinforce", "telescope", "beta", "value_loss"),
    *("state", "action", "policy", "reference", "rho", "kappa", "td_terms", "rewards", "reward_now", "baseline"),
    *("values", "q_values", "soft_values", "multiplier", "terminal_residual"),
)
"""What the steps say, in the glossary."""
_LINE, _FULL = 36, 0.55
"""Characters of a formula that fit a phone, and the share of a line that is filled before it is cut."""
_OPERATOR = re.compile(r"[+-]$|\\sum|\(")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_MARKS = re.compile(r"[{}_^ \\]")
_BRANCHES = {
    "shared": "Steps to both",
    "local": "Local: Q is the plain reward that π itself will get. VIMPO takes this branch",
    "soft": "Soft: Q is reward less the cost of all KL to come, so no KL term is left in the end",
}


def is_asked_for() -> bool:
    """Whether the address opens a step or breaks one."""
    return PROOF in st.query_params or bool(_broken_in_address())


def show(beta: float, vocab: int, depth: int, seed: int) -> None:
    """The list of steps and the opened one, checked on one tree. Opening or breaking a step reruns only this part of
    the page.

    Args:
        beta: reward per nat; vocab, depth, seed: of `two_optima.example`. Values of CONTROLS.
    """
    part(_view)(beta, vocab, depth, seed)


def _view(beta: float, vocab: int, depth: int, seed: int) -> None:
    notes: list[str] = []
    broken = _broken_in_address()
    default = ALL if len(broken) > 1 else next(iter(broken), None)
    opened = state.chosen(PROOF, [*OUTLINE, ALL], default, notes)
    names = {key: f"{position} {title}" for position, (key, (_, title)) in enumerate(OUTLINE.items(), start=1)}
    for branch, words in _BRANCHES.items():
        keys = [key for key, (of, _) in OUTLINE.items() if of == branch]
        _pills(words, branch, keys, names, opened)
    words_explained(*WORDS)
    _pills("All of them", ALL, [ALL], {ALL: f"Check all {len(OUTLINE)} steps"}, opened)
    if opened is not None:
        with st.spinner("sympy is proving it for 2 and 3 tokens"):
            from vimpo_core.tree import derivation, formulas  # noqa: F401 - a second at first, under the spinner

            tree, reference = example(vocab, depth, seed)
            if opened == ALL:
                _all(derivation, tree, reference, beta, notes)
            else:
                step = derivation.step_named(opened)
                broken = _broken(step, notes)
                gap = derivation.numeric_check(step, tree, reference, beta, broken)
                _step(list(OUTLINE).index(opened) + 1, step, broken, _marks(step, broken, gap))
    for note in notes:
        st.info(as_sentence(note))


def _pills(words: str, branch: str, keys: list[str], names: dict[str, str], opened: str | None) -> None:
    """The steps of a branch as buttons, the opened one pressed; pressed again it is closed."""
    widget = f"derivation.{branch}"
    st.session_state[widget] = opened if opened in keys else None
    st.pills(words, keys, format_func=names.get, key=widget, on_change=_open, args=(widget,))


def _open(widget: str) -> None:
    forget = {f"d_{key}": None for key in _broken_in_address()}
    state.put(**{PROOF: st.session_state[widget], **forget})


def _broken_in_address() -> list[str]:
    return [key for key in OUTLINE if f"d_{key}" in st.query_params]


def _all(derivation, tree, reference, beta: float, notes: list[str]) -> None:
    """A line a step with both marks."""
    start = time.perf_counter()
    rows, names, worst = [], [], 0.0
    for position, step in enumerate(derivation.steps(), start=1):
        broken = _broken(step, notes)
        check = derivation.numeric_check(step, tree, reference, beta, broken)
        proved = _is_proved(step.key, broken)
        worst = max(worst, check.gap)
        names += [step.title] if broken else []
        rows.append(f"| {position} {step.title} | {_sign(proved)} | {_sign(check.passed)} {short(check.gap)} |")
    seconds = time.perf_counter() - start
    said = (
        f"{FAILED} **{len(names)} of {len(rows)} steps are broken**: {', '.join(names)}."
        if names
        else f"{PASSED} **All {len(rows)} steps hold.** Proved for 2 and 3 tokens in {seconds:.1f} s; on this tree no "
        f"two sides differ by more than {short(worst)}."
    )
    table = "\n".join(["| step | sympy | sides on this tree differ by |", "|---|---|---|", *rows])
    st.markdown(f"{said}\n\n{table}", width=TEXT_WIDTH)


def _sign(passed: bool) -> str:
    return PASSED if passed else FAILED


# --- a step ----------------------------------------------------------------------------------------------------------


def _broken(step, notes: list[str]) -> str | None:
    return state.chosen(f"d_{step.key}", [one.key for one in step.breaks], None, notes)


def _step(position: int, step, broken: str | None, marks: str) -> None:
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
        st.markdown(marks)
        st.pills(
            "Break it:",
            [one.key for one in step.breaks],
            format_func=lambda key: step.break_named(key).term,
            **state.bound(f"d_{step.key}", broken),
        )


def _equation(before: str, after: str, sign: str) -> str:
    """In one line where both sides are short, else in lines that fit a phone."""
    if _width(before) + _width(after) < _LINE:
        return f"{before} {sign} {after}"
    left, right = _lines(before), _lines(after)
    indented = [left[0], *(rf"\quad {line}" for line in left[1:]), rf"\quad {sign} {right[0]}"]
    indented += [rf"\qquad {line}" for line in right[1:]]
    rows = r" \\ ".join(f"& {line}" for line in indented)
    return rf"\begin{{aligned}} {rows} \end{{aligned}}"


def _lines(latex: str) -> list[str]:
    """A formula cut before its operators, outside of braces, so that no line is much wider than `_LINE`. Brackets that
    would grow cannot be cut and become plain ones."""
    if _width(latex) <= _LINE:
        return [latex]
    lines, depth = [""], 0
    for word in latex.replace(r"\left(", "(").replace(r"\right)", ")").split(" "):
        may_break = depth == 0 and _OPERATOR.match(word) and lines[-1]
        if may_break and _width(f"{lines[-1]} {word}") > _LINE * _FULL:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
        depth += word.count("{") - word.count("}")
    return lines


def _width(latex: str) -> int:
    """About as many characters as one sees."""
    return len(_MARKS.sub("", _COMMAND.sub("x", latex)))


def _marks(step, broken: str | None, numeric) -> str:
    lines = [_symbolic_mark(_is_proved(step.key, broken)), _numeric_mark(numeric)]
    if broken is not None:
        from vimpo_core.tree import formulas

        off_by = formulas.latex(step.break_named(broken).off_by)
        lines.insert(0, f"**{step.break_named(broken).term}**: left minus right is then ${off_by}$ instead of 0.")
    return "  \n".join(lines)


def _symbolic_mark(proved: bool) -> str:
    if proved:
        return f"{PASSED} sympy: the difference is exactly 0, for 2 and for 3 tokens"
    return f"{FAILED} **sympy: the difference is not 0**"


def _numeric_mark(numeric) -> str:
    if numeric.gap == 0:
        return f"{PASSED} this tree: the sides are the same"
    if numeric.passed:
        return f"{PASSED} this tree: the sides differ by {short(numeric.gap)} at most"
    return f"{FAILED} **this tree: the sides differ by up to {short(numeric.gap)}**"


def _is_proved(key: str, broken: str | None) -> bool:
    from vimpo_core.tree import derivation

    step = derivation.step_named(key)
    return all(derivation.symbolic_check(step, vocab, broken).passed for vocab in derivation.VOCABULARIES)


# --- the fork --------------------------------------------------------------------------------------------------------


def fork(found: TwoOptima) -> None:
    """The two policies that the derivation may go to, in numbers of one tree."""
    local, soft = found.local, found.soft
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
