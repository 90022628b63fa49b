"""The portal over HTTP, as HubSpot would answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from pipelines.simulator.endpoints import API_VERSIONS, BASES, families
from pipelines.simulator.faults import NO_FAULTS, Faults
from pipelines.simulator.gate import Endpoint, Gate, html_page
from pipelines.simulator.limits import Limits
from pipelines.simulator.oauth import OAuth, OAuthApp
from pipelines.simulator.object_kinds import OBJECT_KINDS
from pipelines.simulator.variants import Variants

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from pipelines.simulator.portal import Portal

REQUESTS_PER_DAY: Final = 625_000
TOKEN_LIFE_S: Final = 1800.0
ALL_SCOPES: Final = frozenset(
    {
        "crm.objects.owners.read",
        "oauth",
        *(
            f"crm.{what}.{name}.read"
            for what in ("objects", "schemas")
            for kind in OBJECT_KINDS.values()
            for name in kind.scopes
        ),
    }
)

_TOKEN_VERSIONS: Final = ("v1", "v3", "2026-03")


def app(
    portal: Portal,
    *,
    requests_per_10s: int = 190,
    search_requests_per_s: int = 5,
    requests_per_day: int = REQUESTS_PER_DAY,
    latency_ms: float = 0,
    token: str | None = None,
    oauth_app: OAuthApp | None = None,
    expires_in: float = TOKEN_LIFE_S,
    scopes: Collection[str] = ALL_SCOPES,
    versions: Collection[str] = API_VERSIONS,
    clock: Callable[[], float] = time.monotonic,
    variants: Variants = Variants(),
    faults: Faults = NO_FAULTS,
) -> Starlette:
    """An ASGI app that answers for `portal`.

    `app.state` has `portal`, `limits`, `oauth` and `statistics`; the portal may be changed
    while the app runs.

    Args:
        portal: What there is to read.
        requests_per_10s: Rolling limit of everything but search.
        search_requests_per_s: Rolling limit of search.
        requests_per_day: Limit of everything together.
        latency_ms: Every answer is held back so long; others are not.
        token: The only one accepted, beside those that OAuth gives; None accepts any, but one
            must be sent.
        oauth_app: The only one that OAuth gives tokens to; None: to any.
        expires_in: Seconds that such a token lives.
        scopes: What the token may do.
        versions: Of the API; the paths of others are as unknown as any.
        clock: Seconds, for the rolling limits and the life of tokens.
        variants: What to do where HubSpot's behaviour is not known.
        faults: What goes wrong on purpose; an object of its own for each app.
    """
    limits = Limits(
        requests_per_10s=requests_per_10s,
        search_requests_per_s=search_requests_per_s,
        requests_per_day=requests_per_day,
        clock=clock,
    )
    oauth = OAuth(oauth_app, expires_in=expires_in, scopes=sorted(scopes), clock=clock)
    gate = Gate(
        portal,
        limits,
        latency_s=latency_ms / 1000,
        token=token,
        oauth=oauth,
        scopes=frozenset(scopes),
        variants=variants,
        faults=faults,
    )
    made = Starlette(
        routes=_routes(gate, oauth, versions),
        exception_handlers={404: _html_error, 405: _html_error},
    )
    made.router.redirect_slashes = False
    made.state.portal = portal
    made.state.limits = limits
    made.state.oauth = oauth
    made.state.statistics = gate.statistics
    return made


def _routes(gate: Gate, oauth: OAuth, versions: Collection[str]) -> list[BaseRoute]:
    """Every endpoint under the paths of these API versions."""
    found = families(gate)
    token = Endpoint("token", "POST", "/token", oauth.token, ())
    return [
        *(gate.route(f"/oauth/{version}", version, token) for version in _TOKEN_VERSIONS),
        *(gate.route("/calling/v1", "v1", endpoint) for endpoint in found["calling"]),
        *(
            gate.route(base, version, endpoint)
            for version in versions
            for base, family in BASES[version]
            for endpoint in found[family]
        ),
    ]


async def _html_error(_: Request, exc: Exception) -> Response:
    return html_page(getattr(exc, "status_code", 500))
