"""Answers that go wrong beneath HTTP: held back, cut off, or never sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_EXTENSION: Final = "crm.connection"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s
_TICK_S: Final = 0.001


class Connection:
    """The TCP connection that a request came over."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_held = False
        self._is_stopping = False

    def reset(self) -> None:
        """End it with RST: whatever the client has not got by now is lost."""
        known = self._transport.get_extra_info("socket")
        known.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def hold(self, receive: Receive) -> None:
        """Wait until the client has left, or the server stops."""
        self._is_held = True
        if self._is_stopping:
            self._transport.abort()
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._is_held = False

    async def sent(self) -> None:
        """Wait until the client's side has everything that was written, or the client has left."""
        self._is_held = True
        while self._is_sending():  # noqa: ASYNC110  (the kernel tells no event)
            await asyncio.sleep(_TICK_S)
        self._is_held = False

    def stop(self) -> None:
        """The server stops: nobody is held any longer."""
        self._is_stopping = True
        if self._is_held:
            self._transport.abort()

    def _is_sending(self) -> bool:
        if self._transport.is_closing():
            return False
        connected = self._transport.get_extra_info("socket")
        return bool(self._transport.get_write_buffer_size() or _unconfirmed(connected))


class Protocol(H11Protocol):
    """uvicorn's protocol; each request gets its `Connection` as an extension of ASGI."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio passes no other
        """Tell the app which connection it answers on."""
        super().connection_made(transport)
        self._connection, app = Connection(transport), self.app

        async def with_connection(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "extensions": {_EXTENSION: self._connection}}, receive, send)

        self.app = with_connection

    def shutdown(self) -> None:
        """The server stops; it would wait for answers that are held back."""
        self._connection.stop()
        super().shutdown()


class NoAnswer(Response):
    """Nothing is sent; the connection stays open until the client gives up."""

    def __init__(self) -> None:
        super().__init__(status_code=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's signature)
        """Wait."""
        await _connection(scope).hold(receive)


class LateAnswer(Response):
    """Another answer, so many seconds late; not sent if the client has given up by then."""

    def __init__(self, answer: Response, late_s: float) -> None:
        super().__init__(status_code=answer.status_code)
        self._answer = answer
        self._late_s = late_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then answer."""
        try:
            async with asyncio.timeout(self._late_s):
                await _connection(scope).hold(receive)
        except TimeoutError:
            await self._answer(scope, receive, send)


class CutAnswer(Response):
    """The connection is reset when a share of another answer's body has reached the client.

    Args:
        answer: Whole in memory, with Content-Length.
        share: 0 sends not even a status, 1 everything.
    """

    def __init__(self, answer: Response, share: float) -> None:
        super().__init__(status_code=answer.status_code if share else 0)
        self._answer = answer
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in part, then reset."""
        connection, body = _connection(scope), bytes(self._answer.body)
        if self._share:
            end = int(len(body) * self._share)
            await send(
                {
                    "type": "http.response.start",
                    "status": self._answer.status_code,
                    "headers": self._answer.raw_headers,
                }
            )
            is_cut = end < len(body)
            await send({"type": "http.response.body", "body": body[:end], "more_body": is_cut})
            await connection.sent()
        connection.reset()
        await connection.hold(receive)  # until uvicorn knows, or it would miss an answer


def _connection(scope: Scope) -> Connection:
    found: Connection = scope["extensions"][_EXTENSION]
    return found


def _unconfirmed(connected: socket.socket) -> int:
    """How many bytes the other side has not acknowledged yet; 0 where that cannot be known."""
    try:
        from fcntl import ioctl  # noqa: PLC0415  (not on Windows)
        from termios import TIOCOUTQ  # noqa: PLC0415  (not on Windows)

        (count,) = struct.unpack("i", ioctl(connected.fileno(), TIOCOUTQ, b"\0\0\0\0"))
    except (ImportError, OSError):
        return 0
    return int(count)
