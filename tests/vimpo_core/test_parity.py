"""The table of parity with peers: the peers are optional, the page that they made is held to the code."""

from __future__ import annotations

import importlib.metadata
import re

import numpy as np
import pytest

from benchmarks import _parity_rows, _peers, parity
from vimpo_core import credit, intervals, losses
from vimpo_core.measure import scorecard


def _cells() -> list[list[str]]:
    lines = [line for line in parity.PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_a_missing_peer_is_named_with_what_to_install(monkeypatch):
    def no_version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", no_version)
    problem = _peers.missing()
    assert "trl 1.16.0, found none" in problem and "requirements-parity.txt" in problem


def test_another_version_of_a_peer_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {**_peers.PEERS, "verl": "0.1"}[name])
    assert "verl 0.9.1, found 0.1" in _peers.missing()


def test_every_difference_on_the_page_has_its_reason():
    rows = _cells()
    assert len(rows) >= 60
    assert [row for row in rows if float(row[4]) > parity.SAME and not row[5]] == []


def test_every_function_named_on_the_page_exists():
    modules = {"credit": credit, "losses": losses, "intervals": intervals, "scorecard": scorecard}
    named = {found for row in _cells() for found in re.findall(r"(\w+)\.(\w+)\(?", row[1]) if found[0] in modules}
    assert len(named) >= 8
    assert [name for name in named if not hasattr(modules[name[0]], name[1])] == []


@pytest.mark.parametrize(("first", "second", "largest"), [([1.0, 2.0], [1.0, 2.5], 0.5), ([1.0], [np.nan], np.inf)])
def test_a_gap_is_the_largest_difference_and_nan_is_never_parity(first, second, largest):
    assert _parity_rows.gap(first, second) == largest


def test_a_difference_without_a_reason_is_not_explained():
    assert not _parity_rows.Row("rule", "ours", "peer", "case", 1e-6).is_explained
    assert _parity_rows.Row("rule", "ours", "peer", "case", 1e-6, "float32").is_explained
