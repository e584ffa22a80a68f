"""A class on one server: how long a click takes while fifty browsers click and a run trains, and what it weighs.

    python -m vimpo_core bench class --json        (needs: pip install -r requirements-dev.txt)

A browser is a web socket that speaks Streamlit's own protocol, joined to the class by its cookie: it opens pages of a
student's hour in turn, thinking three seconds between them, and a click ends with the last message of its answer.

    N_click_p50_ms, N_click_p95_ms   from asking to the last message, N browsers at once, one run training
    N_errors                         answers that held an exception, or sockets that closed
    N_share                          steps a second of the run meanwhile, over those of the run left alone
    visits                           browsers that connected, clicked and left, one after the other in ten lanes
    visits_memory_mb                 resident memory of the web process after them over what it was before
    flood_ratio, clearing_ratio      p95 of ten browsers' clicks while one more asks a hundred times a second, or asks
                                     to clear all caches twice a second, over theirs without it

Seconds are of this machine as it was: compare the ratios. The server has the settings of `python -m vimpo_core class`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.gate import COOKIE
from tests.support.browser import free_port
from vimpo_core.config import TrainConfig
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service import class_server
from vimpo_core.service.classroom import Classroom

CODE = "lantern"
THINK_SECONDS = 3.0
ANSWER_SECONDS = 60.0
RUN = "run=vimpo-beta-0.3&step=100"
PAGES = (
    ("", ""),
    ("inspect", f"{RUN}&group=8&sample=2"),
    ("inspect", f"{RUN}&group=1&sample=1"),
    ("inspect", f"{RUN}&group=8&sample=2&more=rules"),
    ("learn", "chapter=1"),
    ("learn", "chapter=5"),
    ("train", ""),
    ("runs", ""),
    ("compare", ""),
)
"""Page and query of what a student opens in an hour."""


class Student:
    """One browser of the class."""

    def __init__(self, address: str, token: str):
        self._address, self._token = address, token
        self.socket: websockets.ClientConnection | None = None

    async def __aenter__(self) -> Student:
        headers = {"Cookie": f"{COOKIE}={self._token}", "Origin": self._address}
        self.socket = await websockets.connect(
            self._address.replace("http", "ws") + "/_stcore/stream",
            additional_headers=headers,
            subprotocols=["streamlit"],
            max_size=None,
            open_timeout=ANSWER_SECONDS,
        )
        return self

    async def __aexit__(self, *_) -> None:
        await self.socket.close()

    async def ask(self, page: str, query: str) -> None:
        asked = BackMsg()
        asked.rerun_script.page_name = page
        asked.rerun_script.query_string = query
        await self.socket.send(asked.SerializeToString())

    async def click(self, page: str, query: str) -> tuple[float, bool]:
        """(Seconds to the last message, whether it held no exception)."""
        start = time.perf_counter()
        await self.ask(page, query)
        is_good = True
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                told = ForwardMsg.FromString(await self.socket.recv())
                kind = told.WhichOneof("type")
                if kind == "delta" and told.delta.WhichOneof("type") == "new_element":
                    is_good &= told.delta.new_element.WhichOneof("type") != "exception"
                if kind == "script_finished" and told.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    return time.perf_counter() - start, is_good


async def _studies(address: str, token: str, until: float, seed: int, think: float) -> tuple[list[float], int]:
    """One browser until the time is over: (seconds of its clicks, errors)."""
    chance, seconds, errors = random.Random(seed), [], 0
    await asyncio.sleep(chance.uniform(0, think))
    try:
        async with Student(address, token) as student:
            while time.monotonic() < until:
                taken, is_good = await student.click(*chance.choice(PAGES))
                seconds.append(taken)
                errors += not is_good
                await asyncio.sleep(chance.expovariate(1 / think) if think else 0)
    except (OSError, TimeoutError, websockets.WebSocketException):
        errors += 1
    return seconds, errors


async def _class(address: str, tokens: list[str], seconds: float, think: float = THINK_SECONDS) -> dict:
    until = time.monotonic() + seconds
    done = await asyncio.gather(*(_studies(address, t, until, n, think) for n, t in enumerate(tokens)))
    clicks = sorted(taken for found, _ in done for taken in found)
    return {
        "clicks": len(clicks),
        "click_p50_ms": 1000 * statistics.median(clicks),
        "click_p95_ms": 1000 * clicks[int(0.95 * (len(clicks) - 1))],
        "errors": sum(errors for _, errors in done),
    }


async def _visits(address: str, tokens: list[str], count: int, lanes: int = 10) -> None:
    async def lane(first: int) -> None:
        for n in range(first, count, lanes):
            async with Student(address, tokens[n % len(tokens)]) as student:
                await student.click(*PAGES[n % len(PAGES)])

    await asyncio.gather(*(lane(first) for first in range(lanes)))


async def _floods(student: Student) -> None:
    await student.ask(*PAGES[1])
    await asyncio.sleep(0.01)


async def _clears(student: Student) -> None:
    await student.ask(*PAGES[1])
    asked = BackMsg()
    asked.clear_cache = True
    await student.socket.send(asked.SerializeToString())
    await asyncio.sleep(0.5)


async def _disturbed(address: str, tokens: list[str], seconds: float, disturb) -> dict:
    """Ten browsers' clicks while another does `disturb` again and again, without waiting for an answer."""

    async def disturbing() -> None:
        async with Student(address, tokens[-1]) as student:
            while True:
                await disturb(student)

    other = asyncio.create_task(disturbing())
    try:
        return await _class(address, tokens[:10], seconds)
    finally:
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError, websockets.WebSocketException):
            await other


@contextlib.contextmanager
def serving(runs_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The web server of a class: its address and process."""
    place = class_server.find_place("127.0.0.1", free_port())
    environment = class_server.environment_of(place, runs_dir)
    process = psutil.Popen(
        class_server.command(place), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        asyncio.run(_begun(place.url))
        yield place.url, process
    finally:
        for child in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        process.wait()


async def _begun(address: str) -> None:
    for _ in range(600):
        try:
            async with Student(address, "nobody"):
                return
        except (OSError, websockets.WebSocketException):
            await asyncio.sleep(0.1)
    raise SystemExit("error: the server does not answer.")


def _steps_a_second(runs: RunsDir, run_id: str, work) -> tuple[float, object]:
    """Of the run while `work` is done, and what that returned."""
    first, start = runs.open(run_id).last_step() or 0, time.monotonic()
    found = work()
    return ((runs.open(run_id).last_step() or 0) - first) / (time.monotonic() - start), found


def measure(sessions: list[int], seconds: float, visits: int) -> dict:
    report: dict[str, float] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        runs, room = RunsDir(Path(folder) / "runs"), Classroom(Path(folder) / "runs")
        room.open_up(CODE, max(sessions))
        tokens = [room.join(CODE, "127.0.0.1") for _ in range(max(sessions))]
        job_id = runs.submit([TrainConfig(steps=10_000, eval_prompts=0, snapshot_every=1000)])
        (run_id,) = runs.jobs()[-1].run_ids
        with serving(runs.path) as (address, process):
            asyncio.run(_visits(address, tokens, 2 * len(PAGES)))  # every page once: caches, imports
            runs.ensure_worker()
            while not runs.open(run_id).last_step():
                time.sleep(0.1)
            alone, _ = _steps_a_second(runs, run_id, lambda: time.sleep(seconds / 2))
            for count in sessions:
                share, found = _steps_a_second(
                    runs, run_id, lambda count=count: asyncio.run(_class(address, tokens[:count], seconds))
                )
                report |= {f"{count}_{name}": value for name, value in found.items()}
                report[f"{count}_share"] = share / alone
            runs.command(job_id, "stop")
            while runs.has_worker():
                time.sleep(0.1)
            calm = asyncio.run(_class(address, tokens[:10], seconds / 2))
            report["calm_click_p95_ms"] = calm["click_p95_ms"]
            for name, disturb in (("flood", _floods), ("clearing", _clears)):
                found = asyncio.run(_disturbed(address, tokens, seconds / 2, disturb))
                report[f"{name}_errors"] = found["errors"]
                report[f"{name}_ratio"] = found["click_p95_ms"] / calm["click_p95_ms"]
            before = process.memory_info().rss
            asyncio.run(_visits(address, tokens, visits))
            report["visits"], report["visits_memory_mb"] = visits, (process.memory_info().rss - before) / 1e6
            report["web_rss_mb"] = process.memory_info().rss / 1e6
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sessions", type=int, nargs="*", default=[30, 50], help="Browsers at once (default: 30 50).")
    parser.add_argument("--seconds", type=float, default=60.0, help="Of each class (default: 60).")
    parser.add_argument("--visits", type=int, default=2000, help="Browsers that come and go (default: 2000).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = measure(arguments.sessions, arguments.seconds, arguments.visits)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<26} {value:.4g}")


if __name__ == "__main__":
    main()
