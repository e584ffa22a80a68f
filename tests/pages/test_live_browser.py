"""Live curves in a real browser: every rule's curve is painted in its own hue, and a script that fails says so in its place."""

import json
import re

import pytest

from app.components import live_curves
from app.components.assets import component_script
from tests.support.browser import visiting
from tests.support.fakes import FakeTrainer
from vimpo_core.config import TrainConfig
from vimpo_core.formats.es_modules import read_asset
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
        TrainConfig(
            algorithm=key, steps=12, prompts_per_step=2, group_size=4, snapshot_every=12, eval_every=4
        )
        for key in algorithms
    ]
    job_id = served.submit(configs)
    worker.main(served.path, make_trainer=FakeTrainer, only_job=job_id)
    return job_id


@pytest.mark.parametrize("algorithms", JOBS, ids="+".join)
def test_the_curve_of_every_rule_is_painted_alone_and_beside_vimpo(served, address, page, algorithms):
    page.goto(f"{address}/train?job={played(served, algorithms)}")
    page.locator(".curves[data-drawn]").wait_for()
    for key in algorithms:
        hue, dash = rule_styles.LIGHT[key][0], " ".join(map(str, rule_styles.DASHES[key]))
        page.wait_for_function(f"(asked) => ({PAINTED})(asked).every((n) => n > 20)", arg=[hue, 3])
        swatch = page.locator(f'.curves [data-style="{key}"] .swatch path')
        assert swatch.get_attribute("stroke-dasharray") == dash
    assert page.locator(".script-error").count() == 0


def test_a_rule_without_a_style_is_painted_in_the_colour_of_the_text(visitor):
    rows = [{"step": step, "reward_mean": 0.1 * step} for step in range(8)]
    run = live_curves.run_payload("of-tomorrow", TrainConfig(), rows) | {"hues": None, "dash": None}
    data = {
        "version": "1",
        "x_max": 7,
        "runs": [run],
        "charts": [live_curves._chart(live_curves.CHARTS[1])],
    }
    script = component_script("live_curves").replace("export default ", "const mount = ")
    page = visitor.new_page()
    page.set_content(
        f"<style>{read_asset('live_curves/live_curves.css')}</style><div id=place>{read_asset('live_curves/live_curves.html')}</div>"
        f"<script type=module>{script}; mount({{ data: {json.dumps([data])}, parentElement: place }});</script>"
    )
    page.locator(".curves[data-drawn]").wait_for()
    page.wait_for_function(f"(asked) => ({PAINTED})(asked)[0] > 20", arg=["#1c2430", 1])


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
def test_a_script_that_fails_says_so_in_its_place_and_fails_the_browser_tests(
    served, address, browser, breaking
):
    job = played(served, ("rloo",))
    with pytest.raises(AssertionError, match="broken on purpose"), visiting(browser) as visitor:
        visitor.add_init_script(breaking)
        page = visitor.new_page()
        page.goto(f"{address}/train?job={job}")
        said = page.locator(".script-error").first
        said.wait_for(timeout=60_000)
        assert re.search("could not be drawn: broken on purpose", said.inner_text())
        assert page.locator(".script-error").count() == 1
