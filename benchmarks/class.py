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
    truth_first_s, truth_last_s      browsers that ask at once for the truth of different solutions: when the last of
                                     them saw curves (16 tries a prefix), and when the last saw all 256; truth_lost
    uploads_KIND                     uploads of 20 MB: how many were refused, bytes that were sent before (a share of
                                     all), and memory: with no page open, or a tenth as many from a student's open
                                     page, their size said or not
    half_open_click_ms               a click while 500 connections have begun an upload and go no further

Seconds are of this machine as it was: compare the ratios. The server has the settings of `python -m vimpo_core class`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._students import Student, upload, xsrf
from tests.support.browser import free_port
from vimpo_core import paths
from vimpo_core.config import TrainConfig
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import class_server
from vimpo_core.service.classroom import Classroom

CODE = "lantern"
THINK_SECONDS = 3.0
TRUTH_SECONDS = 600.0
TRUTH_MARKS = b"tries from each of", b"256 tries from each of"
DEMOS, STEPS = ("vimpo-beta-0.3", "vimpo-beta-0.1", "grpo"), (10, 20, 40, 60, 100)
UPLOAD_BYTES = 20_000_000
LANES, HALF_OPEN = 10, 500
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


def _visited(n: int) -> tuple[str, str]:
    """What the nth visitor opens; of Inspect always another solution, so that caches fill as they do in a day."""
    page, query = PAGES[n % len(PAGES)]
    if page == "inspect":
        run, step = DEMOS[n % len(DEMOS)], STEPS[n // 3 % len(STEPS)]
        query = f"run={run}&step={step}&group={1 + n % 16}&sample={1 + n // 16 % 8}" + "&more=rules" * ("more" in query)
    return page, query


async def _visits(address: str, tokens: list[str], count: int) -> None:
    async def lane(first: int) -> None:
        for n in range(first, count, LANES):
            async with Student(address, tokens[n % len(tokens)]) as student:
                await student.click(*_visited(n))

    await asyncio.gather(*(lane(first) for first in range(LANES)))


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


class Place(NamedTuple):
    """A server that runs, its process, and the tokens of those who joined."""

    address: str
    process: psutil.Process
    tokens: list[str]


def _clicks(place: Place, runs: RunsDir, sessions: list[int], seconds: float) -> dict[str, float]:
    """What browsers wait while a run trains, and while one of them is a nuisance."""
    address, tokens, report = place.address, place.tokens, {}
    job_id = runs.submit([TrainConfig(steps=10_000, eval_prompts=0, snapshot_every=1000)])
    (run_id,) = runs.jobs()[-1].run_ids
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
    return report


def _truths(place: Place, count: int) -> dict[str, float]:
    """Browsers that ask at once for the truth of different solutions, each with its page open until all of it came."""
    with RunStore.open(paths.DEMOS / "vimpo-beta-0.3") as store:
        shape = {(t.group_id, t.sample_idx): (t.prompt_ids, t.ids.tobytes()) for t in store.traces(100)}
    different = list({asked: at for at, asked in shape.items()}.values())[:count]

    async def seen(token: str, group: int, sample: int) -> list[float]:
        async with Student(place.address, token) as student:
            query = f"{RUN}&group={group + 1}&sample={sample + 1}&more=truth"
            return await student.wait("inspect", query, TRUTH_MARKS, TRUTH_SECONDS)

    async def all_seen() -> list[list[float]]:
        return await asyncio.gather(*(seen(t, *at) for t, at in zip(place.tokens, different, strict=False)))

    before = _cpu_seconds(place.process)
    found = asyncio.run(all_seen())
    whole = [times for times in found if len(times) == len(TRUTH_MARKS)]
    return {
        "truths": len(found),
        "truth_lost": len(found) - len(whole),
        "truth_first_s": max((first for first, _ in whole), default=math.nan),
        "truth_last_s": max((last for _, last in whole), default=math.nan),
        "truth_cpu_s": _cpu_seconds(place.process) - before,
    }


def _uploads(place: Place, count: int) -> dict[str, float]:
    """Uploads above the limit, ten at a time: with no page open; from an open page; without saying their size."""
    token, report = xsrf(place.address), {}

    async def lane(session: str, says_size: bool, count: int) -> list[tuple[int, int]]:
        return [await upload(place.address, session, token, UPLOAD_BYTES, says_size) for _ in range(count)]

    async def all_lanes(is_open: bool, says_size: bool, count: int) -> list[tuple[int, int]]:
        async with Student(place.address, place.tokens[0]) as student:
            await student.click(*PAGES[0])
            session = student.session if is_open else "nobody"
            lanes = await asyncio.gather(*(lane(session, says_size, count // LANES) for _ in range(LANES)))
            return [one for done in lanes for one in done]

    for name, is_open, says_size in (("closed", False, True), ("open", True, True), ("unsized", True, False)):
        before = _memory(place.process)
        answers = asyncio.run(all_lanes(is_open, says_size, count if name == "closed" else count // 10))
        report |= {
            f"uploads_{name}": len(answers),
            f"uploads_{name}_taken": sum(status < 300 and status > 0 for status, _ in answers),
            f"uploads_{name}_sent_share": sum(sent for _, sent in answers) / (UPLOAD_BYTES * len(answers)),
            f"uploads_{name}_memory_mb": (_memory(place.process) - before) / 1e6,
        }
    return report | asyncio.run(_half_open(place))


async def _half_open(place: Place) -> dict[str, float]:
    """What connections weigh that begin an upload and go no further, and how long a click takes meanwhile."""
    before, half = _memory(place.process), b"PUT /_stcore/upload_file/nobody/1 HTTP/1.1\r\nContent-Length: 9000000\r\n"
    writers = []
    for _ in range(HALF_OPEN):
        _, writer = await asyncio.open_connection(*place.address.removeprefix("http://").split(":"))
        writer.write(half)
        writers.append(writer)
    async with Student(place.address, place.tokens[0]) as student:
        taken, is_good = await student.click(*PAGES[0])
    found = {
        "half_open": HALF_OPEN,
        "half_open_click_ms": 1000 * taken if is_good else math.nan,
        "half_open_memory_mb": (_memory(place.process) - before) / 1e6,
    }
    for writer in writers:
        writer.close()
    return found


def _comings_and_goings(place: Place, visits: int) -> dict[str, float]:
    before = _memory(place.process)
    asyncio.run(_visits(place.address, place.tokens, visits))
    return {"visits": visits, "visits_memory_mb": (_memory(place.process) - before) / 1e6}


def _memory(process: psutil.Process) -> int:
    return process.memory_info().rss


def _cpu_seconds(process: psutil.Process) -> float:
    """Of the web server and the processes that it started and that are there."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def measure(sessions: list[int], seconds: float, visits: int, truths: int, uploads: int) -> dict[str, float]:
    report: dict[str, float] = {}
    seats = max([10, truths, *sessions])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        runs, room = RunsDir(Path(folder) / "runs"), Classroom(Path(folder) / "runs")
        room.open_up(CODE, seats)
        tokens = [room.join(CODE, "127.0.0.1") for _ in range(seats)]
        with serving(runs.path) as (address, process):
            place = Place(address, process, tokens)
            asyncio.run(_visits(address, tokens, 2 * len(PAGES)))  # every page once: caches, imports
            if sessions:
                report |= _clicks(place, runs, sessions, seconds)
            if truths:
                report |= _truths(place, truths)
            if uploads:
                report |= _uploads(place, uploads)
            if visits:
                report |= _comings_and_goings(place, visits)
            report["web_rss_mb"] = _memory(process) / 1e6
    report["load_average"] = psutil.getloadavg()[0]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sessions", type=int, nargs="*", default=[30, 50], help="Browsers at once (default: 30 50).")
    parser.add_argument("--seconds", type=float, default=60.0, help="Of each class (default: 60).")
    parser.add_argument("--visits", type=int, default=2000, help="Browsers that come and go (default: 2000).")
    parser.add_argument("--truths", type=int, default=50, help="Browsers that ask for truth at once (default: 50).")
    parser.add_argument("--uploads", type=int, default=1000, help="Uploads of 20 MB of a kind (default: 1000).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = measure(arguments.sessions, arguments.seconds, arguments.visits, arguments.truths, arguments.uploads)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<26} {value:.4g}")


if __name__ == "__main__":
    main()
