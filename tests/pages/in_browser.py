"""What the browser tests look at, and how long they wait for it."""

from tests.support.browser import scrolls_sideways

BUNDLED = "vimpo-beta-0.3"
SETTLED_MS = 400
"""A selection is reported 150 ms after it was made: after this time a frame would have been sent."""


def expect_no_sideways_scrolling(page, height=1000):
    for width in (1440, 800):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(SETTLED_MS)
        assert not scrolls_sideways(page), width
