"""The derivation's view on a page of its own: its marks, its breaks, its fork, its address."""

from streamlit.testing.v1 import AppTest

from tests.pages.opening import again, one, words
from tests.support.waiting import PATIENCE
from vimpo_core.tree import derivation
from vimpo_core.tree.two_optima import example, two_optima

STEPS = derivation.steps()
PROVED, REFUTED = "sympy: the difference is exactly 0", "sympy: the difference is not 0"


def page():
    from app.course.lesson import Lesson
    from app.course.link import current
    from app.course.widgets import derivation

    lesson = Lesson(None, None, current())
    derivation.show(*[lesson.control(control) for control in derivation.CONTROLS])


def opened(**query):
    at = AppTest.from_function(page, default_timeout=PATIENCE)
    for name, value in query.items():
        at.query_params[name] = str(value)
    return again(at)


def formulas(at):
    return [element.value for element in at.latex]


def breaks_of(at, key):
    return next(pills for pills in at.get("button_group") if pills.key == f"url.d_{key}")


def test_every_step_is_shown_with_both_checks_passed():
    at = opened()
    text = words(at)
    assert text.count(PROVED) == text.count("this tree: the sides") == len(STEPS) == len(formulas(at))
    assert REFUTED not in text and ":red[" not in text
    assert f"All {len(STEPS)} steps hold" in text
    for position, step in enumerate(STEPS, start=1):
        assert f"##### {position}. {step.title}" in text


def test_a_broken_step_alone_turns_red_and_says_which_term_and_by_how_much():
    at = opened(d_beta=0.5, d_vocab=2, d_depth=4, d_seed=3)
    breaks_of(at, "identity").set_value("kl").run()
    again(at)
    text = words(at)
    gap = derivation.numeric_check(derivation.step_named("identity"), *example(2, 4, 3), 0.5, "kl").gap
    assert one(at.query_params["d_identity"]) == "kl"
    assert text.count(REFUTED) == 1 and text.count(PROVED) == len(STEPS) - 1
    assert f"the sides differ by up to {gap:.2g}**" in text
    assert "**Drop the KL term**: left minus right is then $" in text
    assert f"1 of {len(STEPS)} steps are broken**: The identity." in text
    assert sum("\\neq" in formula for formula in formulas(at)) == 1


def test_a_link_restores_the_tree_and_what_is_broken():
    at = opened(d_beta=0.05, d_vocab=4, d_depth=2, d_seed=7, d_gradient="held", d_k1="exact")
    text = words(at)
    assert f"2 of {len(STEPS)} steps are broken" in text and text.count(REFUTED) == 2
    found = two_optima(*example(4, 2, 7), 0.05)
    assert f"V^{{pi}}(s_0) = {found.local.value:.3f}" in text
    assert f"(s_0) = {found.soft.value:.3f}" in text
    assert f"Total variation between the two: {found.apart:.3f}" in text


def test_a_link_to_a_break_that_does_not_exist_says_so_and_breaks_nothing():
    at = opened(d_identity="everything")
    assert "The link asks for d_identity 'everything'" in words(at)
    assert f"All {len(STEPS)} steps hold" in words(at)
    assert "d_identity" not in at.query_params


def test_the_fork_stands_in_two_columns_with_the_steps_of_its_branch():
    at = opened()
    local, soft = (column for column in at.columns if any("#### " in m.value for m in column.markdown))
    assert "#### Local" in local.markdown[0].value and "#### Soft" in soft.markdown[0].value
    assert [step.title for step in STEPS if step.branch == "soft"] == [
        m.value.split(". ", 1)[1].split("\n")[0] for m in soft.markdown if m.value.startswith("##### ")
    ]
