"""How long a person waits for the Compare page with 30 runs of 300 steps, in a real chromium.

    python -m vimpo_core bench compare --json        (needs chromium and: pip install -r requirements-dev.txt)

    cold_paint_s      opening the link to the frame with all four panels: nobody has looked since the server started,
        empty caches
    paint_s           the same for the next visitor, also with empty browser caches
    axis_ms           click on another axis, seen before, to the frame with the redrawn panels
    smooth_ms         the same for smoothing
    place_ms          a key press on the slider of the table to the frame with its new numbers
    hover_ms          pointer over a curve to the frame with the values there
    hover_frames      websocket frames sent while pointing
    load              the machine's load average over a minute when it began: other work beside it lengthens everything

Times are medians; `_max` is the worst. Six algorithms with five seeds each; their numbers are made up, their number is
not.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Browser, Page

from tests.support.browser import CHROMIUM, Server, browsing, count_sent, serving, visiting
from tests.support.fakes import FakeTrainer
from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir

ALGORITHMS = ("vimpo", "grpo", "ppo", "dapo", "rloo", "vimpo_soft")
SEEDS, STEPS = 5, 300
SETTLED_MS = 700

FIND = (
    "const find = (what) => [...document.querySelectorAll('*')].map((e) => "
    "e.shadowRoot?.querySelector(what)).find(Boolean);"
)

# All panels are there and have a size, seen in the frame that draws them.
WATCH_PAINT = f"""(() => {{
  {FIND}
  const look = () => {{
    const panels = find(".compare[data-drawn]")?.querySelectorAll(".panel svg") ?? [];
    if (panels.length < 4 || !panels[3].getBoundingClientRect().height) return requestAnimationFrame(look);
    window.paintedAt = performance.now();
  }};
  requestAnimationFrame(look);
}})()"""

# From the event to just after the frame in which `what(root)` of the element is another one.
WATCH_CHANGE = f"""([selector, what, event]) => {{
  {FIND}
  const read = new Function("root", `return ${{what}}`);
  window.changed = null;
  const before = read(find(selector));
  addEventListener(event, (happened) => {{
    const look = () => {{
      const root = find(selector);
      if (!root || read(root) === before) return requestAnimationFrame(look);
      const afterPaint = new MessageChannel();
      afterPaint.port1.onmessage = () => {{ window.changed = performance.now() - happened.timeStamp; }};
      afterPaint.port2.postMessage(0);
    }};
    requestAnimationFrame(look);
  }}, {{ capture: true, once: true }});
}}"""


def make_runs(folder: Path) -> str:
    """30 finished runs; their keys as the link names them."""
    runs = RunsDir(folder)
    small = {"steps": STEPS, "prompts_per_step": 2, "group_size": 2, "eval_every": 10}
    for algorithm in ALGORITHMS:
        job = runs.submit([TrainConfig(algorithm=algorithm, seed=seed, **small) for seed in range(SEEDS)])
        worker.main(folder, make_trainer=FakeTrainer, only_job=job)
    return ",".join(run.run_id for run in runs.list())


def paint_seconds(browser: Browser, server: Server, link: str) -> float:
    """Opening the link to the panels, for somebody who has never been here."""
    with visiting(browser) as context:
        page = context.new_page()
        page.add_init_script(WATCH_PAINT)
        page.goto(f"{server.address}/{link}", wait_until="commit")
        return page.wait_for_function("window.paintedAt", timeout=60_000).json_value() / 1000


def change_ms(page: Page, selector: str, what: str, event: str, act) -> float:
    page.wait_for_timeout(SETTLED_MS)
    page.evaluate(WATCH_CHANGE, [selector, what, event])
    act()
    return page.wait_for_function("window.changed", timeout=60_000).json_value()


def interactions(browser: Browser, server: Server, link: str, repeats: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {
        "axis_ms": [],
        "smooth_ms": [],
        "place_ms": [],
        "hover_ms": [],
        "hover_frames": [],
    }
    with visiting(browser) as context:
        page = context.new_page()
        sent = count_sent(page)
        page.goto(f"{server.address}/{link}")
        page.locator(".compare[data-drawn] .panel svg").nth(3).wait_for()

        def choose(name):
            radio = page.get_by_role("radio", name=name, exact=True)
            return change_ms(page, ".compare", "root.dataset.drawn", "pointerdown", radio.click)

        for name in ("Sampled tokens", "5"):  # what is measured was computed before, as for any later visitor
            choose(name)
        for _ in range(repeats):
            found["smooth_ms"] += [choose("off"), choose("5")]
            found["axis_ms"] += [choose("Step"), choose("Sampled tokens")]
            page.get_by_role("slider").focus()
            for key in ("Home", "End"):
                press = functools.partial(page.keyboard.press, key)
                found["place_ms"].append(change_ms(page, ".link-table", "root.textContent", "keydown", press))
            page.wait_for_timeout(SETTLED_MS)
            panel = page.locator(".compare .panel svg").first
            panel.scroll_into_view_if_needed()
            before, box = len(sent), panel.bounding_box()
            for part in (0.3, 0.6):
                move = functools.partial(page.mouse.move, box["x"] + part * box["width"], box["y"] + box["height"] / 2)
                tip = "root.querySelector('.tip').textContent"
                found["hover_ms"].append(change_ms(page, ".compare", tip, "pointermove", move))
            page.wait_for_timeout(SETTLED_MS)
            found["hover_frames"].append(len(sent) - before)
    return found


def measure(browser: Browser, folder: Path, repeats: int) -> dict:
    load = os.getloadavg()[0]
    link = f"compare?runs={make_runs(folder)}"
    cold, warm = [], []
    for _ in range(repeats):
        with serving(folder) as server:
            cold.append(paint_seconds(browser, server, link))
            warm.append(paint_seconds(browser, server, link))
    with serving(folder) as server:
        found = interactions(browser, server, link, repeats)
    report = {"runs": len(ALGORITHMS) * SEEDS, "steps": STEPS, "repeats": repeats, "load": load}
    for name, values in {"cold_paint_s": cold, "paint_s": warm, **found}.items():
        report |= {name: statistics.median(values), f"{name}_max": max(values)}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="Measured repetitions (default: 5).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("error: there is no chromium on this machine. Install it: `apt-get install chromium`.")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a person's Python keeps its bytecode
    with browsing() as browser, tempfile.TemporaryDirectory() as folder:
        report = measure(browser, Path(folder) / "runs", arguments.repeats)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<26} {value:.4g}" if isinstance(value, float) else f"{name:<26} {value}")


if __name__ == "__main__":
    main()
