"""A real HTTP server on loopback that answers from a script, and the clock that goes with it."""

from __future__ import annotations

import asyncio
import json
import traceback
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pipelines.hubspot.auth import StaticToken
from pipelines.hubspot.client import HubSpotClient, open_http
from pipelines.hubspot.limits import Limits
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.retry import RetryPolicy

TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"


@dataclass
class Reply:
    """One answer; `cut` closes the connection after so many bytes of it."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None

    def encoded(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        kind = "text/html" if body.startswith(b"<") else "application/json;charset=utf-8"
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Server:
    """Answers request by request from `script`; the last reply again and again.

    None in place of a reply: no answer at all; a function: what it gives for the request.
    """

    def __init__(self, *script: Reply | None) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.connections = 0
        self.handlers = []
        self.url = ""

    def stop(self) -> None:
        self.listening.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.handlers.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(await self._request(head, reader))
                reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if callable(reply):
                    reply = reply(self.requests[-1])
                if reply is None:
                    continue
                writer.write(reply.encoded()[: reply.cut])
                if reply.cut is not None:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    @staticmethod
    async def _request(head: bytes, reader: asyncio.StreamReader) -> Request:
        first, *lines = head.decode().strip().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(*first.split(" ")[:2], headers, body)


@asynccontextmanager
async def served(*script: Reply | None):
    server = Server(*script)
    server.listening = await asyncio.start_server(server._serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{server.listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        server.stop()
        await asyncio.gather(*server.handlers)


@asynccontextmanager
async def client_for(
    url: str,
    *,
    clock: Clock | None = None,
    version: str = "v3",
    limits: Limits | None = None,
    **retry,
):
    """A client on a clock of its own, so that no test waits."""
    clock = clock or Clock()
    policy = RetryPolicy(clock=clock, sleep=clock.sleep, random=lambda: 1.0, **retry)
    async with open_http(base_url=url) as http:
        yield HubSpotClient(
            http,
            token=StaticToken(TOKEN),
            limits=limits or Limits(clock=clock, sleep=clock.sleep),
            paths=Paths(version),
            retry=policy,
        )


def everything_told(error, *things):
    """All text that a log, a crash or a debugger would show of an error and its causes."""
    told = [
        "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    ]
    told += [repr(thing) for thing in things]
    seen = [error]
    for one in seen:
        told += [str(one), repr(one), repr(one.__dict__)]
        told += [repr(vars(value)) for value in one.__dict__.values() if hasattr(value, "__dict__")]
        seen += [e for e in (one.__cause__, one.__context__) if e is not None and e not in seen]
    return "\n".join(told)
