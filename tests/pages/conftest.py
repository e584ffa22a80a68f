"""What page tests share: no scoring process unless a test asks for one, and the browser of those marked `browser`."""

import os

import pytest

from app import waiting
from tests.browser import CHROMIUM, browsing


@pytest.fixture(autouse=True)
def _no_process_ahead_of_time(monkeypatch):
    """Opening Inspect starts the scoring process early; an AppTest that scores nothing needs none."""
    monkeypatch.setattr(waiting, "warm_up", lambda: None)


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium. Without one the test is skipped, or fails where VIMPO_NEED_BROWSER is set, as in CI."""
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("VIMPO_NEED_BROWSER") else pytest.skip)(
            "there is no chromium on this machine"
        )
    with browsing() as chromium:
        yield chromium
