"""Sweeps over many cases of one claim: a few are always run, all of them with the slow tests."""

from collections.abc import Collection, Iterable

import pytest


def sweep(cases: Iterable, quick: Collection) -> list:
    """Parameters for `parametrize`: whatever is not among `quick` is slow. AssertionError where one of those is no
    case.
    """
    cases = list(cases)
    assert all(case in cases for case in quick), quick
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]
