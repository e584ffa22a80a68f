"""Browsers of a class without a browser: web sockets that speak Streamlit's own protocol, and its upload address."""

from __future__ import annotations

import asyncio
import contextlib
import http.cookies
import time
import urllib.request

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from app.gate import COOKIE

ANSWER_SECONDS = 60.0
_XSRF = "_streamlit_xsrf"
_CHUNK = b"0" * 65536


class Student:
    """One browser of the class."""

    def __init__(self, address: str, token: str):
        self._address, self._token = address, token
        self.socket: websockets.ClientConnection | None = None
        self.session = ""
        """The session's id, once a page was asked for."""
        self._page = ""

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

    async def ask(self, page: str, query: str, fragment: str = "") -> None:
        asked = BackMsg()
        asked.rerun_script.page_name = page
        asked.rerun_script.query_string = query
        if fragment:
            asked.rerun_script.fragment_id, asked.rerun_script.is_auto_rerun = fragment, True
            asked.rerun_script.page_script_hash = self._page
        await self.socket.send(asked.SerializeToString())

    async def click(self, page: str, query: str) -> tuple[float, bool]:
        """(Seconds to the last message, whether it held no exception)."""
        start = time.perf_counter()
        await self.ask(page, query)
        is_good = True
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                told = await self._told()
                is_good &= not _is_exception(told)
                if _is_finished(told):
                    return time.perf_counter() - start, is_good

    async def wait(self, page: str, query: str, marks: tuple[bytes, ...], patience: float) -> list[float]:
        """Seconds until each of the marks, one after the other, stood on the page, whose parts run again by themselves
        as a browser lets them; fewer where the next was not in time, or there was an exception."""
        start, found = time.perf_counter(), []
        every: dict[str, float] = {}
        due: dict[str, float] = {}
        await self.ask(page, query)
        while len(found) < len(marks) and (now := time.perf_counter()) < start + patience:
            for fragment in [one for one, at in due.items() if at <= now]:
                await self.ask(page, query, fragment)
                due[fragment] = now + every[fragment]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.01, min(due.values(), default=now + 1) - now)):
                    told = await self._told()
                    if _is_exception(told):
                        break
                    if marks[len(found)] in told.SerializeToString():
                        found.append(time.perf_counter() - start)
                    for fragment in told.stop_auto_rerun.fragment_ids:
                        due.pop(fragment, None)
                    if fragment := told.auto_rerun.fragment_id:
                        every[fragment] = told.auto_rerun.interval
                        due[fragment] = time.perf_counter() + told.auto_rerun.interval
        return found

    async def _told(self) -> ForwardMsg:
        told = ForwardMsg.FromString(await self.socket.recv())
        if told.WhichOneof("type") == "new_session":
            self.session = told.new_session.initialize.session_id
        self._page = told.navigation.page_script_hash or self._page
        return told


def _is_exception(told: ForwardMsg) -> bool:
    return (
        told.WhichOneof("type") == "delta"
        and told.delta.WhichOneof("type") == "new_element"
        and told.delta.new_element.WhichOneof("type") == "exception"
    )


def _is_finished(told: ForwardMsg) -> bool:
    return told.WhichOneof("type") == "script_finished" and told.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY


def xsrf(address: str) -> str:
    """The token that a browser gets with the page, without which no upload is read."""
    with urllib.request.urlopen(f"{address}/_stcore/health") as page:
        cookies = http.cookies.SimpleCookie(page.headers.get("Set-Cookie", ""))
    return cookies[_XSRF].value if _XSRF in cookies else ""


async def upload(address: str, session: str, token: str, size: int, says_size: bool = True) -> tuple[int, int]:
    """(Status, bytes sent) of an upload that stops once it is answered; 0 where the server only hung up."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    mark = "lab-upload"
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n\r\n'.encode()
    tail, sent = f"\r\n--{mark}--\r\n".encode(), 0
    length = f"Content-Length: {len(head) + size + len(tail)}" if says_size else "Transfer-Encoding: chunked"
    writer.write(
        f"PUT /_stcore/upload_file/{session}/{time.monotonic_ns()} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Origin: {address}\r\nCookie: {_XSRF}={token}\r\nX-Xsrftoken: {token}\r\n{length}\r\n"
        f"Content-Type: multipart/form-data; boundary={mark}\r\n\r\n".encode()
    )
    answer = asyncio.create_task(reader.readline())
    pieces = [head, *(_CHUNK[: min(len(_CHUNK), size - at)] for at in range(0, size, len(_CHUNK))), tail]
    with contextlib.suppress(OSError):
        for piece in pieces:
            writer.write(piece if says_size else f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            sent += len(piece)
            if answer.done():
                break
        else:
            if not says_size:
                writer.write(b"0\r\n\r\n")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            line = (await answer).split()
    except (OSError, TimeoutError):
        line = []
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return int(line[1]) if len(line) > 1 else 0, sent
