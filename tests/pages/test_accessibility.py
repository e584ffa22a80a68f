"""Everybody can use it: focus always seen, no mouse and no colour needed, nothing that moves for those who asked for
calm. What axe-core says of every page is in test_every_page_browser.py.
"""

import re
import tomllib

import pytest
from playwright.sync_api import expect

from app.inspector.sections import SECTIONS
from tests.pages.in_browser import BUNDLED, pages_by_address
from tests.support.accessibility import grave_violations
from tests.support.browser import settle, visiting
from tests.support.waiting import eventually
from vimpo_core.paths import ASSETS, ROOT

THEMES = ("light", "dark")
PAGES = list(pages_by_address())


@pytest.fixture(scope="module")
def reader(browser, address):
    """One tab for the whole file: its caches stay warm."""
    with visiting(browser) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def opened(reader, address, request):
    """The view that the test asks for, opened once for all tests of it."""
    show(reader, address, request.param)
    return reader


def each(views):
    return pytest.mark.parametrize("opened", views, indirect=True, scope="module")


def show(page, address, view):
    page.emulate_media(color_scheme="light")
    page.goto(f"{address}/{view}")
    if view == "inspect":
        page.locator(".card .formulas").first.wait_for()
    if view == "train":
        page.locator(".curves[data-drawn]").first.wait_for()
    settle(page)


def expect_none_grave(page, where):
    assert not (found := grave_violations(page)), f"{where}:\n" + "\n".join(map(str, found))


@pytest.mark.browser
def test_a_violation_inside_a_shadow_root_is_found(reader, address):
    show(reader, address, "inspect")
    assert not grave_violations(reader)
    reader.locator(".card h4").first.evaluate("(node) => { node.style.color = '#d8d8d8'; }")
    (found,) = grave_violations(reader)
    assert found.rule == "color-contrast" and " >> " in found.target and "h4" in found.html


@pytest.mark.browser
def test_a_link_in_a_caption_is_not_pale_and_its_words_are(reader, address):
    show(reader, address, f"inspect?run={BUNDLED}")
    link = reader.locator('[data-testid="stCaptionContainer"] a').first
    opacity = """(node) => { let found = 1;
        for (let at = node; at; at = at.parentElement) found *= getComputedStyle(at).opacity;
        return found; }"""
    assert link.evaluate(opacity) == 1
    around = link.locator("xpath=ancestor::p[1]")
    assert around.evaluate("(node) => getComputedStyle(node).color").endswith("0.6)")


# --- focus -----------------------------------------------------------------------------------------------------------

_LOOKS = """() => {
    const style = document.createElement('style');
    style.textContent = '*, *::before, *::after { transition: none !important; }';
    document.head.append(style);
    const deep = () => { let at = document.activeElement; while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement; return at; };
    const parent = (node) => node.parentElement ?? node.getRootNode().host ?? null;
    const around = (node) => {
        const nodes = [...node.querySelectorAll('*')].slice(0, 6);
        for (let at = node, n = 0; at && n < 6; at = parent(at), n++) nodes.push(at);
        return nodes;
    };
    const look = (node) => { const s = getComputedStyle(node); return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow,
        s.borderColor, s.borderWidth, s.backgroundColor, s.stroke, s.strokeWidth, s.textDecoration, s.opacity, s.transform, s.top].join('|'); };
    window.seen = new WeakSet();
    const drawn = () => new Promise((then) => requestAnimationFrame(() => setTimeout(then)));
    window.checkFocus = async () => {
        const node = deep();
        if (!node || node === document.body) return {end: true};
        if (window.seen.has(node)) return {again: true};
        window.seen.add(node);
        const nodes = around(node), before = nodes.map(look);
        node.blur();
        await drawn();
        const isSeen = nodes.some((one, at) => look(one) !== before[at]);
        node.focus({preventScroll: true});
        await drawn();
        return {isSeen, html: node.outerHTML.slice(0, 200), grid: node.closest?.('[data-testid="stDataFrame"]') !== null};
    };
}"""
MOST_STOPS = 70


@pytest.mark.slow
@pytest.mark.browser
@each(PAGES)
def test_whatever_the_tab_key_reaches_shows_that_it_has_the_focus(opened):
    opened.evaluate(_LOOKS)
    unseen, stops = [], 0
    for _ in range(MOST_STOPS):
        opened.keyboard.press("Tab")
        at = opened.evaluate("() => window.checkFocus()")
        if at.get("end") or at.get("again"):
            break
        stops += 1
        if not at["isSeen"] and not at["grid"]:  # a table draws its own ring around a cell, on a canvas
            unseen.append(at["html"])
    assert stops >= 5, "the Tab key moves over the page"
    assert not unseen, "\n".join(unseen)


@pytest.mark.parametrize("theme", THEMES)
def test_a_focus_ring_stands_out_from_the_page(theme):
    """WCAG 2.2, 1.4.11: at least 3 to 1. All rings have primaryColor, Streamlit's at half its strength around a border
    of it.
    """
    colours = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text("utf-8"))["theme"][theme]
    assert contrast(colours["primaryColor"], colours["backgroundColor"]) >= 3


def contrast(one, other):
    """WCAG's contrast of two colours such as "#1f5fa8", from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# --- without a mouse -------------------------------------------------------------------------------------------------


def tab_to(page, target, most=120, key="Tab"):
    """Press Tab, or Shift+Tab, until `target` has the focus; AssertionError when it is not reached."""
    for _ in range(most):
        if target.evaluate("(node) => node.getRootNode().activeElement === node"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the Tab key does not reach {target}")


@pytest.mark.browser
def test_inspect_by_keyboard_alone(page, address):
    page.goto(f"{address}/inspect?run={BUNDLED}")
    page.locator(".card .formulas").wait_for()
    settle(page)
    solution = page.get_by_role("combobox", name="Solution")
    before = solution.input_value()
    tab_to(page, solution)
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(solution).not_to_have_value(before)
    expect(page).to_have_url(re.compile("sample="))
    settle(page)
    strip = page.locator('.strip-host[data-strip="lens"]')
    tab_to(page, strip.locator('[tabindex="0"]'))
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".card .token-number")).to_have_text("token #3")
    expect(page).to_have_url(re.compile("token=3"))
    tab_to(page, page.get_by_role("radio", name="Token by token"), key="Shift+Tab")
    for _ in range(1 + list(SECTIONS).index("sums")):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("more=sums"))
    expect(page.locator(".card .token-number")).to_have_text("token #3")


@pytest.mark.slow
@pytest.mark.browser
def test_train_by_keyboard_alone(page, address):
    page.goto(f"{address}/train")
    settle(page)
    tab_to(page, page.locator("summary", has_text="Settings"))
    page.keyboard.press("Enter")
    for label, value in (("Steps", "900"), ("Prompts a step", "2"), ("Group size", "4")):
        tab_to(page, page.get_by_label(label, exact=True))
        page.keyboard.press("Control+A")
        page.keyboard.type(value)
        page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Play"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("job="))
    for name, said in (("Pause", "Paused."), ("Play", "Running."), ("Stop", "Stopped.")):
        # Streamlit has a Stop button of its own in its header, on a busy machine.
        button = page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True)
        expect(button).to_be_enabled()
        tab_to(page, button)
        page.keyboard.press("Space")
        expect(page.get_by_text(said).first).to_be_visible()
        if said == "Paused.":  # its page is drawn again twice a second, what is old of it paler for a moment
            eventually(lambda: not grave_violations(page), lambda: "\n".join(map(str, grave_violations(page))))
    tab_to(page, page.get_by_role("button", name="New run"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Settings of the next run")).to_be_visible()
    settle(page)
    expect_none_grave(page, "the drawer")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


# --- without colour --------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_sign_and_algorithm_can_be_told_without_colour(reader, address):
    show(reader, address, f"inspect?run={BUNDLED}")
    line = "(nodes) => [...new Set(nodes.map((n) => getComputedStyle(n).borderBottomStyle))]"
    for telling, sign, style in (("Most positive", "+", "solid"), ("Most negative", "-", "dashed")):
        reader.get_by_role("button", name=telling).click()
        tokens = reader.locator(f'.token[data-sign="{sign}"]')
        settle(reader)  # the step may change and with it the tokens
        expect(tokens.first).to_have_css("border-bottom-style", style)
        assert tokens.evaluate_all(line) == [style]
    show(reader, address, "train")
    for style, dash in (("vimpo", ""), ("grpo", "7 5")):
        swatch = reader.locator(f'.curves [data-style="{style}"] > .swatch path')
        expect(swatch.first).to_have_attribute("stroke-dasharray", dash)


# --- without motion --------------------------------------------------------------------------------------------------


def components(*endings):
    return sorted(path for path in (ASSETS / "components").rglob("*") if path.suffix in endings)


@pytest.mark.parametrize("path", components(".css"), ids=lambda path: path.name)
def test_style_moves_only_for_those_who_did_not_ask_for_calm(path):
    calm = re.sub(
        r"@media \(prefers-reduced-motion: no-preference\) \{(?:[^{}]*\{[^{}]*\})*[^{}]*\}",
        "",
        path.read_text("utf-8"),
    )
    assert not re.findall(r"(?:transition|animation|scroll-behavior)[\w-]*\s*:[^;}]*", calm)


MOVES = re.compile(r"setInterval\(|\.animate\(|behavior: (?!.instant)|startViewTransition")
MOVING = [path for path in components(".js") if MOVES.search(path.read_text("utf-8"))]


def test_the_scripts_that_move_something_are_found():
    assert {path.name for path in MOVING} >= {"film_strip.js", "tour.js", "tree_lab.js"}


@pytest.mark.parametrize("path", MOVING, ids=lambda path: path.name)
def test_a_script_that_moves_something_asks_for_calm_first(path):
    assert "prefers-reduced-motion: reduce" in path.read_text("utf-8")
