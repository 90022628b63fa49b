"""The simulator as a real HTTP server on 127.0.0.1."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from pipelines.errors import ConfigError
from pipelines.simulator.connection import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

HOST: Final = "127.0.0.1"
_STOP_WITHIN_S: Final = 5
_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Says when it is ready, or that it never will be."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.is_up.set()


@contextmanager
def serve(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve `app` from a thread of this process and give its base URL; stops on leaving.

    Args:
        app: What `app.app` makes.
        port: 0 for any free one.

    Raises:
        ConfigError: The port is taken or not allowed.
    """
    with _listening(port) as listener:
        server = _server(app)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        server.is_up.wait()
        try:
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join()


def run(app: ASGIApp, port: int = 0, announce: Callable[[str], None] | None = None) -> None:
    """Serve `app` until Ctrl-C, which raises KeyboardInterrupt after a clean stop, or SIGTERM.

    Args:
        app: What `app.app` makes.
        port: 0 for any free one.
        announce: Gets the base URL once requests are accepted.

    Raises:
        ConfigError: The port is taken or not allowed.
    """
    with _listening(port) as listener:
        if announce:
            announce(_url(listener))
        _server(app).run(sockets=[listener])


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=Protocol,
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,  # the portal has a time of its own
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_STOP_WITHIN_S,
        )
    )


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that accepts connections, so that the URL holds before the server runs."""
    # asyncio sets TCP_NODELAY only where the protocol is stated; without it, every small
    # answer waits 40 ms for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(_BACKLOG)
        except (OSError, OverflowError) as exc:
            raise ConfigError(
                f"port {port} on {HOST} cannot be used ({exc}); choose another, or 0 for a free one"
            ) from exc
        yield listener


def _url(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"
