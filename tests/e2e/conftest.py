"""A portal behind a real HTTP server, for every end-to-end test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.simulator.app import app
from pipelines.simulator.limits import Limits, Statistics
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve

TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Simulator:
    """A running simulator; the portal may be changed while it runs."""

    base_url: str
    portal: Portal
    statistics: Statistics
    limits: Limits
    token: str = TOKEN

    @property
    def headers(self) -> dict[str, str]:
        """What signs a request in."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def starter() -> Iterator[Callable[..., Simulator]]:
    """A function that starts simulators, all of which stop on leaving."""
    with ExitStack() as running:

        def start(
            *,
            contacts: int = 250,
            calls: int = 120,
            seed: int = 1,
            portal: Portal | None = None,
            **options: Any,
        ) -> Simulator:
            portal = portal or Portal.build(contacts=contacts, calls=calls, seed=seed)
            application = app(portal, **{"token": TOKEN, "requests_per_10s": 10_000, **options})
            base_url = running.enter_context(serve(application))
            state = application.state
            return Simulator(base_url, portal, state.statistics, state.limits)

        yield start


@pytest.fixture
def simulator() -> Iterator[Callable[..., Simulator]]:
    """Start simulators: `simulator(contacts=…, calls=…, seed=…)` or `simulator(portal=…)`.

    Other keywords go to `pipelines.simulator.app.app`: limits, latency, scopes, variants.
    """
    with starter() as start:
        yield start


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Callable[..., Simulator]]:
    """As `simulator`, running for a whole module: for tests that only read."""
    with starter() as start:
        yield start
