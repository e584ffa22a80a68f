"""A solution in a page of its own, opened from a file with the network off: what a person takes home."""

import re
import struct
import xml.etree.ElementTree as ElementTree
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.support.browser import visiting
from tests.support.hostile import HEADER, TEXTS, hostile_trace
from tests.support.waiting import eventually
from vimpo_core.formats import export
from vimpo_core.formats.export import Taken
from vimpo_core.formats.reproduce import Place
from vimpo_core.solutions.visible_text import visible_text

pytestmark = pytest.mark.browser
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    sound = hostile_trace().logprob - 0.5
    traces = [hostile_trace(sample_idx=i, ref_logprob=sound, reward=float(i)) for i in range(2)]
    taken = Taken(HEADER, traces, 0, Place("run-1", 3, True, True), beta=0.1, gae_lambda=0.9, token=5)
    path = tmp_path_factory.mktemp("taken") / "solution.html"
    export.write(taken, "html", path)
    return path


@pytest.fixture(scope="module")
def tab(browser, file):
    """A tab without a network; it may neither log an error nor ask for anything but the file."""
    with visiting(browser) as context:
        context.set_offline(True)
        tab, asked = context.new_page(), []
        tab.on("request", lambda r: asked.append(r.url))
        yield tab
        outside = [url for url in asked if not url.startswith((file.as_uri(), "data:", "blob:"))]
        assert asked and not outside, outside


@pytest.fixture
def page(request, tab, file):
    """The page as it opens, in the theme that a test asks for, else in the light one."""
    tab.emulate_media(color_scheme=getattr(request, "param", "light"))
    tab.set_viewport_size({"width": 1440, "height": 1000})
    tab.goto("about:blank")  # an address with another fragment alone is no new page
    tab.goto(file.as_uri())
    expect(tab.get_by_text("Alternatives here")).to_be_visible()
    return tab


in_both_themes = pytest.mark.parametrize("page", ["light", "dark"], indirect=True)


def tokens(page, which="lens"):
    return page.locator(f'.strip-host[data-strip="{which}"]').get_by_role("option")


def test_it_shows_the_solution_with_every_hostile_token_as_text(page):
    assert tokens(page).all_text_contents() == [visible_text(t) for t in TEXTS]
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, header b, header u, header i").count() == 0
    assert page.locator("h1").text_content() == "</script><b>1+1= token by token"
    assert "</script>⟨RLO⟩" in page.locator(".page-verdict").text_content()
    assert "</script><u>mine</u>" in page.locator("dl").text_content()


@in_both_themes
def test_its_colours_are_the_theme_of_the_reader(page):
    paper = page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert paper == ("rgb(20, 23, 28)" if is_dark else "rgb(255, 255, 255)")


def test_hovering_shows_the_numbers_of_a_token(page):
    card = page.locator(".hover-card")
    expect(card).to_be_hidden()
    tokens(page).nth(6).hover()
    expect(card).to_be_visible()
    assert card.locator("dt").count() >= 8
    assert "token #6" in card.text_content() and TEXTS[6] in card.text_content()


def test_keys_walk_through_the_tokens_and_the_address_follows(page):
    expect(page.locator(".card .token-number")).to_have_text("token #5")
    tokens(page).nth(5).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card .token-number")).to_have_text("token #6")
    page.keyboard.press("End")
    expect(page.locator(".card .token-number")).to_have_text(f"token #{len(TEXTS) - 1}")
    expect(tokens(page, "grpo").last).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile(r"#token=11&lens=td_terms$"))


def test_every_lens_is_there_and_a_link_opens_at_token_and_lens(page, file):
    assert page.get_by_label("Lens").locator("option").count() == 15
    page.get_by_label("Lens").select_option("kl")
    expect(page).to_have_url(re.compile(r"#token=5&lens=kl$"))
    page.goto(f"{file.as_uri()}#token=2&lens=entropy")
    expect(page.locator(".card .token-number")).to_have_text("token #2")
    expect(page.get_by_label("Lens")).to_have_value("entropy")
    page.goto(f"{file.as_uri()}#token=99&lens=EVIL")
    page.reload()
    expect(page.locator(".card .token-number")).to_have_text("token #5")
    expect(page.get_by_label("Lens")).to_have_value("td_terms")


def test_it_never_scrolls_sideways(page):
    for width in (1440, 800, 390):
        page.set_viewport_size({"width": width, "height": 900})
        eventually(
            lambda: page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        )


@in_both_themes
@pytest.mark.parametrize("figure", ["strips", "value-curve"])
def test_pictures_are_files_that_stand_alone(page, figure):
    """Who, what and the scale are in them, nothing lies on anything else, wide and from a phone; no style sheet."""
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.set_viewport_size({"width": 390 if is_dark else 1440, "height": 900})
    place = page.locator(f'.save[data-figure="{figure}"]')
    with page.expect_download() as got:
        place.get_by_role("button", name="SVG").click()
    assert got.value.suggested_filename == f"{figure}-td_terms.svg"
    svg = ElementTree.parse(got.value.path()).getroot()
    assert svg.tag == f"{SVG}svg" and float(svg.get("width")) > 100 < float(svg.get("height"))
    text = "".join(svg.itertext())
    named = TEXTS[0] if figure == "strips" else TEXTS[5]  # a curve too narrow for its tokens names the first wrong one
    assert visible_text(named) in text and not list(svg.iter(f"{SVG}style"))
    for said in ("<b>1+1=", "run-1", "step 3", "read with β 0.1", "λ 0.9"):
        assert said.lower() in text.lower(), said
    assert re.search("[+]\\d", text) if figure == "strips" else "value, in reward" in text and "tokens of the" in text
    painted = [n for n in svg.iter() if n.get("fill") or n.get("stroke")]
    assert painted and not [n for n in svg.iter() if n.get("class") or "oklab" in str(n.attrib)]
    with page.expect_download() as got:
        place.get_by_role("button", name="PNG").click()
    png = got.value.path().read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    assert png[:4] == b"\x89PNG" and width == 2 * int(svg.get("width")) and height == 2 * int(svg.get("height"))
    page.goto(f"data:image/svg+xml,{quote(ElementTree.tostring(svg, encoding='unicode'))}")
    assert page.evaluate(COLLIDING) == []


COLLIDING = """() => {
    const all = [...document.querySelectorAll("text")].filter((node) => node.textContent.trim());
    const paper = document.documentElement.getBoundingClientRect();
    const boxes = all.map((node) => [node.textContent, node.getBoundingClientRect()]);
    const isOut = (box) => box.left < -1 || box.right > paper.width + 1 || box.bottom > paper.height + 1;
    const out = boxes.filter(([, box]) => isOut(box));
    const within = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.4 * Math.min(a.height, b.height);
    const pairs = boxes.flatMap(([text, box], i) => boxes.slice(i + 1).filter(([, other]) => within(box, other))
        .map(([other]) => [text, other]));
    return [...out.map(([text]) => text), ...pairs];
}"""
"""Texts of a picture that reach out of it, and pairs of which one lies on the other."""
