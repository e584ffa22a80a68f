"""The app as a person meets it: a server of its own on a free port, and Debian's chromium. Tests and benchmarks share
it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.support.waiting import PATIENCE_MS, eventually
from vimpo_core.paths import ROOT

CHROMIUM = shutil.which("chromium")
STILL_MS = 400
"""A page that was still for so long has drawn what it was told: a selection is sent 150 ms after it was made."""
expect.set_options(timeout=PATIENCE_MS)
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Server:
    """A running `streamlit run app`. `spawned`: `time.time()` just before it was started."""

    address: str
    process: psutil.Popen
    spawned: float


@contextmanager
def serving(runs_dir: Path, port: int = 0, program: str = "streamlit") -> Iterator[Server]:
    """The app on a port (0: a free one) with `runs_dir` as its runs folder; at the end no process of it is left.

    program: the module that serves; tests take tests.support.patient_app. Raises AssertionError when it does not
        listen.
    """
    port = port or free_port()
    command = ["-m", program, "run", "app", f"--server.port={port}", "--server.headless=true"]
    spawned = time.time()
    process = psutil.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"VIMPO_RUNS_DIR": str(runs_dir)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _listens(port) or not process.is_running(), lambda: "The server does not listen.")
        assert process.poll() is None, f"the server ended with exit code {process.poll()}"
        yield Server(f"http://127.0.0.1:{port}", process, spawned)
    finally:
        _end(process)


@contextmanager
def browsing(*arguments: str) -> Iterator[Browser]:
    """A headless chromium, with more of its own arguments. Raises FileNotFoundError when there is none on this
    machine.
    """
    if CHROMIUM is None:
        raise FileNotFoundError("there is no chromium on this machine. Install it: `apt-get install chromium`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS, *arguments])
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, width: int = 1440, height: int = 1000, theme: str = "light") -> Iterator[BrowserContext]:
    """Somebody with empty caches, whose tabs may report no error: AssertionError at the end if one did."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    context.set_default_timeout(PATIENCE_MS)
    with without_errors(context):
        try:
            yield context
        finally:
            context.close()


@contextmanager
def without_errors(context: BrowserContext) -> Iterator[None]:
    """AssertionError at the end if a tab reported an error meanwhile."""
    errors: list[str] = []
    listeners = {
        "weberror": lambda error: errors.append(str(error.error)),
        "console": lambda message: errors.extend(_complaint(message)),
    }
    for event, listener in listeners.items():
        context.on(event, listener)
    yield
    for event, listener in listeners.items():
        context.remove_listener(event, listener)
    assert not errors, errors


def count_sent(page: Page) -> list[str | bytes]:
    """A list that every websocket frame the page sends from now on is added to. Call before the page is opened."""
    sent: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    return sent


def settle(page: Page, still_ms: float = STILL_MS) -> None:
    """Wait until Streamlit has had nothing to do for `still_ms` by the page's own clock, however slow the machine
    is.
    """
    page.evaluate("() => { delete window.stillSince; }")
    page.wait_for_function(_IS_STILL, arg=still_ms)


_IS_STILL = """(stillFor) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const busy = ['stSkeleton', 'stSpinner', 'stAppSkeleton'].map((id) => `[data-testid="${id}"]`).join();
    const isReady = app?.dataset.testScriptState === 'notRunning' && !document.querySelector(busy);
    if (!isReady || !window.stillSince) window.stillSince = {at: performance.now(), frames: 0};
    return ++window.stillSince.frames > 5 && performance.now() - window.stillSince.at >= stillFor;
}"""


def _complaint(message: ConsoleMessage) -> list[str]:
    """The text of a console error. Opened at /train, Streamlit first asks for /train/_stcore/health, which is a 404."""
    is_search = "/_stcore/" in message.location["url"] and "404" in message.text
    return [message.text] if message.type == "error" and not is_search else []


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _end(process: psutil.Popen) -> None:
    """End the server, then what it started and left: a training process outlives it on purpose."""
    children = process.children(recursive=True) if process.is_running() else []
    for one in (process, *children):
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    for stubborn in psutil.wait_procs([process, *children], 10)[1]:
        stubborn.kill()
