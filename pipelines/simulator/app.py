"""The portal over HTTP, as HubSpot would answer: which path is which endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from pipelines.simulator import account, objects, schema
from pipelines.simulator.faults import NO_FAULTS, Faults
from pipelines.simulator.gate import Endpoint, Gate, html_page
from pipelines.simulator.limits import Limits
from pipelines.simulator.oauth import OAuth, OAuthApp
from pipelines.simulator.search import Search
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
        "crm.objects.calls.read",
        "crm.objects.contacts.read",
        "crm.objects.owners.read",
        "crm.schemas.calls.read",
        "crm.schemas.contacts.read",
        "oauth",
    }
)

_BASES: Final = {
    "v3": ("/crm/v3/objects", "/crm/v3/properties", "/crm/v3/owners", "/account-info/v3"),
    "2026-03": (
        "/crm/objects/2026-03",
        "/crm/properties/2026-03",
        "/crm/owners/2026-03",
        "/account-info/2026-03",
    ),
    "2026-09": (
        "/crm/objects/2026-09",
        "/crm/properties/2026-09",
        "/crm/owners/2026-09",
        "/account-info/2026-09",
    ),
}
API_VERSIONS: Final = tuple(_BASES)
_TOKEN_VERSIONS: Final = ("v1", "v3", "2026-03")
_READ: Final = ("crm.objects.contacts.read",)
_READ_SCHEMAS: Final = ("crm.objects.contacts.read", "crm.schemas.contacts.read")
_READ_OWNERS: Final = ("crm.objects.owners.read",)
_READ_ACCOUNT: Final = ("oauth",)


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
    endpoints = _endpoints(gate)
    token = Endpoint("token", "POST", "/token", oauth.token, ())
    return [
        *(gate.route(f"/oauth/{version}", version, token) for version in _TOKEN_VERSIONS),
        *(
            gate.route(base, version, endpoint)
            for version in versions
            for base, family in zip(_BASES[version], endpoints, strict=True)
            for endpoint in family
        ),
    ]


def _endpoints(gate: Gate) -> tuple[tuple[Endpoint, ...], ...]:
    """Endpoints by family, in the order of `_BASES`: objects, properties, owners, account."""
    one = "/{object_type}"
    return (
        (
            Endpoint("batch_read", "POST", f"{one}/batch/read", objects.batch_read, _READ),
            Endpoint("search", "POST", f"{one}/search", Search(), _READ),
            Endpoint("list", "GET", one, objects.list_page, _READ),
            Endpoint("read", "GET", f"{one}/{{record_id}}", objects.read_one, _READ),
        ),
        (
            Endpoint(
                "properties_batch_read",
                "POST",
                f"{one}/batch/read",
                schema.batch_read_properties,
                _READ_SCHEMAS,
            ),
            Endpoint("property_groups", "GET", f"{one}/groups", schema.list_groups, _READ_SCHEMAS),
            Endpoint("properties", "GET", one, schema.list_properties, _READ_SCHEMAS),
            Endpoint("property", "GET", f"{one}/{{name}}", schema.read_property, _READ_SCHEMAS),
        ),
        (
            Endpoint("owners", "GET", "", account.list_owners, _READ_OWNERS),
            Endpoint("owners", "GET", "/", account.list_owners, _READ_OWNERS),
        ),
        (
            Endpoint("account_details", "GET", "/details", account.details, _READ_ACCOUNT),
            Endpoint(
                "daily_usage",
                "GET",
                "/api-usage/daily/private-apps",
                gate.daily_usage,
                _READ_ACCOUNT,
            ),
        ),
    )


async def _html_error(_: Request, exc: Exception) -> Response:
    return html_page(getattr(exc, "status_code", 500))
