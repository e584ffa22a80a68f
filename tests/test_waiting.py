"""The suite is steady: tests wait for states (`tests/support/waiting.py`), never for a time, and time nothing."""

import ast

import pytest

from tests.support import waiting
from vimpo_core.paths import ROOT

TESTS = ROOT / "tests"
CLOCKS = {
    "sleep",
    "wait_for_timeout",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
}
"""Calls by which a test would wait for a time or measure one."""
WAITS = {
    "result",
    "wait",
    "join",
    "communicate",
    "acquire",
    "set_default_timeout",
    "set_default_navigation_timeout",
}
"""Calls whose first argument may be how long to wait."""
WITH_CLOCKS = {
    "waiting.py": "the one place where tests wait",
    "kills.py": "kills come at random moments, so that they land anywhere",
    "kill_rounds.py": "as kills.py",
    "kill_web.py": "the process that kills.py's rounds kill acts at random moments",
    "fakes.py": "a trainer slow enough for a kill to land in a step",
}


def faults(source: str, may_look_at_clocks: bool = False) -> list[str]:
    """What makes the tests of a file depend on how fast the machine is, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in CLOCKS and not may_look_at_clocks:
            found.append(f"line {node.lineno}: {name}(), wait for a state by `eventually` instead")
        limits = [k.value for k in node.keywords if k.arg and k.arg.endswith("timeout")]
        limits += node.args[:1] if name in WAITS else []
        if any(is_short(limit) for limit in limits):
            found.append(f"line {node.lineno}: {name}(...) ends after a time of its own, use PATIENCE")
    return found


def is_short(limit: ast.expr) -> bool:
    """A number other than 0, which does not wait at all."""
    return isinstance(limit, ast.Constant) and isinstance(limit.value, int | float) and limit.value != 0


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_waits_for_a_time_or_measures_one(path):
    is_excused = path.parent.name == "support" and path.name in WITH_CLOCKS
    assert not faults(path.read_text(encoding="utf-8"), is_excused)


@pytest.mark.parametrize(
    "source",
    [
        "time.sleep(1)",
        "page.wait_for_timeout(400)",
        "end = time.monotonic() + 30",
        "future.result(30)",
        "thread.join(timeout=5)",
        "expect(line).to_be_visible(timeout=5_000)",
        "AppTest.from_file(path, default_timeout=30)",
        "subprocess.run(command, timeout=60)",
    ],
)
def test_each_kind_of_clock_is_found(source):
    assert faults(source)


@pytest.mark.parametrize(
    "source",
    [
        "future.result(PATIENCE)",
        "future.result(timeout=0)",
        "', '.join(words)",
        "eventually(lambda: done)",
    ],
)
def test_a_wait_for_a_state_is_not_taken_for_one(source):
    assert not faults(source)


def test_eventually_gives_what_it_waited_for_and_says_what_never_came(monkeypatch):
    answers = iter([None, 0, "ready"])
    assert waiting.eventually(lambda: next(answers)) == "ready"
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(AssertionError, match=r"in vain\. it is still 3"):
        waiting.eventually(lambda: False, lambda: "it is still 3")


def test_helpers_know_no_benchmark():
    """Benchmarks use the tests' helpers, never the other way."""
    for path in (TESTS / "support").glob("*.py"):
        imports = [
            node
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom | ast.Import)
        ]
        assert not [node for node in imports if "benchmarks" in ast.unparse(node)], path.name


def test_every_excuse_is_needed():
    for name in WITH_CLOCKS:
        assert faults((TESTS / "support" / name).read_text("utf-8")), name
