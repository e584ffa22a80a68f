"""The derivation's view on a page of its own: the list of steps, an opened one, its marks, its breaks, its address."""

from streamlit.testing.v1 import AppTest

from app.course.widgets import derivation as derivation_view
from tests.pages.opening import again, one, words
from tests.support.waiting import PATIENCE
from vimpo_core.tree import derivation
from vimpo_core.tree.formulas import latex
from vimpo_core.tree.outline import OUTLINE
from vimpo_core.tree.two_optima import example

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


def test_the_outline_is_that_of_the_steps():
    assert list(OUTLINE.items()) == [(step.key, (step.branch, step.title)) for step in STEPS]


def test_before_a_step_is_opened_nothing_of_a_proof_is_on_the_page_or_computed(monkeypatch):
    def refuse(*args):
        raise AssertionError("a proof was computed")

    for check in ("symbolic_check", "numeric_check", "steps", "step_named"):
        monkeypatch.setattr(derivation, check, refuse)
    at = opened()
    lists = [pills for pills in at.get("button_group") if pills.key.startswith("derivation.")]
    titles = [option.content for pills in lists for option in pills.proto.options]
    assert titles == [
        *(
            f"{position} {step.title}"
            for branch in ("shared", "local", "soft")
            for position, step in enumerate(STEPS, 1)
            if step.branch == branch
        ),
        f"Check all {len(STEPS)} steps",
    ]
    assert not formulas(at) and "sympy" not in words(at)


def test_an_opened_step_alone_is_shown_with_both_checks_passed():
    at = opened(proof="identity")
    text = words(at)
    assert text.count(PROVED) == text.count("this tree: the sides") == len(formulas(at)) == 1
    assert REFUTED not in text and ":red[" not in text
    position = [step.key for step in STEPS].index("identity") + 1
    assert f"##### {position}. The identity" in text


def test_all_steps_can_be_checked_at_once():
    at = opened(proof="all")
    text = words(at)
    assert f"All {len(STEPS)} steps hold" in text and ":red[" not in text
    assert all(f"| {position} {step.title} | :green[" in text for position, step in enumerate(STEPS, start=1))


def test_a_step_is_opened_by_its_button_and_closed_again():
    at = opened()
    group = next(pills for pills in at.get("button_group") if pills.key == "derivation.soft")
    group.set_value("soft_identity").run()
    assert one(at.query_params["proof"]) == "soft_identity" and "The soft identity" in words(again(at))
    next(pills for pills in at.get("button_group") if pills.key == "derivation.soft").set_value(None).run()
    assert "proof" not in at.query_params and not formulas(again(at))


def test_a_broken_step_turns_red_and_says_which_term_and_by_how_much():
    at = opened(d_beta=0.5, d_vocab=2, d_depth=4, d_seed=3, proof="identity")
    breaks_of(at, "identity").set_value("kl").run()
    again(at)
    text = words(at)
    gap = derivation.numeric_check(derivation.step_named("identity"), *example(2, 4, 3), 0.5, "kl").gap
    assert one(at.query_params["d_identity"]) == "kl"
    assert text.count(REFUTED) == 1 and PROVED not in text
    assert f"the sides differ by up to {gap:.2g}**" in text
    assert "**Drop the KL term**: left minus right is then $" in text
    assert sum("\\neq" in formula for formula in formulas(at)) == 1


def test_a_link_to_a_broken_step_opens_it_and_one_to_two_opens_the_list_of_all():
    assert REFUTED in words(opened(d_identity="kl"))
    text = words(opened(d_beta=0.05, d_vocab=4, d_depth=2, d_seed=7, d_gradient="held", d_k1="exact"))
    assert f"2 of {len(STEPS)} steps are broken**: Its gradient, Why the KL must not be estimated by k1." in text


def test_a_link_to_a_break_that_does_not_exist_says_so_and_breaks_nothing():
    at = opened(d_identity="everything")
    assert "The link asks for d_identity 'everything'" in words(at)
    assert PROVED in words(at) and "d_identity" not in at.query_params


def test_no_line_of_a_formula_is_wider_than_a_phone_and_cutting_loses_nothing():
    fits = 46  # characters: the widest that was seen to fit 324 pixels, at the size that formulas have on a phone
    for step in STEPS:
        for broken in (None, *(found.key for found in step.breaks)):
            sides = [latex(side) for side in step.sides(broken)]
            lines = [line for side in sides for line in derivation_view._lines(side)]
            assert max(map(derivation_view._width, lines)) <= fits, (step.key, broken, lines)
            plain = " ".join(sides).replace(r"\left(", "(").replace(r"\right)", ")")
            assert " ".join(lines).replace(r"\left(", "(").replace(r"\right)", ")") == plain
