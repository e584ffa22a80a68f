"""The browser that the tests marked `browser` share."""

import os

import pytest

from tests.browser import CHROMIUM, browsing


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium. Without one the test is skipped, or fails where VIMPO_NEED_BROWSER is set, as in CI."""
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("VIMPO_NEED_BROWSER") else pytest.skip)(
            "there is no chromium on this machine"
        )
    with browsing() as chromium:
        yield chromium
