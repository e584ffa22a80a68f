"""One way to write a number: sign, digits, unit, interval."""

import re
from pathlib import Path

import pytest

from vimpo_core import numbers

ROOT = Path(__file__).parents[2]
WRITTEN_ELSEWHERE = re.compile(r"""replace\(\s*["']-["'],\s*["']−["']|\{[^{}"]*:\.\d%\}|:\+\.\d+f\}|"⁻""")
ALLOWED = {"vimpo_core/numbers.py", "vimpo_core/experiment/report.py", "docs/make_results.py"}
"""Reports and the document made of them are published with a plain hyphen before a number."""


@pytest.mark.parametrize(
    ("value", "fixed", "signed"),
    [
        (0.123, "0.12", "+0.12"),
        (-0.614, "−0.61", "−0.61"),
        (0.0, "0.00", "0.00"),
        (-0.001, "0.00", "0.00"),
        (0.001, "0.00", "0.00"),
    ],
)
def test_a_sign_stands_only_where_a_digit_does_and_a_minus_is_a_minus(value, fixed, signed):
    assert numbers.fixed(value) == fixed
    assert numbers.signed(value) == signed


def test_shares_are_written_in_percent_and_their_differences_in_points():
    assert numbers.percent(0.714) == "71 %" and numbers.percent(-0.0321, 1) == "−3.2 %"
    assert numbers.points(0.0132) == "+1.3" and numbers.points(-0.004) == "−0.4"


def test_a_term_has_its_operator_even_at_zero():
    assert f"1 {numbers.term(-0.25)} = 0.75, 1 {numbers.term(0.0)}" == "1 − 0.25 = 0.75, 1 + 0.00"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-0.0, "0"),
        (2, "2"),
        (0.194, "0.19"),
        (-0.194, "−0.19"),
        (4.51e-7, "4.5·10⁻⁷"),
        (1e-5, "10⁻⁵"),
        (-3e-5, "−3·10⁻⁵"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
    ],
)
def test_the_size_of_a_small_number_is_seen_at_once(value, shown):
    assert numbers.short(value) == shown


def test_an_interval_is_left_out_where_there_are_too_few_seeds_for_one():
    found = {"mean": 0.712, "low": 0.698, "high": 0.725}
    assert numbers.with_bounds(found, numbers.percent) == "71 % (70 % to 72 %)"
    assert numbers.with_bounds(found | {"low": None, "high": None}, numbers.percent) == "71 %"


def test_no_other_module_writes_signs_or_percents_of_its_own():
    files = [f for folder in ("app", "pages", "vimpo_core", "docs") for f in (ROOT / folder).rglob("*.py")]
    elsewhere = {
        f.relative_to(ROOT).as_posix() for f in files if WRITTEN_ELSEWHERE.search(f.read_text(encoding="utf-8"))
    }
    assert elsewhere <= ALLOWED


@pytest.mark.parametrize("line", ['f"{x:+.2f}"', 'f"{x:.0%}"', 'text.replace("-", "−")'])
def test_a_number_that_is_written_elsewhere_is_found(line):
    assert WRITTEN_ELSEWHERE.search(line)


def test_a_time_that_is_about_right_has_two_units_at_most():
    seconds = (0, 7.9, 8, 42, 57.4, 58, 100, 594, 595, 3569, 3570, 4300)
    assert [numbers.rough_time(s) for s in seconds] == [
        *("a few seconds", "a few seconds", "10 s", "40 s", "55 s", "1 min", "1 min 40 s"),
        *("9 min 50 s", "10 min", "59 min", "1 h", "1 h 10 min"),
    ]
