"""A portal behind a real HTTP server, for every end-to-end test."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import WAREHOUSE, synced

from pipelines.settings import DEFAULT_API_VERSION
from pipelines.simulator.app import app
from pipelines.simulator.limits import Limits, Statistics
from pipelines.simulator.oauth import OAuth
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve

SAME_FOR_ALL = ("own_version", "asks_nothing")
"""Markers of tests that do not ask the version of the API that is set."""
_STATISTICS: list[Statistics] = []
"""Of the simulators that run."""
TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"


class Door:
    """Stands before the simulator; lets batch/reads through until so many have passed.

    The others wait until it is opened, so that a test can do something in mid-run.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._open = threading.Event()
        self._left: float = float("inf")
        self._archived: bool | None = None
        self._id: bytes | None = None
        self.is_knocked_at = threading.Event()
        """Set while somebody waits before it."""

    def close_after(self, batch_reads: int, *, archived: bool | None = None) -> None:
        """Let so many more through; with `archived` only those of archived or of live records."""
        self._open.clear()
        self.is_knocked_at.clear()
        self._left, self._archived = batch_reads, archived

    def close_to(self, record_id: int) -> None:
        """Let every batch/read through but those that ask for this record."""
        self._open.clear()
        self.is_knocked_at.clear()
        self._id = b'"%d"' % record_id

    def open(self) -> None:
        """Let everything through, what waits too."""
        self._left, self._id = float("inf"), None
        self._open.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/batch/read"):
            first = await receive()
            if self._is_closed_to(scope, first.get("body", b"")):
                self.is_knocked_at.set()
                await asyncio.to_thread(self._open.wait)
            receive = _again(first, receive)
        await self._application(scope, receive, send)

    def _is_closed_to(self, scope: Any, body: bytes) -> bool:
        if self._archived in (None, b"archived=true" in scope["query_string"]):
            self._left -= 1
        return self._left < 0 or (self._id is not None and self._id in body)


def _again(first: Any, receive: Any) -> Any:
    """What a request sends, beginning with what was taken from it."""
    messages = [first]

    async def message() -> Any:
        return messages.pop() if messages else await receive()

    return message


@dataclass(frozen=True)
class Simulator:
    """A running simulator; the portal may be changed while it runs."""

    base_url: str
    portal: Portal
    statistics: Statistics
    limits: Limits
    oauth: OAuth
    token: str = TOKEN
    api_version: str = DEFAULT_API_VERSION
    door: Door = field(default_factory=lambda: Door(None))

    @property
    def headers(self) -> dict[str, str]:
        """What signs a request in."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def starter(default_version: str) -> Iterator[Callable[..., Simulator]]:
    """A function that starts simulators, all of which stop on leaving."""
    with ExitStack() as running:

        def start(
            *,
            contacts: int = 250,
            calls: int = 120,
            seed: int = 1,
            portal: Portal | None = None,
            api_version: str = default_version,
            **options: Any,
        ) -> Simulator:
            if api_version != DEFAULT_API_VERSION:
                options = {"versions": [api_version], **options}
            portal = portal or Portal.build(contacts=contacts, calls=calls, seed=seed)
            application = app(portal, **{"token": TOKEN, "requests_per_10s": 10_000, **options})
            door = Door(application)
            base_url = running.enter_context(serve(door))
            running.callback(door.open)  # before the server stops, which waits for every answer
            state = application.state
            _STATISTICS.append(state.statistics)
            running.callback(_STATISTICS.pop)  # the last one started is the first to stop
            return Simulator(
                base_url,
                portal,
                state.statistics,
                state.limits,
                state.oauth,
                api_version=api_version,
                door=door,
            )

        yield start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Take a test marked `asks_nothing` at its word."""
    before = _requests()
    result = yield
    if item.get_closest_marker("asks_nothing"):
        assert _requests() == before, "it asked HubSpot for something"
    return result


def _requests() -> int:
    return sum(statistics.count for statistics in _STATISTICS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another `--api-version`, leave out the tests that are the same for all."""
    if config.getoption("--api-version") == DEFAULT_API_VERSION:
        return
    same = [item for item in items if any(map(item.get_closest_marker, SAME_FOR_ALL))]
    config.hook.pytest_deselected(items=same)
    items[:] = [item for item in items if item not in same]


@pytest.fixture(scope="session")
def api_version(request: pytest.FixtureRequest) -> str:
    """The version of the API that is asked wherever a test names no other: `--api-version`."""
    version: str = request.config.getoption("--api-version")
    return version


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A warehouse that is not there yet."""
    return tmp_path / WAREHOUSE


@pytest.fixture(scope="module")
def after_sync(still: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse after one sync of `still`, a portal of the module in which nothing changes."""
    path = tmp_path_factory.mktemp("synced") / WAREHOUSE
    synced(still, path)
    return path


@pytest.fixture
def full(after_sync: Path, path: Path) -> Path:
    """A copy of it, of this test's own."""
    return Path(shutil.copy(after_sync, path))


@pytest.fixture
def simulator(api_version: str) -> Iterator[Callable[..., Simulator]]:
    """Start simulators: `simulator(contacts=…, calls=…, seed=…)` or `simulator(portal=…)`.

    Each is asked through `api_version`; of the dated versions it knows no other. Other
    keywords go to `pipelines.simulator.app.app`: limits, latency, scopes, variants, faults.
    """
    with starter(api_version) as start:
        yield start


@pytest.fixture(scope="module")
def shared_simulator(api_version: str) -> Iterator[Callable[..., Simulator]]:
    """As `simulator`, running for a whole module: for tests that only read."""
    with starter(api_version) as start:
        yield start


@pytest.fixture
def connect(simulator: Callable[..., Simulator]) -> Iterator[Callable[..., Any]]:
    """Start a simulator and give it with a signed-in HTTP client."""
    with ExitStack() as clients:

        def start(**options: Any) -> tuple[Simulator, httpx.Client]:
            running = simulator(**options)
            client = httpx.Client(base_url=running.base_url, headers=running.headers)
            return running, clients.enter_context(client)

        yield start


@pytest.fixture(scope="module")
def http(running: Simulator) -> Iterator[httpx.Client]:
    """A signed-in HTTP client of the module's simulator, `running`."""
    with httpx.Client(base_url=running.base_url, headers=running.headers) as client:
        yield client
