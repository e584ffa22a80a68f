"""A page without a browser: opening it at a link, reading what it shows, using its widgets, answering for the
service.
"""

import json
import re
from concurrent.futures import Future
from unittest import mock

from streamlit.navigation.page import StreamlitPage
from streamlit.testing.v1 import AppTest

from tests.support.waiting import PATIENCE
from vimpo_core.paths import ROOT


class StubService:
    """Stands in for `ScoringService`: asks its own method of the function's name. What `asked_for` is told is in
    `asked`; the test answers by `future`, which is that of the newest request."""

    def __init__(self):
        self.asked, self.future = [], Future()

    def warm_up(self):
        return Future()

    def ask(self, function, *args, timeout, asker, is_wanted=None, **options):
        return getattr(self, function.__name__)(*args, **options)

    def asked_for(self, *request):
        self.asked.append(request)
        self.future = Future()
        return self.future


class Address(dict):
    """Stands in for `st.query_params` where a callback is called by itself."""

    to_dict = dict.copy

    def from_dict(self, new):
        self.clear()
        self.update(new)


def open_app():
    """The app at its first page."""
    at = AppTest.from_file(ROOT / "app" / "streamlit_app.py", default_timeout=PATIENCE).run()
    assert not at.exception
    return at


def open_page(name, **query):
    """The page of pages/`name`.py, opened by a link with this query. The first page is registered on the way, not
    drawn.
    """
    with mock.patch.object(StreamlitPage, "run", lambda page: None):
        at = open_app()
    for key, value in query.items():
        at.query_params[key] = str(value)
    at.switch_page(f"../pages/{name}.py")
    return again(at)


def open_inspect(**query):
    return open_page("inspector", **query)


def again(at):
    at.run()
    assert not at.exception
    return at


def payloads(at):
    """What each component on the page was sent, of those that were sent anything."""
    sent = [json.loads(component.proto.json) for component in at.get("bidi_component")]
    return [payload[0] for payload in sent if payload]


def payload_with(at, name):
    """The payload of the first component that was sent something called `name`, or None."""
    return next((payload for payload in payloads(at) if name in payload), None)


def words(at):
    return said("\n".join(m.value for m in [*at.markdown, *at.caption, *at.info, *at.warning]))


def said(markdown):
    """What `app.text.as_plain` was given."""
    return markdown.replace(":gray[]", "").replace("\\", "")


_MARKUP = re.compile(r"\$\$.+?\$\$|:[a-z_]+/[a-z_]+:|\]\([^)]*\)|[*`_#|\\]", re.DOTALL)
_STRIP_WORDS = ("title", "says", "hint", "label", "heading", "note")


def read_words(at):
    """The words that a reader meets on the page: text, labels, options, and what stands beside tokens; no formula set
    off from the text, no token, nothing folded, and not what stands at the foot of every page.
    """
    folded = {id(one) for box in at.get("popover") for one in elements(box)}
    texts = [one for kind in ("title", "markdown", "caption", "info", "warning") for one in at.get(kind)]
    said = [one.value for one in texts if id(one) not in folded]
    controls = [found for kind in ("button", "select_slider", "selectbox") for found in at.get(kind)]
    said += [found.label for found in controls if found.key != "look.switch"]
    said += [option for radio in at.radio for option in radio.options]
    for shown in payloads(at):
        for of in (shown, *shown.get("rows", ()), *shown.get("more", ())) if {"rows", "more"} & set(shown) else ():
            said += [of[name] for name in _STRIP_WORDS if isinstance(of.get(name), str)]
    plain = _MARKUP.sub(" ", "\n".join(said))
    return [word for word in plain.split() if any(map(str.isalnum, word))]


def elements(block):
    """What stands in a block, in the order of reading."""
    for _, child in sorted(block.children.items()):
        yield from elements(child) if hasattr(child, "children") else (child,)


def widget(kind, label):
    return next(w for w in kind if w.label == label)


def press(at, label):
    widget(at.button, label).click()
    return again(at)


def one(value):
    """AppTest gives a query parameter as text or, after a callback, as a list."""
    return value if isinstance(value, str) else value[0]
