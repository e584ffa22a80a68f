"""What every page has alike: large type that stays, and a tab that says what it shows."""

from unittest import mock

import pytest
import streamlit as st

from tests.pages.in_browser import BUNDLED
from tests.pages.opening import again, one, open_page, press


def is_large(at):
    return any("zoom" in html.value for html in at.get("html"))


def test_large_type_comes_by_a_link_and_stays_until_it_is_put_off():
    at = open_page("teach", large=1)
    assert is_large(at)
    at.query_params.clear()  # as the menu leads to another page
    at.switch_page("../pages/runs.py")
    assert is_large(again(at))
    assert not is_large(press(at, "Usual type"))
    at.switch_page("../pages/teach.py")
    assert not is_large(again(at))


def test_large_type_by_its_switch_is_in_the_address():
    at = press(open_page("teach", part="plan"), "Large type")
    assert is_large(at) and {name: one(value) for name, value in at.query_params.items()} == {
        "part": "plan",
        "large": "1",
    }
    press(at, "Usual type")
    assert "large" not in at.query_params


@pytest.mark.parametrize(
    ("page", "query", "title"),
    [
        ("start", {}, "Start · VIMPO Lab"),
        ("inspector", {"run": BUNDLED}, "Inspect · VIMPO beta 0.3, seed 0 · VIMPO Lab"),
        ("compare", {"runs": f"{BUNDLED},grpo"}, "Compare · VIMPO beta 0.3, seed 0, GRPO, seed 0 · VIMPO Lab"),
        ("learn", {"chapter": 1}, "The course · 1 Who gets the blame? · VIMPO Lab"),
    ],
)
def test_a_tab_names_its_page_and_what_it_shows(page, query, title):
    with mock.patch.object(st, "set_page_config") as named:
        open_page(page, **query)
    assert named.call_args.kwargs["page_title"] == title
