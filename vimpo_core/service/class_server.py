"""The web server of a class: the address it listens on, what it refuses to start with, the command that starts it.

It listens on the one address that the name means and on nothing else. It starts only with settings that are safe with
fifty strangers on the other side; one sentence says what is wrong, what was found, and what to do.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vimpo_core import paths
from vimpo_core.mistake import Mistake
from vimpo_core.runs.locks import exclusive
from vimpo_core.service.classroom import ENVIRONMENT, Classroom

LOCK_NAME = "class.lock"
PORT = 8501
_END_SECONDS = 10.0
_CONSONANTS, _VOWELS = "bdfgkmnprstvz", "aeiou"

_DANGEROUS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "server.enableXsrfProtection": (lambda v: not _is_on(v), "lets other pages upload files in a student's name"),
    "server.enableCORS": (lambda v: not _is_on(v), "lets other pages read this one"),
    "server.allowedHosts": (lambda v: "*" in str(v), "answers under any name"),
    "server.enableAgentApi": (lambda v: _is_on(v), "lets programs drive the app"),
    "server.enableStaticServing": (lambda v: _is_on(v), "serves files of a folder"),
    "server.maxUploadSize": (lambda v: _number(v) > 50, "lets everybody upload large files at once"),
    "client.showErrorDetails": (
        lambda v: str(v).lower() in ("full", "true"),
        "shows the inside of errors to everybody",
    ),
    "global.developmentMode": (lambda v: _is_on(v), "is for working on Streamlit itself"),
}
"""Streamlit's settings that a class must not be served with: when, and why."""


@dataclass(frozen=True)
class Place:
    """Where a class is served: the name that is typed, the address that is listened on, and the port."""

    name: str
    address: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.name}]" if ":" in self.name else self.name
        return f"http://{host}" + ("" if self.port == 80 else f":{self.port}")

    def teacher_url(self, key: str) -> str:
        """The link that makes a browser the teacher's."""
        return f"{self.url}/teach?key={key}"


def new_code() -> str:
    """A join code that is easy to say and to type: "bafoti-47"."""
    word = "".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(3))
    return f"{word}-{secrets.randbelow(90) + 10}"


def find_place(name: str, port: int, may_be_public: bool = False) -> Place:
    """Where a class of that name is served.

    Raises Mistake: no such name, one that others cannot reach or the whole internet can, or a port that is taken.
    """
    if name in ("*", "0.0.0.0", "::", ""):
        raise Mistake(
            f"--name must be the name or address that students type, got {name!r}, which is every address of this "
            f"computer. {_own_addresses()}"
        )
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Mistake(f"{name!r} is not known as a name of this computer. {_own_addresses()}") from error
    address = next((one[4][0] for one in found if one[0] == socket.AF_INET), str(found[0][4][0]))
    kind = ipaddress.ip_address(str(address).partition("%")[0])
    if kind.is_loopback and name not in ("localhost", "127.0.0.1", "::1"):
        raise Mistake(f"{name} means {address} here, which other computers cannot reach. {_own_addresses()}")
    if kind.is_global and not may_be_public:
        raise Mistake(
            f"{name} is {address}, which the whole internet may reach, and there is no TLS here. Put a proxy in front "
            "(docs/hosting.md), or say --even-public where a firewall keeps others out"
        )
    with socket.socket(socket.AF_INET6 if kind.version == 6 else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(os.name == "posix"))
        try:
            trial.bind((str(address), port))
        except PermissionError as error:
            raise Mistake(f"port {port} needs administrator rights. Name one above 1023 with --port") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Mistake(
                    f"port {port} of {address} is taken by another program. Name another with --port"
                ) from error
            raise Mistake(f"{name} is {address}, which is no address of this computer. {_own_addresses()}") from error
    return Place(name, str(address), port)


def refuse_dangerous(environment: Mapping[str, str], folders: tuple[Path, ...]) -> None:
    """Raises Mistake where somebody's settings of Streamlit are not safe for a class: what, where, and what to do."""
    for where, name, value in _settings(environment, folders):
        is_dangerous, why = _DANGEROUS.get(name, (lambda _: False, ""))
        if is_dangerous(value):
            raise Mistake(f"{where} sets {name} to {value!r}, which {why}. Remove that line to serve a class")


def serve(
    place: Place,
    runs_dir: Path,
    code: str | None,
    students: int,
    told: Callable[[str, str], None],
    is_new: bool = False,
) -> int:
    """Serve a class until it is stopped; returns the server's exit code.

    code: None for that of the class that is there, or a new one. told: hears code and teacher's key first. is_new:
        forget who joined, whose runs are whose and the hand-ins.

    Raises Mistake: dangerous settings, another class on the same runs, or a bad code; before anything is served.
    """
    refuse_dangerous(os.environ, _folders_with_settings())
    runs_dir.mkdir(parents=True, exist_ok=True)
    taken = f"another class is being served from {runs_dir.name}. Stop that one, or name another folder with --runs-dir"
    with exclusive(runs_dir / LOCK_NAME, taken):
        room = Classroom(runs_dir)
        code = code or (not is_new and room.code()) or new_code()
        told(code, room.open_up(code, students, is_new))
        return _served(command(place), environment_of(place, runs_dir))


def _served(command: list[str], environment: dict[str, str]) -> int:
    """The exit code of the web server. However this process is asked to end, the server ends with it: one that stays
    would keep the port, and the next start would find it taken."""
    before = signal.signal(signal.SIGTERM, _stop)
    server = subprocess.Popen(command, env=environment, cwd=paths.ROOT)
    try:
        return server.wait()
    finally:
        server.terminate()
        try:
            server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)


def command(place: Place) -> list[str]:
    """What starts the web server: options stand above anybody's files."""
    hosts = [f"--server.allowedHosts={name}" for name in dict.fromkeys((place.name, place.address))]
    options = {
        "server.address": place.address,
        "server.port": place.port,
        "server.headless": "true",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "browser.serverAddress": place.name,
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "type",
    }
    said = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(paths.ROOT / "app"), *said, *hosts]


def environment_of(place: Place, runs_dir: Path) -> dict[str, str]:
    """The environment of the web server: that it serves a class, at which address, and whose runs."""
    return paths.child_environment() | {ENVIRONMENT: place.url, "VIMPO_RUNS_DIR": str(runs_dir)}


def _folders_with_settings() -> tuple[Path, ...]:
    """Where Streamlit looks for somebody's own settings; a user without a home has none there."""
    try:
        return Path.home(), paths.ROOT
    except RuntimeError:
        return (paths.ROOT,)


def _settings(environment: Mapping[str, str], folders: tuple[Path, ...]) -> Iterator[tuple[str, str, Any]]:
    """(Where, name, value) of each of Streamlit's settings that somebody made."""
    by_variable = {_variable(name): name for name in _DANGEROUS}
    for variable, value in environment.items():
        if variable in by_variable:
            yield f"the environment variable {variable}", by_variable[variable], value
    for folder in folders:
        file = folder / ".streamlit" / "config.toml"
        try:
            sections = tomllib.loads(file.read_text("utf-8-sig"))
        except (OSError, ValueError):
            continue  # none, or one that Streamlit cannot read either
        for section, settings in sections.items():
            for name, value in settings.items() if isinstance(settings, dict) else ():
                yield str(file), f"{section}.{name}", value


def _variable(name: str) -> str:
    """ "server.enableCORS" -> "STREAMLIT_SERVER_ENABLE_CORS"."""
    section, _, option = name.partition(".")
    spaced = "".join(
        f"_{c}" if c.isupper() and (not option[i - 1].isupper() or option[i + 1 : i + 2].islower()) else c
        for i, c in enumerate(option)
    )
    return f"STREAMLIT_{section}_{spaced}".upper()


def _own_addresses() -> str:
    """The addresses by which others may reach this computer, as a sentence; asks nobody."""
    found = set()
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as trial:
                trial.connect((somewhere, 9))  # sends nothing: it only chooses the way that a packet would take
                found.add(trial.getsockname()[0])
        except OSError:
            continue
    shown = ", ".join(sorted(found))
    return f"Its address on the network is {shown}" if shown else "It seems to be on no network"


def _is_on(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes", "on")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
