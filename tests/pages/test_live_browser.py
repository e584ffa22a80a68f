"""Live curves in a real browser: every rule's curve is painted in its own hue, and a script that fails says so in its
place.

A server trains a few rules; every rule, alone and beside VIMPO, is given to the component alone, which takes a moment.
"""

import json
import re

import pytest
from playwright.sync_api import expect

from app.components import live_curves
from app.components.assets import component_script
from app.components.hues import hues_css
from tests.js.test_scripts import COMPONENTS
from tests.support.browser import settle, visiting, without_errors
from tests.support.fakes import FakeTrainer
from tests.support.waiting import eventually
from vimpo_core.config import TrainConfig
from vimpo_core.formats.es_modules import read_asset
from vimpo_core.paths import ROOT
from vimpo_core.rules import RULES
from vimpo_core.runs import worker
from vimpo_core.views import rule_styles

pytestmark = pytest.mark.browser

JOBS = [(key,) for key in RULES] + [(key, "vimpo") for key in RULES if key != "vimpo"]

PAINTED = """([hex, tiles]) => {
  const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return [...document.querySelectorAll(".curves canvas")].slice(0, tiles).map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] > 200 && wanted.every((value, k) => Math.abs(data[i + k] - value) <= 12)) found++;
    return found;
  });
}"""
"""Pixels of a hue in each of the first tiles: Accuracy, Mean reward, KL."""


def played(served, algorithms) -> str:
    """A finished job of some rules, its rows played by the fake trainer. Returns its id."""
    configs = [
        TrainConfig(algorithm=key, steps=12, prompts_per_step=2, group_size=4, snapshot_every=12, eval_every=4)
        for key in algorithms
    ]
    job_id = served.submit(configs)
    worker.main(served.path, make_trainer=FakeTrainer, only_job=job_id)
    return job_id


def mounted(page, name, data, root_css=""):
    """A component alone on a page, as Streamlit mounts it; `data`: JavaScript."""
    script = component_script(name).replace("export default ", "const mount = ")
    style, html = "", ""
    if name not in (
        "address_bar",
        "browser_store",
        "class_cookie",
        "page_top",
        "word_taps",
    ):  # which are there for their scripts alone
        style, html = root_css + read_asset(f"{name}/{name}.css"), read_asset(f"{name}/{name}.html")
    page.set_content(
        f"<style>{style}</style><div id=place>{html}</div><script type=module>{script}; "
        f"mount({{ data: {data}, parentElement: place, setStateValue() {{}}, setTriggerValue() {{}} }});</script>"
    )
    return page


def curves(page, runs, title="Mean reward"):
    charts = [live_curves._chart(chart, runs) for chart in live_curves.CHARTS if chart.title == title]
    data = {"version": "1", "x_max": 11, "runs": runs, "charts": charts}
    mounted(page, "live_curves", json.dumps([data]), hues_css(".curves"))
    page.locator(".curves[data-drawn]").wait_for()


def run_of(key, height):
    rows = [{"step": step, "reward_mean": height + 0.02 * step} for step in range(12)]
    return live_curves.run_payload(key, TrainConfig(algorithm=key), rows)


def expect_painted(page, algorithms, tiles):
    for key in algorithms:
        hue, dash = rule_styles.LIGHT[key][0], " ".join(map(str, rule_styles.DASHES[key]))
        page.wait_for_function(f"(asked) => ({PAINTED})(asked).every((n) => n > 20)", arg=[hue, tiles], polling=100)
        swatch = page.locator(f'.curves [data-style="{key}"] .swatch path')
        expect(swatch).to_have_attribute("stroke-dasharray", dash)
    expect(page.locator(".script-error")).to_have_count(0)


@pytest.mark.parametrize("algorithms", [("rloo",), ("vimpo", "ppo", "dapo")], ids="+".join)
def test_curves_of_trained_runs_are_painted(served, address, page, algorithms):
    page.goto(f"{address}/train?job={played(served, algorithms)}")
    page.locator(".curves[data-drawn]").wait_for()
    expect_painted(page, algorithms, 3)


@pytest.fixture(scope="module")
def tab(browser):
    """One tab for all that is mounted without a server."""
    with visiting(browser) as visitor:
        yield visitor.new_page()


@pytest.mark.parametrize("algorithms", JOBS, ids="+".join)
def test_the_curve_of_every_rule_is_painted_alone_and_beside_vimpo(tab, algorithms):
    curves(tab, [run_of(key, 0.5 * place) for place, key in enumerate(algorithms)])
    expect_painted(tab, algorithms, 1)


def test_a_rule_without_a_style_is_painted_in_the_colour_of_the_text(tab):
    curves(tab, [run_of("vimpo", 0.1) | {"hues": None, "dash": None}])
    tab.wait_for_function(f"(asked) => ({PAINTED})(asked)[0] > 20", arg=["#1c2430", 1], polling=100)


def test_the_last_update_is_painted_beside_the_mean_and_named(page):
    rows = [{"step": step, "clip_fraction": 0.0, "clip_fraction_last": 0.1} for step in range(8)]
    several = live_curves.run_payload("several", TrainConfig(algorithm="grpo"), rows)
    one = live_curves.run_payload("one", TrainConfig(), [{"step": step, "clip_fraction": 0.0} for step in range(8)])
    thin = PAINTED.replace("> 200", "> 60"), [rule_styles.LIGHT["grpo"][0], 1]
    mean = {"clip_fraction": several["series"]["clip_fraction"]}
    curves(page, [several | {"series": mean}, one], "Clip fraction")
    expect_painted(page, ["vimpo"], 1)  # over GRPO's mean, which is 0 too
    alone = page.evaluate(*thin)[0]
    curves(page, [several, one], "Clip fraction")
    eventually(lambda: page.evaluate(*thin)[0] > alone + 50)
    groups = [re.compile(r"●\s*mean\s*0\s*%\s*0\s*%"), re.compile(r"○\s*last\s*10\s*%")]
    expect(page.locator(".group")).to_have_text(groups)
    said = "Clip fraction: GRPO Clip fraction 0 %, VIMPO Clip fraction 0 %, GRPO Clip fraction, last update 10 %"
    expect(page.locator("canvas")).to_have_attribute("aria-label", said)
    page.locator(".info").click()
    expect(page.locator(".note")).to_contain_text("last update on the step's batch")


DRAWING = [name for name in COMPONENTS if name != "dropped_names"]
"""All that are told what to draw: that one only names files."""


def test_an_error_in_any_script_is_said_in_its_place_and_fails_the_browser_tests(browser):
    broken = "[new Proxy({}, { get() { throw new Error('broken on purpose'); } })]"
    with pytest.raises(AssertionError, match="broken on purpose"), visiting(browser) as visitor:
        tab = visitor.new_page()
        for name in DRAWING:
            with pytest.raises(AssertionError, match="broken on purpose"), without_errors(visitor):
                said = mounted(tab, name, broken).locator("#place > .script-error")
                expect(said, name).to_have_text(re.compile("^This could not be drawn: broken on purpose."))


def test_every_page_of_a_browser_test_is_watched_for_errors():
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    makers = [path.name for path in sources if re.search(r"\.new_context\(|\.launch\(", path.read_text("utf-8"))]
    assert makers == ["browser.py"]  # whose `visiting` listens to every tab


@pytest.mark.parametrize(
    "breaking",
    [
        # while it paints, in an animation frame
        "CanvasRenderingContext2D.prototype.setLineDash = () => { throw new Error('broken on purpose') }",
        # while it is made
        """const real = getComputedStyle;
        getComputedStyle = (node) => {
            if (node.className === 'probe') throw new Error('broken on purpose');
            return real(node);
        }""",
    ],
    ids=["painting", "making"],
)
def test_a_script_that_fails_says_so_in_its_place_and_fails_the_browser_tests(served, address, browser, breaking):
    job = played(served, ("rloo",))
    with pytest.raises(AssertionError, match="broken on purpose"), visiting(browser) as visitor:
        visitor.add_init_script(breaking)
        page = visitor.new_page()
        page.goto(f"{address}/train?job={job}")
        expect(page.locator(".script-error")).to_have_text(re.compile("could not be drawn: broken on purpose"))
        settle(page)
        expect(page.locator(".script-error")).to_have_count(1)


def test_a_word_says_what_it_means_where_it_stands_and_escape_leads_back_to_it(page):
    words = {"words": {"term-nat": ["nat", "the unit of <b>logarithms</b>."]}}
    mounted(page, "word_taps", json.dumps([words]))
    page.evaluate(
        """() => document.body.insertAdjacentHTML("beforeend",
            '<p>for every <a href="http://lab/notation#term-nat">nat</a>, <a href="#term-nat">other</a></p>')"""
    )
    page.get_by_role("link", name="nat").press("Enter")
    bubble = page.get_by_role("dialog", name="nat")
    expect(bubble).to_have_text("nat: the unit of <b>logarithms</b>. Notation")
    assert bubble.bounding_box()["y"] > page.get_by_role("link", name="nat", exact=True).bounding_box()["y"]
    page.keyboard.press("Escape")
    expect(bubble).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == "nat"
