"""What the browser tests look at, and how they watch it."""

from unittest import mock

import streamlit as st
from playwright.sync_api import Locator, Page

from app import routes
from tests.support.browser import settle

BUNDLED = "vimpo-beta-0.3"


def pages_by_address() -> dict[str, str]:
    """The address of every page that the app registers, "" for the first, and what the menu calls it."""

    def page_of(path, title, default=False, url_path="", **_):
        return "" if default else url_path or path.stem, title

    with mock.patch.multiple(st, navigation=lambda pages, **_: pages, Page=page_of):
        return dict(page for group in routes.navigation(is_class=False).values() for page in group)


def expect_no_sideways_scrolling(page: Page, height: int = 1000) -> None:
    for width in (1440, 800, 390):
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        expect_as_wide_as_its_window(page)


def expect_as_wide_as_its_window(page: Page) -> None:
    """Neither the page nor the box in which it scrolls is wider."""
    page.wait_for_function(
        """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
            .every((box) => box.scrollWidth <= box.clientWidth)"""
    )


def focused(page: Page, reads: str):
    """What a function of JavaScript says of the element that has the focus, through shadow roots."""
    return page.evaluate(
        f"""() => {{
            let at = document.activeElement;
            while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
            return ({reads})(at);
        }}"""
    )


def every_text(page: Page, node: Locator, sent: list) -> dict[str, int]:
    """A dictionary that every text of a node goes to from now on, with the number of frames that were `sent` when it was
    first shown: on a busy machine some may be too brief to be caught by looking."""
    shown: dict[str, int] = {}
    page.expose_function("shown", lambda text: shown.setdefault(text, len(sent)))
    node.evaluate(
        """(node) => new MutationObserver(() => window.shown(node.textContent))
            .observe(node, { childList: true, characterData: true, subtree: true })"""
    )
    return shown
