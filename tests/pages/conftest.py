"""What page tests share: folders of runs and no process that nobody asked for; the browser, server and page of those
marked `browser`.
"""

import functools
import sys
from unittest import mock

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from app import cache, live, waiting
from tests.support.browser import CHROMIUM, browsing, serving, visiting, without_errors
from tests.support.needs import missing
from tests.support.sweeps import sweep
from vimpo_core.runs.folder import RunsDir

_HASTE = "--js-flags=--max-lazy --no-maglev --no-turbofan"
"""No script of a test runs for so long that to optimise it pays: loading a page takes a tenth less of the processor."""


@pytest.fixture(scope="session", autouse=True)
def _one_look_at_what_is_installed():
    """Each AppTest would read the metadata of every installed package in search of components, most of what it
    costs.
    """
    with mock.patch.object(
        manifest_scanner,
        "scan_component_manifests",
        functools.cache(manifest_scanner.scan_component_manifests),
    ):
        yield


@pytest.fixture(autouse=True)
def _main_module_as_it_was(monkeypatch):
    """An AppTest makes its script the main module, which every process started later by `spawn` would run again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def _no_process_ahead_of_time(monkeypatch):
    """Opening Inspect starts the scoring process early, Train the one that trains; an AppTest needs neither."""
    monkeypatch.setattr(waiting, "warm_up", lambda: None)
    monkeypatch.setattr(RunsDir, "ready_worker", lambda self: None)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty folder of one's own runs, no bundled ones (`cache.DEMOS` and `cache.REAL` are folders to put them), no
    published experiments (nor in `cache.PUBLISHED`), and no real worker."""
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(cache, "DEMOS", tmp_path / "bundled")
    monkeypatch.setattr(cache, "REAL", tmp_path / "real")
    monkeypatch.setattr(cache, "PUBLISHED", tmp_path / "published")
    monkeypatch.setattr(live, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(RunsDir, "ensure_worker", lambda self: None)
    st.cache_data.clear()
    st.cache_resource.clear()
    return RunsDir(tmp_path / "runs")


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, one for all tests of a process. Without one the test is skipped, or fails where
    VIMPO_NEED_BROWSER is set, as in CI.
    """
    if CHROMIUM is None:
        missing("there is no chromium on this machine", "VIMPO_NEED_BROWSER")
    with browsing("--process-per-site", _HASTE) as chromium:
        yield chromium


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The runs folder of the server at `address`: what one test leaves there the next one sees."""
    return RunsDir(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def address(served):
    """One server for all tests: real training, real scoring, by processes that import torch once."""
    with serving(served.path, program="tests.support.patient_app") as server:
        yield server.address


@pytest.fixture(scope="session")
def regular(browser, address):
    """A visitor whose first tab stays open: what the browser has made of the app's scripts once, it has for all
    tests.
    """
    with visiting(browser) as context:
        context.new_page().goto(f"{address}/_stcore/health")
        yield context


@pytest.fixture
def visitor(regular):
    """Somebody whose browser remembers nothing, and whose tabs may report no error."""
    first, *_ = regular.pages
    first.evaluate("localStorage.clear()")
    regular.clear_cookies()
    with without_errors(regular):
        yield regular
        for tab in regular.pages[1:]:
            tab.close()


@pytest.fixture
def page(visitor):
    return visitor.new_page()


@pytest.fixture(params=sweep(["light", "dark"], ["light"]))
def themed_page(request, page):
    """A page for somebody who prefers each theme in turn."""
    page.emulate_media(color_scheme=request.param)
    return page
