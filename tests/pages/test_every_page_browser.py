"""Every page and section at four widths in the light theme, and at the widest and the narrowest in the dark one, where
colours alone are others: nothing scrolls sideways but what says so, no words lie on others, are cut or faint, axe-core
finds nothing grave, and nothing of ours moves for those who asked for calm. Pages are taken from app.routes: a new one
is tested by itself.
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.course.chapters import ALL
from app.inspector.sections import SECTIONS
from tests.pages.in_browser import BUNDLED, expect_as_wide_as_its_window, pages_by_address
from tests.support.accessibility import grave_violations
from tests.support.browser import serving, settle, visiting
from tests.support.fakes import FakeTrainer
from tests.support.page_faults import page_faults
from tests.support.words_seen import words_seen
from vimpo_core.config import TrainConfig
from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = (1440, 1280, 800, 390)
SEEN_IN = {"light": WIDTHS, "dark": (WIDTHS[-1], WIDTHS[0])}
"""theme -> widths, from one to the next."""
RULES_ON_A_PHONE = 4000
"""Pixels that Every rule may be high on a phone."""
HEIGHT = 1000
AT_EVERY_WIDTH = ("scrollable-region-focusable",)
"""What of axe-core depends on the width alone; the rest of it is asked at the widest, of whole pages at the narrowest
too.
"""
OURS = ("color-contrast",)
"""Rules of axe-core, of those that take it longest, that `page_faults` asks more strictly and in both themes."""
ALLOWED: dict[tuple[str, str], str] = {}
"""(kind of fault or axe-core's rule, part of where it is) -> why it cannot be helped. Nothing needs it so far."""


DRAWN = {
    "inspect": ".card .formulas",
    f"inspect?run={BUNDLED}&more=truth": ".truth .plot svg",
    f"inspect?run={BUNDLED}&more=film": ".film-strip .map svg",
    f"inspect?run={BUNDLED}&more=beside": ".pair-view .plot svg",
    "train": ".curves[data-drawn]",
}
"""address -> what must be there before a page counts as open, where waiting for Streamlit is not enough."""
DRAWN_WIDE = DRAWN | {"runs": ".run", "tree": ".terms table"}
"""The same for large type, where what is widest has to be there."""
PAGES = pages_by_address()
VIEWS = [
    *PAGES,
    "?example=real",
    *(f"inspect?run={BUNDLED}&more={section}" for section in SECTIONS),
    "inspect?mode=typed",
    "inspect?tour=1",
    "inspect?run=smollm2-vimpo",
    "inspect?run=smollm2-vimpo&more=rules",
    "inspect?run=yesterday",
    "inspect?run=yesterday&more=rescore",
    "train?job={job}",
    *(f"learn?chapter={chapter.number}" for chapter in ALL),
    "tree?vocab=4&depth=4&policy=both&values=implied",
    "teach?part=plan",
    "teach?part=hand-ins",
    "results?open=one-switch-at-a-time",
]
ANSWERED = [
    *(f"learn?chapter={chapter.number}" for chapter in ALL),
    "learn?chapter=1&more=real",
    "learn?chapter=3&more=fork,groups&proof=gradient",
    "learn?chapter=5&more=slow,sizes",
]
"""Chapters, once more as they are after the reveal."""
MOST_WORDS = {"": 150, "train": 120, "inspect": 200, "inspect?run=smollm2-vimpo": 200}
MOST_WORDS |= {f"learn?chapter={chapter.number}": 350 for chapter in ALL}
"""address -> how many words it may say before anything is opened; a chapter before its reveal."""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory):
    """A server whose runs folder holds a finished run and one that another tool recorded."""
    runs = RunsDir(tmp_path_factory.mktemp("runs"))
    job = runs.submit(
        [TrainConfig(steps=2, prompts_per_step=2, group_size=4, eval_prompts=8)], name="A run of one's own"
    )
    worker.main(runs.path, make_trainer=FakeTrainer, only_job=job)
    data = Path(__file__).parents[1] / "data" / "incoming" / "trl" / "plain"
    import_run(recognise([(data, "plain")]), runs.path / "yesterday", "yesterday's run")
    with serving(runs.path, program="tests.support.patient_app") as server:
        yield server.address, job


@pytest.fixture(scope="module")
def reader(browser, stocked):
    """One tab for the whole file: its caches stay warm."""
    with visiting(browser) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def far_reader(browser, stocked):
    """The tab of somebody who reads in large type, which stays from page to page."""
    with visiting(browser) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def graduate(browser, stocked):
    """The tab of a reader who has answered every chapter rightly."""
    kept = {f"vimpo-lab.course.{chapter.key}": json.dumps(_answers(chapter)) for chapter in ALL}
    with visiting(browser) as context:
        context.add_init_script(f"if (location.protocol === 'http:') Object.assign(localStorage, {json.dumps(kept)})")
        yield context.new_page()


def _answers(chapter):
    right = {q.key: next(option.key for option in q.options if option.is_right) for q in chapter.questions}
    return {key: [choice, [5] if chapter.key == "blame" else []] for key, choice in right.items()}


@pytest.mark.parametrize("view", VIEWS)
def test_whatever_the_width_and_theme_a_page_can_be_read_and_says_little_before_anything_is_opened(
    reader, stocked, view
):
    address, job = stocked
    whole = WIDTHS[:1] if view not in PAGES else (WIDTHS[0], WIDTHS[-1])
    expect_no_fault(reader, f"{address}/{view.format(job=job)}", DRAWN.get(view), MOST_WORDS.get(view), whole)
    if "more=rules" in view:
        reader.set_viewport_size({"width": WIDTHS[-1], "height": HEIGHT})
        settle(reader)
        height = reader.evaluate("() => document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
        assert height <= RULES_ON_A_PHONE


@pytest.mark.parametrize("view", PAGES)
def test_large_type_makes_no_page_scroll_sideways(far_reader, stocked, view):
    address, _ = stocked
    far_reader.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    go(far_reader, f"{address}/{view}?large=1", DRAWN_WIDE.get(view))
    for width in WIDTHS:
        far_reader.set_viewport_size({"width": width, "height": HEIGHT})
        settle(far_reader)
        expect_as_wide_as_its_window(far_reader)


@pytest.mark.parametrize("view", ANSWERED)
def test_whatever_the_width_and_theme_a_chapter_can_be_read_after_its_reveal(graduate, stocked, view):
    address, _ = stocked
    expect_no_fault(graduate, f"{address}/{view}")


def expect_no_fault(page, url, drawn=None, most_words=None, whole=WIDTHS[:1]):
    found = {}

    def note(where, faults):
        for fault in faults:
            found.setdefault(str(fault), []).append(where)

    page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    page.emulate_media(color_scheme="light")
    go(page, url, drawn)
    if most_words and len(words := words_seen(page)) > most_words:
        note("words", [f"{len(words)} words where {most_words} are allowed: {' '.join(words)}"])
    for theme, widths in SEEN_IN.items():
        page.emulate_media(color_scheme=theme)
        if theme == "dark" and page.locator(".js-plotly-plot").count():  # Plotly's pictures are drawn for one theme
            go(page, url, drawn)
        for width in widths:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            settle(page, 100)
            note(f"{theme} {width}", _not_allowed(page_faults(page), lambda fault: (fault.kind, fault.where)))
            if theme == "light":
                rules = () if width in whole else AT_EVERY_WIDTH
                grave = grave_violations(page, rules, without=[] if rules else OURS)
                note(f"{theme} {width}", _not_allowed(grave, lambda v: (v.rule, v.target)))
    note("calm", moving(page))
    assert page.get_by_test_id("stException").count() == 0
    assert not found, "\n".join(f"{', '.join(dict.fromkeys(at))}: {fault}" for fault, at in sorted(found.items()))


def go(page, url, drawn):
    """To an address: the first is loaded, to the others the browser's history leads, which is several times as quick."""
    if page.url == "about:blank":
        page.goto(url)
    else:
        settle(page, 50)
        page.evaluate(
            """(url) => {
                history.pushState({}, "", url);
                dispatchEvent(new PopStateEvent("popstate"));
            }""",
            url,
        )
    name = PAGES[urlsplit(url).path.strip("/")]
    page.wait_for_function("(name) => document.title.startsWith(name)", arg=name)
    if drawn:
        page.locator(drawn).first.wait_for()
    settle(page)


def _not_allowed(found, place_of):
    return [one for one in found if not any(k == place_of(one)[0] and p in place_of(one)[1] for k, p in ALLOWED)]


def moving(page):
    """What of ours moves although calm was asked for."""
    page.emulate_media(reduced_motion="reduce")
    found = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter((host) => host.shadowRoot).flatMap((host) =>
            [...host.shadowRoot.querySelectorAll('*')].filter((node) => {
                const style = getComputedStyle(node);
                return parseFloat(style.transitionDuration) > 0 || style.animationName !== 'none';
            }).map((node) => `moves: ${node.outerHTML.slice(0, 120)}`))"""
    )
    page.emulate_media(reduced_motion="no-preference")
    return found


# --- what the search itself finds ------------------------------------------------------------------------------------

SPOILT = {
    "sideways": '<div style="width: 1600px">far too wide</div>',
    "silent": '<div style="width: 90px; overflow-x: auto; white-space: nowrap">more words than are seen at once</div>',
    "overlap": '<p>below</p><p style="margin-top: -34px">above</p>',
    "cut": '<div style="width: 90px; overflow: hidden; white-space: nowrap">more words than are seen at once</div>',
    "faint": '<p style="color: #ccc">pale words</p>',
}


def test_words_are_counted_as_a_reader_sees_them(page, address):
    page.goto(f"{address}/teach?part=hand-ins")
    settle(page)
    before = words_seen(page)
    page.evaluate(
        """() => {
            const host = document.createElement('div');
            document.querySelector('[data-testid="stVerticalBlock"]').append(host);
            host.attachShadow({mode: 'open'}).innerHTML = `<p>alpha <b>be</b>ta 12 + <span class="token">one</span></p>
                <details><summary>gamma</summary><p>folded away</p></details><p style="display: none">hidden</p>
                <select><option>chosen</option><option>other</option></select>`;
        }"""
    )
    assert words_seen(page) == [*before, "alpha", "beta", "gamma", "chosen"]


@pytest.mark.parametrize("kind", SPOILT)
def test_a_fault_inside_a_shadow_root_is_found(page, address, kind):
    page.goto(f"{address}/teach?part=hand-ins")
    settle(page)
    assert not page_faults(page)
    page.evaluate(
        """(html) => {
            const host = document.createElement('div');
            document.querySelector('[data-testid="stVerticalBlock"]').append(host);
            host.attachShadow({mode: 'open'}).innerHTML = html;
        }""",
        SPOILT[kind],
    )
    assert {fault.kind for fault in page_faults(page)} == {kind}
