"""The verifier: near misses as a table, hostile text as data, and properties over arbitrary text."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.waiting import cpu_seconds
from vimpo_core.verifier import MAX_CHARACTERS, MAX_DIGITS, check_answer, verify

ATTACKS = json.loads((Path(__file__).parents[1] / "data" / "attacks_public.json").read_text(encoding="utf-8"))


def response_of(case):
    return case.get("response") or "".join(piece * times for piece, times in case["build"])


@pytest.mark.parametrize("case", ATTACKS["cases"], ids=lambda case: case["id"])
def test_public_attacks_get_the_expected_verdict_and_no_time_to_speak_of(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    response = response_of(case)
    verdict = verify(response, case["gold"])
    assert verdict.status == case["expect"]  # the preferred verdict, not merely one of also_ok
    assert (verdict.status == "rejected") <= bool(verdict.reason)
    assert cpu_seconds(verify, response, case["gold"]) < 1
    assert not (tmp_path / ATTACKS["canary"]).exists()


SAME = [  # (an answer, the same number written plainly)
    ("4", "4"),
    ("+4", "4"),
    ("-4", "-4"),
    ("- 4", "-4"),
    ("\u22124", "-4"),
    ("-0", "0"),
    ("0/7", "0"),
    ("00012", "12"),
    (" 4 ", "4"),
    ("\n4\n", "4"),
    ("$4$", "4"),
    ("$$4$$", "4"),
    ("$1,000", "1000"),
    ("4.", "4"),
    ("$4$.", "4"),
    ("4.0", "4"),
    ("4.50", "9/2"),
    (".5", "1/2"),
    ("-.5", "-1/2"),
    ("3.14.", "157/50"),
    ("1,000", "1000"),
    ("1{,}000", "1000"),
    ("12,345,678", "12345678"),
    ("1,000.5", "2001/2"),
    ("1/2", "0.5"),
    ("2/4", "1/2"),
    ("-1/2", "-0.5"),
    ("1 / 2", "1/2"),
    ("1,000/2,000", "1/2"),
    (r"\frac{1}{2}", "1/2"),
    (r"\dfrac{1}{2}", "1/2"),
    (r"\tfrac{1}{2}", "1/2"),
    (r"-\frac{1}{2}", "-1/2"),
    (r"\frac{-1}{2}", "-1/2"),
    (r"\frac{1}{-2}", "-1/2"),
    (r"-\frac{-1}{2}", "1/2"),
    (r"\frac { 1 } { 2 }", "1/2"),
    ("(4)", "4"),
    ("(((-4)))", "-4"),
    ("( 1/2 )", "1/2"),
    ("(.5).", "1/2"),
    ("9" * 18, "9" * 18),
    ("0." + "0" * 16 + "1", f"1/{10**17}"),
    ("9" * 18 + "/" + "9" * 18, "1"),
]


@pytest.mark.parametrize(("answer", "plain"), SAME)
def test_other_spellings_of_the_same_number_are_correct(answer, plain):
    assert check_answer(answer, plain).status == "correct"
    assert verify(rf"so \boxed{{{answer}}} it is", plain).status == "correct"
    assert verify(f"so\n#### {answer}\n", plain).status == "correct"
    assert check_answer(plain, answer).status == "correct"  # what is understood as an answer is a fine gold answer


OUTSIDE = [
    "",
    " ",
    ".",
    "$",
    "()",
    "-",
    "+",
    "- ",
    "/",
    "1/",
    "/2",
    "--4",
    "+-4",
    "-+4",
    "- -4",
    "5..",
    "1.2.3",
    "1 000",
    "3 4",
    "4 or 5",
    "x=4",
    "4 apples",
    "50%",
    "4!",
    "2^3",
    "2*3",
    "1+1",
    "1,00",
    "1,0000",
    "0,123",
    ",100",
    "1,",
    "1,,000",
    "1{,}00",
    "1.000,5",
    "10,00,000",
    "1{}000",
    "1e3",
    "1E3",
    "1e999999999",
    "0x10",
    "0b1",
    "0o7",
    "1_0",
    "1_000",
    "inf",
    "nan",
    "Infinity",
    "1j",
    "None",
    "True",
    "1/0",
    "0/0",
    r"\frac{0}{0}",
    r"\frac{1}{0}",
    "1/-2",
    "1/2/3",
    "1.5/2",
    "1/2.0",
    r"\frac{1.5}{2}",
    r"\frac12",
    r"\frac{1}{2",
    r"\frac{1}",
    r"\frac{\frac{1}{2}}{3}",
    r"1\frac{1}{2}",
    r"\cfrac{1}{2}",
    r"\frac1{2}",
    r"\sqrt{4}",
    "(4",
    "4)",
    ")4(",
    "((4)",
    "-(4)",
    "[4]",
    "{4}",
    "|4|",
    "4\\",
    r"\text{4}",
    r"\$4",
    r"4\%",
    "\uff14",
    "\u0664",
    "\u0967",
    "\u2463",
    "\u00bd",
    "\u00b2",
    "4\u200b",
    "\u202e4",
    "\ufeff4",
    "4\u00a0",
    "4\x00",
    "\u22124\u2212",
    "\ud800",
    "4\udfff",
    "1\n2",
    "9" * 19,
    "0." + "1" * 18,
    "1/" + "1" * 19,
]


@pytest.mark.parametrize("answer", OUTSIDE, ids=ascii)
def test_near_misses_are_rejected_with_a_reason(answer):
    verdict = check_answer(answer, "4")
    assert (verdict.status, verdict.reward) == ("rejected", 0.0)
    assert verdict.reason.endswith(".")
    assert verify(rf"\boxed{{{answer}}}", "4").status == "rejected"


REASONS = [
    ("4\u200b", "The answer holds a character outside ASCII."),
    ("1/0", "The answer divides by zero."),
    (" $ ", "The answer is empty."),
    ("9" * 19, "A number of the answer has more than 18 digits."),
    ("1+1" * 30, "The answer has 90 characters; at most 64 are read."),
    ("1+1" * 300, "The answer goes on for more than 256 characters."),
    ("4 or 5", "The answer is not a whole number, a decimal or a fraction of whole numbers."),
]


@pytest.mark.parametrize(("answer", "reason"), REASONS)
def test_the_reason_says_what_was_wrong(answer, reason):
    assert check_answer(answer, "4").reason == reason


RESPONSES = [
    (r"\boxed{4}", "correct"),
    (r"\boxed{5} no, \boxed{4}", "correct"),
    (r"\boxed{4} no, \boxed{5}", "incorrect"),
    (r"\boxed{5} #### 4", "incorrect"),  # a box beats the mark, wherever it stands
    (r"#### 5 \boxed{4}", "correct"),
    (r"\boxed{\boxed{4}}", "correct"),
    (r"% \boxed{4}", "correct"),  # nobody compiles the text: a comment counts like the rest
    (r"\boxed{4} and \boxed{5", "rejected"),  # cut off in the middle of its last answer
    (r"\boxed{4", "rejected"),
    (r"\boxed{", "rejected"),
    (r"\boxed{}", "rejected"),
    (r"\boxed {4}", "correct"),
    ("\\boxed\n{4}", "correct"),
    (r"\boxed{4} no wait \boxed {5}", "incorrect"),
    (r"\boxed{5} no wait \boxed {4}", "correct"),
    (r"\boxed{4} no wait \boxed 5", "rejected"),  # without braces nobody can say where it ends
    (r"\boxed{4} no wait \boxed5", "rejected"),
    (r"\boxed{4} no wait \boxed", "rejected"),
    (r"\boxed{4} no wait \boxed {5", "rejected"),
    (r"\boxed{4} no wait \boxed {}", "rejected"),
    (r"\boxed{4} no wait \boxed\frac{5}{1}", "rejected"),
    (r"\boxed{4} no wait \boxed [5]", "rejected"),
    (r"\boxed{4}, by \boxedmacro{5}", "correct"),  # the name of something else
    (r"\boxed 4", "rejected"),
    (r"\boxed {\boxed {4}}", "correct"),
    (r"\boxed{ \boxed{4} }", "correct"),
    (r"\boxed{\boxed{4} or 5}", "rejected"),  # the last box to close says more than 4
    (r"\boxed{5 or \boxed{4}}", "rejected"),
    (r"\boxed{5 or \boxed{\boxed{4}}}", "rejected"),
    (r"\boxed{\boxed{4}", "rejected"),  # the outer one was cut off
    (r"\boxed{5} \boxed{4}", "correct"),
    (r"#### 4 no wait \boxed 5", "rejected"),
    ("#### 4\nno, 5", "rejected"),
    ("#### 4\nno, #### 5", "incorrect"),
    ("#### 4\n####", "rejected"),
    ("The answer is 4. No, #### 5", "incorrect"),
    ("#### 5. No, the answer is 4", "rejected"),
    ("Answer: 4", "rejected"),
    (r"\fbox{4}", "rejected"),
    (r"boxed{4}", "rejected"),
    (r"\Boxed{4}", "rejected"),
    ("#### 4", "correct"),
    ("####4", "correct"),
    ("#### 5 #### 4", "correct"),
    ("##### 4", "correct"),
    ("#### 4\nUser: and 2+2?", "rejected"),
    ("####", "rejected"),
    ("### 4", "rejected"),
    ("# # # # 4", "rejected"),
    ("the answer is 4", "rejected"),
    ("4", "rejected"),
    ("", "rejected"),
    ("\\boxed{4}" + "\ud800", "correct"),
    ("#### 4" + "\n" * 5000, "correct"),
]


@pytest.mark.parametrize(("response", "status"), RESPONSES, ids=lambda value: ascii(value)[:40])
def test_the_last_box_counts_then_the_text_after_the_last_mark(response, status):
    assert verify(response, "4").status == status


def test_verdict_reports_what_was_judged_and_the_reward():
    verdict = verify(r"\boxed{ 1{,}000 }", "7")
    assert (verdict.answer, verdict.reward, verdict.reason) == (
        "1{,}000",
        0.0,
        "The answer 1{,}000 is not 7.",
    )
    assert verify("#### 7", "7").reward == 1.0


def test_limits_are_where_they_are_said_to_be():
    assert check_answer("1" * MAX_DIGITS, "1").status == "incorrect"
    assert "18 digits" in check_answer("1" * (MAX_DIGITS + 1), "1").reason
    longest = "1" + " " * (MAX_CHARACTERS - 3) + "/1"
    assert check_answer(longest, "1").status == "correct"
    assert "64" in check_answer(longest.replace("/", " /"), "1").reason


@pytest.mark.parametrize("gold", ["", "four", "1/0", "1e3", "\ud800", "9" * 19])
def test_a_gold_answer_outside_the_grammar_is_the_callers_error(gold):
    for judge in (verify, check_answer):
        with pytest.raises(ValueError, match=r"^gold answer .* cannot be compared: .*\. Fix the task\.$"):
            judge(r"\boxed{4}", gold)


HUGE = [
    "\\boxed{" * 150_000,
    "\\boxe" * 200_000,
    "\\boxed{" + "{}" * 500_000 + "}",
    "\\boxedx" * 140_000,
    "\\boxed" + " " * 1_000_000 + "{4}",
    "\\boxed{" * 70_000 + "4" + "}" * 70_000,
    "\\boxed{" + " " * 200 + "\\boxed{4}" + " " * 1_000_000 + "}",
    "\\boxed{" + " " * 1_000_000 + "4}",
    "\\boxed{" + "9" * 1_000_000 + "}",
    "\\boxed{4}" + "{" * 1_000_000,
    "#" * 1_000_000,
    "####" + " " * 1_000_000 + "4",
    "#### 4" + " " * 1_000_000,
    "####" + "(" * 500_000 + "4" + ")" * 500_000,
    "####" + "1," * 500_000,
    "####" + "\\frac{" * 150_000,
    "####" + "- " * 500_000,
]


@pytest.mark.parametrize("response", HUGE, ids=lambda text: text[:12])
def test_a_megabyte_of_hostile_text_takes_no_time_to_speak_of(response):
    # Measured 0.1 to 1 ms; anything quadratic on a megabyte takes minutes.
    assert cpu_seconds(verify, response, "4") < 1


pieces = st.sampled_from(
    [
        "\\boxed{",
        "####",
        "{",
        "}",
        "\\frac",
        "{1}",
        "{,}",
        "-",
        "\u2212",
        ".",
        ",",
        "/",
        "(",
        ")",
        "$",
        " ",
        "0",
        "12",
        "\ud800",
    ]
)
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included


@given(any_text | st.lists(pieces).map("".join))
@example("\\boxed{" + "1" * 5000 + "}")  # over the digits that int() converts
def test_arbitrary_text_never_raises_and_never_earns_without_a_number(text):
    for verdict in (verify(text, "12"), verify("\\boxed{" + text + "}", "12"), check_answer(text, "12")):
        assert verdict.reward == (1.0 if verdict.status == "correct" else 0.0)
        assert verdict.reward == 0.0 or "12" in text.replace("{,}", "")
        (verdict.answer + verdict.reason).encode("utf-8")  # can be stored and sent


numbers = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6)


def spellings(value: Fraction):
    top, bottom = value.numerator, value.denominator
    sign = "-" if top < 0 else ""
    yield f"{top}/{bottom}"
    yield f"{sign}\\frac{{{abs(top):,}}}{{{bottom:,}}}"
    if bottom == 1:
        yield f"{top:,}".replace(",", "{,}")
        yield f"{top}.000"


@given(numbers, numbers)
def test_equality_is_exactly_that_of_fractions(value, other):
    for answer in spellings(value):
        assert check_answer(answer, f"{value.numerator}/{value.denominator}").status == "correct"
        expected = "correct" if value == other else "incorrect"
        assert check_answer(answer, f"{other.numerator}/{other.denominator}").status == expected


@given(st.integers(-(10**8), 10**8), st.integers(0, 8))
def test_decimals_are_exact(digits, places):
    sign, text = "-" if digits < 0 else "", f"{abs(digits):09d}"
    decimal = sign + text[: len(text) - places] + "." + text[len(text) - places :]
    assert check_answer(decimal, f"{digits}/{10**places}").status == "correct"
    assert check_answer(decimal, f"{digits * 10**8 + 1}/{10 ** (places + 8)}").status == "incorrect"
