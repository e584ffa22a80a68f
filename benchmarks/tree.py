"""How long the tree lab takes, in a real chromium: first paint, and beta slider to redraw (3 tokens, depth 4).

    python -m vimpo_core bench tree --json       (needs chromium and: pip install -r requirements-dev.txt)

    first_paint_ms           from the request of the page to its tree, by somebody with empty caches (the app has
    started) slider_to_redraw_ms      from a move of the beta slider to just after the frame with Python's new numbers
    numbers_cpu_ms           of that, the CPU time of computing them

Times are medians; `_max` is the worst.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Browser

from tests.support.browser import CHROMIUM, browsing, serving, visiting
from vimpo_core.tree import tree_lab
from vimpo_core.tree.tree_lab import TreeSettings

LINK = "tree?depth=4"
MOVES_A_REPEAT = 6
SETTLED_MS = 1000

FIND = '[...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".tree-lab")).find(Boolean)'
WATCH_START = f"""(() => {{
  const look = () => {{
    if ({FIND}?.querySelector(".node")?.getBoundingClientRect().width) window.drawnAt = performance.now();
    else requestAnimationFrame(look);
  }};
  requestAnimationFrame(look);
}})()"""
MOVE = f"""async (moves) => {{
  const root = {FIND};
  const input = root.querySelector('[data-control="beta"] input');
  const frame = () => new Promise(requestAnimationFrame);
  const afterPaint = () => new Promise((done) => requestAnimationFrame(() => {{
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }}));
  const times = [];
  for (let move = 0; move < moves; move++) {{
    const before = root.dataset.answered;
    const start = performance.now();
    input.value = 20 + ((move * 7) % 60);
    input.dispatchEvent(new Event("input", {{ bubbles: true }}));
    while (root.dataset.answered === before) await frame();
    await afterPaint();
    times.push(performance.now() - start);
    await new Promise((done) => setTimeout(done, 100));
  }}
  return times;
}}"""


def first_paints(browser: Browser, address: str, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats + 1):  # the first visitor also pays for the imports of the page
        with visiting(browser) as context:
            page = context.new_page()
            page.add_init_script(WATCH_START)
            page.goto(f"{address}/{LINK}")
            page.wait_for_function("window.drawnAt")
            times.append(page.evaluate("window.drawnAt"))
    return times[1:]


def slider_times(browser: Browser, address: str, moves: int) -> list[float]:
    with visiting(browser) as context:
        page = context.new_page()
        page.add_init_script(WATCH_START)
        page.goto(f"{address}/{LINK}")
        page.wait_for_function("window.drawnAt")
        page.wait_for_timeout(SETTLED_MS)
        return page.evaluate(MOVE, moves + 1)[1:]


def computing_ms(moves: int) -> float:
    times = []
    for move in range(moves):
        settings = TreeSettings(depth=4, beta=0.1 + 0.01 * move)
        start = time.process_time()
        tree, reference = tree_lab.make_tree(settings)
        tree_lab.tree_payload(tree, reference, settings.beta)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="Measured first paints (default: 5).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("error: there is no chromium on this machine. Install it: `apt-get install chromium`.")
    moves = MOVES_A_REPEAT * arguments.repeats
    with browsing() as browser, tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        paints = first_paints(browser, server.address, arguments.repeats)
        redraws = slider_times(browser, server.address, moves)
    report = {
        "first_paint_ms": statistics.median(paints),
        "first_paint_ms_max": max(paints),
        "slider_to_redraw_ms": statistics.median(redraws),
        "slider_to_redraw_ms_max": max(redraws),
        "numbers_cpu_ms": computing_ms(moves),
        "repeats": arguments.repeats,
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<26} {value:.4g}")


if __name__ == "__main__":
    main()
