"""How long a person waits for the app, in a real chromium: start, new step, click; and what the web process weighs.

    python -m vimpo_core bench web --json        (needs chromium and: pip install -r requirements-dev.txt)

    start_to_strips_s        spawn of `streamlit run app` to the frame with the rows of Start, empty browser caches
    start_again_s            the same with the browser's caches filled by an earlier visit
    slider_ms                a slider of Start moved to just after the frame with the rows at its new place
    slider_frames            websocket frames sent while moving both sliders over all their places
    press_to_point_s         Start's button to the frame with the first point of the new run, its process ready
    press_to_point_cpu_s     what server and processes work until then
    press_cold_s             the same from a press as soon as Start is drawn, on a server just started
    step_to_point_s          commit of a step by the real worker to the frame with its point, on an open Train page
    click_to_updated_ms      click on one of 60 tokens to the frame in which both strips, curve and card have followed
    click_to_address_ms      the same until the address names the token (it waits 150 ms for more clicks)
    hover_frames             websocket frames sent while pointing at twenty tokens
    table_sorted_ms          press on a heading of the table of 128 solutions to just after the frame with them in order
    table_frames             websocket frames sent while sorting it by each of its columns
    long_drawn_s             Inspect opened at a solution of 2,000 pieces of words to the frame with both strips, warm caches
    long_drawn_cpu_s         what the browser's page works for it; long_server_cpu_s: what the server does
    long_drawn_ratio         long_drawn_s over the same for a solution of 60 tokens, in turns
    long_key_ms              arrow key to just after the frame in which both strips, curve and card have followed, folded
    long_key_cpu_ms          what the page works for one key and all that follows from it, Python's answer included
    long_key_ratio           long_key_ms over the same in the solution of 60 tokens
    long_open_key_ms         long_key_ms with every fold opened: 2,000 tokens in both strips
    web_rss_mb               memory of the server after every page was opened, compared runs and typing included
    torch_in_web             whether any file of torch is mapped into the server, or a page imports it

Times are medians; `_max` is the worst. Chromium is open already, disk and Python's bytecode are warm.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Browser, Page

from tests.support.browser import CHROMIUM, Server, browsing, count_sent, free_port, serving, settle, visiting
from tests.support.fakes import FakeTrainer
from tests.support.words import PROSE, WordTrainer, make_word_run
from vimpo_core.config import TrainConfig
from vimpo_core.paths import ROOT
from vimpo_core.runs import worker
from vimpo_core.runs.folder import WAIT_OPTION, RunsDir
from vimpo_core.types import CreditTrace

TOKENS = 60
LONG = 2000
KEYS = 30
STEPS = 40
CLICKS_A_REPEAT = 5
STORE_POLL_SECONDS = 0.005
READY_LOOKS, READY_LOOK_SECONDS = 6, 0.25
SETTLED_MS = 500

# The solution's tokens have a size in two places at least: seen in the frame that draws them, on the clock of time.time().
WATCH_START = """(() => {
  const isDrawn = (root) => [...root.querySelectorAll(".strip-host, .credit-rows .host")]
    .filter((host) => host.querySelector(".token")?.getBoundingClientRect().height).length >= 2;
  const look = () => {
    const roots = [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')].map((e) => e.shadowRoot);
    if (!roots.some((root) => root && isDrawn(root))) return requestAnimationFrame(look);
    window.drawnAt = (performance.timeOrigin + performance.now()) / 1000;
  };
  requestAnimationFrame(look);
})()"""

# Milliseconds from each place of both sliders to just after the frame with the rows that it gives.
MOVE_SLIDERS = """async (rows) => {
  const afterPaint = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  const milliseconds = [];
  for (const slider of rows.querySelectorAll("input[type=range]")) {
    for (let place = Number(slider.min); place <= Number(slider.max); place += 3) {
      const moved = performance.now();
      slider.value = place;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      await afterPaint();
      milliseconds.push(performance.now() - moved);
    }
  }
  return milliseconds;
}"""

# When Start's button was pressed, and the frame in which the live curves of Train have a point.
WATCH_PRESS = """() => {
  addEventListener("click", () => (window.pressed ??= performance.now()), true);
  const inside = (root) => root.querySelector(".curves[data-drawn]")
    ?? [...root.querySelectorAll("*")].map((node) => node.shadowRoot && inside(node.shadowRoot)).find(Boolean);
  const look = () => {
    if (location.pathname.endsWith("train") && inside(document)) window.drawn = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}"""

# The newest step on the canvases, at each frame in which it has changed.
WATCH_CURVES = """() => {
  const find = () => [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".curves")).find(Boolean);
  const curves = find();
  window.points = [];
  const look = () => {
    const step = Number(curves.dataset.drawn);
    if (window.points.at(-1)?.[0] !== step) window.points.push([step, (performance.timeOrigin + performance.now()) / 1000]);
    requestAnimationFrame(look);
  };
  look();
}"""

# From the press (it moves the focus, which selects already) to just after the frame in which strips, curve and card
# agree on the token clicked.
WATCH_CLICKS = """() => {
  const root = [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".credit-view")).find(Boolean);
  const selected = (which) =>
    root.querySelector(`.strip-host[data-strip="${which}"] [aria-selected="true"]`)?.dataset.index;
  const band = () => root.querySelector(".band.selection").getAttribute("x");
  window.clicks = [];
  root.addEventListener("pointerdown", (event) => {
    const token = event.target.closest(".token").dataset.index;
    const click = { token, updated: null, address: null };
    const bandBefore = band();
    window.clicks.push(click);
    const look = () => {
      const isUpdated = selected("lens") === token && selected("grpo") === token && band() !== bandBefore &&
        root.querySelector(".card .token-number").textContent === `token #${token}`;
      if (isUpdated && click.updated === null) {
        const afterPaint = new MessageChannel();
        afterPaint.port1.onmessage = () => { click.updated = performance.now() - event.timeStamp; };
        afterPaint.port2.postMessage(0);
      }
      if (new URLSearchParams(location.search).get("token") === token) click.address = performance.now() - event.timeStamp;
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, true);
}"""

# Milliseconds from each of `count` arrow keys to just after the frame in which strips, curve and card have followed.
PRESS_ARROWS = """async (count) => {
  const root = [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".credit-view")).find(Boolean);
  const hosts = [...root.querySelectorAll(".strip-host")].filter((host) => host.querySelector(".token"));
  const afterPaint = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  const milliseconds = [];
  for (let n = 0; n < count; n++) {
    const token = root.getRootNode().activeElement;
    const wanted = String(Number(token.dataset.index) + 1);
    const pressed = performance.now();
    token.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    await afterPaint();
    milliseconds.push(performance.now() - pressed);
    const followed = hosts.every((host) => host.querySelector('[aria-selected="true"]').dataset.index === wanted);
    if (!followed || root.querySelector(".card .token-number").textContent !== `token #${wanted}`) throw new Error(wanted);
    await new Promise((done) => setTimeout(done, 60));
  }
  return milliseconds;
}"""

PRESS_HEADINGS = """async (table) => {
    const times = [];
    for (const button of table.querySelectorAll("thead button")) {
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        const from = performance.now();
        button.click();
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        times.push(performance.now() - from);
    }
    return times;
}"""
LOADS_TORCH = f"""
import sys
from streamlit.testing.v1 import AppTest
at = AppTest.from_file({str(ROOT / "app" / "streamlit_app.py")!r}, default_timeout=60).run()
for page in ("train", "inspector", "runs"):
    assert not at.switch_page(f"../pages/{{page}}.py").run().exception
print(bool({{"torch", "transformers", "peft"}} & set(sys.modules)))
"""


class LongSolutions(FakeTrainer):
    """Its solutions go round again until they have 60 tokens."""

    def step(self):
        record = super().step()
        return dataclasses.replace(record, traces=[_lengthened(trace) for trace in record.traces])


def _lengthened(trace: CreditTrace) -> CreditTrace:
    at = np.resize(np.arange(len(trace.ids)), TOKENS)
    names = ("ids", "mask", "logprob", "ref_logprob", "kl", "entropy", "sampler_logprob", "collision")
    topk = trace.topk and dataclasses.replace(
        trace.topk,
        text=[trace.topk.text[t] for t in at],
        **{name: getattr(trace.topk, name)[at] for name in ("ids", "logprob", "ref_logprob")},
    )
    arrays = {name: values[at] for name in names if (values := getattr(trace, name)) is not None}
    return trace.with_(text=tuple(trace.text[t] for t in at), topk=topk, **arrays)


def start_seconds(browser: Browser, runs: Path, repeats: int, is_return: bool) -> list[float]:
    """Spawn of the server to Start's strips. `is_return`: for somebody whose browser has been there before."""
    port, seconds = free_port() if is_return else 0, []
    with visiting(browser) as regular:
        for number in range(repeats + 1):  # the first one warms disk, bytecode and, on return, the browser's caches
            with visiting(browser) as newcomer, serving(runs, port) as server:
                page = (regular if is_return else newcomer).new_page()
                page.add_init_script(WATCH_START)
                page.goto(server.address, wait_until="commit")
                drawn_at = page.wait_for_function("window.drawnAt").json_value()
                page.close()
            if number:
                seconds.append(drawn_at - server.spawned)
    return seconds


def memory_of_the_server(browser: Browser, runs: RunsDir, server: Server) -> dict:
    """Open every page in its heaviest form, then weigh the server alone, its worker and scoring process left out."""
    job = runs.jobs()[-1]
    pages = {
        "": "Look closer",
        "train": "Credit that stays readable",
        f"train?job={job.job_id}": "Solutions of step",
        "inspect": "Alternatives here",
        "inspect?mode=typed": "Press Score",
        "runs?runs=vimpo-beta-0.1,vimpo-beta-0.3,grpo": "learning rate",
    }
    with visiting(browser) as context:
        for path, words in pages.items():
            page = context.new_page()
            page.goto(f"{server.address}/{path}")
            page.get_by_text(words).first.wait_for()
            page.wait_for_timeout(SETTLED_MS)
            assert page.get_by_test_id("stException").count() == 0, path
    mapped = [m.path for m in server.process.memory_maps()]
    check = subprocess.run([sys.executable, "-c", LOADS_TORCH], capture_output=True, text=True, check=True, cwd=ROOT)
    return {
        "web_rss_mb": server.process.memory_info().rss / 1e6,
        "torch_in_web": any("libtorch" in path or "/torch/" in path for path in mapped)
        or check.stdout.strip() != "False",
    }


def step_seconds(browser: Browser, runs: RunsDir, server: Server) -> list[float]:
    """Commit to point for each step of a real training run of the default size, both on the clock of time.time()."""
    config = TrainConfig(steps=STEPS, eval_every=STEPS)
    job_id = runs.submit([config])
    (run_id,) = next(job.run_ids for job in runs.jobs() if job.job_id == job_id)
    committed: dict[int, float] = {}
    with visiting(browser) as context:
        page = context.new_page()
        page.goto(f"{server.address}/train?job={job_id}")
        page.locator(".curves").wait_for(timeout=120_000)
        page.evaluate(WATCH_CURVES)
        store = sqlite3.connect(f"file:{runs.path / run_id / 'run.db'}?mode=ro", uri=True)
        while max(committed, default=-1) < STEPS:
            (step,) = store.execute("SELECT max(step) FROM steps").fetchone()
            committed.setdefault(step, time.time())
            time.sleep(STORE_POLL_SECONDS)
        store.close()
        page.wait_for_function(f"window.points.at(-1)[0] === {STEPS}")
        points = page.evaluate("window.points")
    # Steps that were there when the page began to watch were committed at an unknown moment.
    watched = [step for step in committed if step > max(points[0][0], min(committed))]
    return [next(at for drawn, at in points if drawn >= step) - committed[step] for step in watched]


def press_numbers(browser: Browser, folder: Path, repeats: int) -> dict:
    """Start's button to the first point of the run that it starts: once cold, then with a process that is ready."""
    found = []
    with serving(folder) as server, visiting(browser) as context:
        for number in range(repeats + 1):
            page = context.new_page()
            page.goto(server.address)
            button = page.get_by_role("button", name="Train it yourself")
            button.wait_for()
            if number:
                _wait_until_ready(server)
            page.evaluate(WATCH_PRESS)
            before = _cpu_of_all(server)
            button.click()
            seconds = page.wait_for_function("window.pressed && window.drawn && window.drawn - window.pressed")
            found.append((seconds.json_value() / 1000, _cpu_of_all(server) - before))
            page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
            page.get_by_text("Stopped.").wait_for()
            page.close()
    (cold, _), *ready = found
    seconds, cpu = zip(*ready, strict=True)
    return {
        "press_to_point_s": statistics.median(seconds),
        "press_to_point_s_max": max(seconds),
        "press_to_point_cpu_s": statistics.median(cpu),
        "press_cold_s": cold,
    }


def _wait_until_ready(server: Server) -> None:
    """Until the training process that waits has loaded what it needs: it works no more."""
    used, still = -1.0, 0
    while still < READY_LOOKS:
        waiting = [p for p in server.process.children() if WAIT_OPTION in p.cmdline()]
        now = sum(sum(p.cpu_times()[:2]) for p in waiting)
        still = still + 1 if waiting and now == used else 0
        used = now
        time.sleep(READY_LOOK_SECONDS)


def _cpu_of_all(server: Server) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in (server.process, *server.process.children(recursive=True)))


def click_numbers(browser: Browser, run_id: str, server: Server, clicks: int) -> dict:
    """Clicks on tokens all over a solution of 60 tokens, then pointing without a click."""
    with visiting(browser) as context:
        page = context.new_page()
        sent = count_sent(page)
        page.goto(f"{server.address}/inspect?run={run_id}")
        strip = page.locator('.strip-host[data-strip="lens"]')
        strip.get_by_role("option").nth(TOKENS - 1).wait_for()
        page.wait_for_timeout(SETTLED_MS)
        page.evaluate(WATCH_CLICKS)
        for number in range(clicks + 1):
            strip.get_by_role("option").nth((7 + 23 * number) % TOKENS).click()
            page.wait_for_function(f"window.clicks.length === {number + 1} && window.clicks.at(-1).address")
        updated, address = zip(*page.evaluate("window.clicks.map((c) => [c.updated, c.address])"), strict=True)
        hovered = _frames_while_hovering(page, strip, sent)
    return {
        "click_to_updated_ms": statistics.median(updated[1:]),
        "click_to_updated_ms_max": max(updated[1:]),
        "click_to_address_ms": statistics.median(address[1:]),
        "hover_frames": hovered,
    }


def slider_numbers(browser: Browser, server: Server) -> dict:
    """Both sliders of Start moved over all their places."""
    with visiting(browser) as context:
        page = context.new_page()
        sent = count_sent(page)
        page.goto(server.address)
        rows = page.locator(".credit-rows")
        rows.locator(".host .token").first.wait_for()
        settle(page)
        before = len(sent)
        drawn = rows.evaluate(MOVE_SLIDERS)
        page.wait_for_timeout(SETTLED_MS)
        return {
            "slider_ms": statistics.median(drawn),
            "slider_ms_p95": statistics.quantiles(drawn, n=20)[-1],
            "slider_ms_max": max(drawn),
            "slider_frames": len(sent) - before,
        }


def table_numbers(browser: Browser, server: Server) -> dict:
    """Every heading of the table of a bundled run's 128 solutions pressed once."""
    with visiting(browser) as context:
        page = context.new_page()
        sent = count_sent(page)
        page.goto(f"{server.address}/inspect?run=vimpo-beta-0.1&more=table")
        table = page.locator(".solution-table")
        table.locator("tbody tr").nth(127).wait_for()
        page.wait_for_timeout(SETTLED_MS)
        before = len(sent)
        sorted_ms = table.evaluate(PRESS_HEADINGS)
        return {
            "table_sorted_ms": statistics.median(sorted_ms),
            "table_sorted_ms_max": max(sorted_ms),
            "table_frames": len(sent) - before,
        }


class LongWords(WordTrainer):
    """Prose of 2,000 tokens, as long as reasoning gets."""

    solutions = ((PROSE, LONG),)


def long_numbers(browser: Browser, long_run: str, short_run: str, server: Server, repeats: int) -> dict:
    """A solution of 2,000 pieces of words against one of 60 characters: opening it, and the arrow keys."""
    with visiting(browser) as context:
        page = context.new_page()
        page.add_init_script(WATCH_START)
        devtools = context.new_cdp_session(page)
        devtools.send("Performance.enable")

        def worked() -> tuple[float, float]:
            metrics = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
            used = server.process.cpu_times()
            return metrics["TaskDuration"], used.user + used.system

        opened: dict[str, list[tuple[float, float, float]]] = {long_run: [], short_run: []}
        for number in range(repeats + 1):
            for run_id, found in opened.items():
                before = worked()[1]
                started = time.time()
                page.goto(f"{server.address}/inspect?run={run_id}&token=10", wait_until="commit")
                drawn = page.wait_for_function("window.drawnAt").json_value() - started
                settle(page)
                if number:  # the first of each warms the caches
                    found.append((drawn, worked()[0], worked()[1] - before))
        drawn, work, served = (
            {run_id: statistics.median(times[part] for times in found) for run_id, found in opened.items()}
            for part in range(3)
        )
        keys, work_a_key = {}, {}
        for run_id in (short_run, long_run):
            page.goto(f"{server.address}/inspect?run={run_id}&token=10")
            settle(page)
            page.locator('.strip-host[data-strip="lens"] [aria-selected="true"]').click()
            settle(page)
            before = worked()[0]
            keys[run_id] = statistics.median(page.evaluate(PRESS_ARROWS, KEYS))
            settle(page)
            work_a_key[run_id] = (worked()[0] - before) / KEYS
        strip = page.locator('.strip-host[data-strip="lens"]')
        while strip.locator(".fold").count():
            strip.locator(".fold").first.click()
        assert strip.locator(".token").count() == LONG + 1  # the end token too
        settle(page)
        opened_keys = statistics.median(page.evaluate(PRESS_ARROWS, KEYS))
    return {
        "long_drawn_s": drawn[long_run],
        "long_drawn_cpu_s": work[long_run],
        "long_server_cpu_s": served[long_run],
        "long_drawn_ratio": drawn[long_run] / drawn[short_run],
        "long_key_ms": keys[long_run],
        "long_key_cpu_ms": 1000 * work_a_key[long_run],
        "long_key_ratio": keys[long_run] / keys[short_run],
        "long_open_key_ms": opened_keys,
    }


def _frames_while_hovering(page: Page, strip, sent: list) -> int:
    page.wait_for_timeout(SETTLED_MS)
    before = len(sent)
    for token in range(0, TOKENS, 3):
        strip.get_by_role("option").nth(token).hover()
        assert page.locator(".hover-card .token-number").inner_text() == f"token #{token}"
    page.wait_for_timeout(SETTLED_MS)
    return len(sent) - before


def measure(browser: Browser, folder: Path, repeats: int) -> dict:
    report = {}
    for name, is_return in (("start_to_strips_s", False), ("start_again_s", True)):
        seconds = start_seconds(browser, folder / "empty", repeats, is_return)
        report |= {name: statistics.median(seconds), f"{name}_max": max(seconds)}
    report |= press_numbers(browser, folder / "pressed", repeats)
    runs = RunsDir(folder / "runs")
    long_job = runs.submit([TrainConfig(steps=10)])
    worker.main(runs.path, make_trainer=LongSolutions, only_job=long_job)
    with serving(runs.path) as server:
        seconds = step_seconds(browser, runs, server)
        report |= {"step_to_point_s": statistics.median(seconds), "step_to_point_s_max": max(seconds)}
        report |= click_numbers(browser, runs.jobs()[0].run_ids[0], server, CLICKS_A_REPEAT * repeats)
        report |= slider_numbers(browser, server)
        report |= table_numbers(browser, server)
        report |= memory_of_the_server(browser, runs, server)
        short_run = runs.jobs()[0].run_ids[0]
        report |= long_numbers(browser, make_word_run(runs.path, LongWords, 1), short_run, server, repeats)
    return report | {"tokens": TOKENS, "repeats": repeats}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="Measured starts of each kind (default: 5).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("error: there is no chromium on this machine. Install it: `apt-get install chromium`.")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a person's Python keeps its bytecode
    with browsing() as browser, tempfile.TemporaryDirectory() as folder:
        report = measure(browser, Path(folder), arguments.repeats)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<26} {value:.4g}" if isinstance(value, float) else f"{name:<26} {value}")


if __name__ == "__main__":
    main()
