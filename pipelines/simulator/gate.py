"""What stands before every endpoint, sign-in, limits and scopes, and what every answer gets.

Every answer passes `Gate.answer`, and there meets the faults, when there are any.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipelines.simulator import account
from pipelines.simulator.limits import Arrival, Limits, Statistics
from pipelines.simulator.object_kinds import OBJECT_KINDS, object_type_of
from pipelines.simulator.wire import Answer, Call, Refusal, correlation_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from pipelines.simulator.faults import Faults, Hits
    from pipelines.simulator.oauth import OAuth
    from pipelines.simulator.object_kinds import ObjectKind
    from pipelines.simulator.portal import Portal
    from pipelines.simulator.variants import Variants

UNSUPPORTED_MEDIA: Final = 415
TOO_MANY: Final = 429

_JSON: Final = "application/json;charset=utf-8"
_SCOPES_PAGE: Final = "https://developers.hubspot.com/scopes"
_NO_CREDENTIALS: Final = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can "
    "find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint, without the part of the path that differs by API version.

    `name` is what statistics call it; any one of `scopes` opens it, with what the object
    type in the path is called there in place of `{}`.
    """

    name: str
    method: str
    path: str
    handler: Callable[[Call], Answer]
    scopes: tuple[str, ...]

    def opened_by(self, request: Request) -> tuple[str, ...]:
        """Every scope that opens it for the object type in the path."""
        return tuple(one.format(name) for name in _kind(request).scopes for one in self.scopes)

    def named_scopes(self, request: Request) -> tuple[str, ...]:
        """Those of them that are named where all are missing."""
        return self.opened_by(request)[: len(self.scopes)]

    @property
    def is_search(self) -> bool:
        """Whether the limit of search applies, not that of the others."""
        return self.name == "search"

    @property
    def is_open(self) -> bool:
        """Whether it is asked without a token, because that is what it gives."""
        return self.name == "token"


class Gate:
    """Lets requests through to the endpoints, or answers in their place."""

    def __init__(
        self,
        portal: Portal,
        limits: Limits,
        *,
        latency_s: float,
        token: str | None,
        oauth: OAuth,
        scopes: frozenset[str],
        variants: Variants,
        faults: Faults,
    ) -> None:
        self.statistics = Statistics(faults=faults.injected)
        self._portal = portal
        self._limits = limits
        self._latency_s = latency_s
        self._token = token
        self._oauth = oauth
        self._scopes = scopes
        self._variants = variants
        self._faults = faults

    def route(self, base: str, version: str, endpoint: Endpoint) -> Route:
        """Where an endpoint answers under the paths of one API version."""

        async def respond(request: Request) -> Response:
            return await self.answer(request, version, endpoint)

        return Route(base + endpoint.path, respond, methods=[endpoint.method])

    async def answer(self, request: Request, version: str, endpoint: Endpoint) -> Response:
        """The one place that every JSON answer goes through."""
        at_s = self._limits.clock()
        self.statistics.arrive(endpoint.name, at_s)
        hits: Hits | None = None
        try:
            if not endpoint.is_open:
                self._admit(request, endpoint, at_s)
            call = await self._call(request, version)
            hits = self._faults.on(request, endpoint, call.body)
            self._refuse(hits)
            answer = hits.changed(endpoint.handler(call), call)
        except Refusal as refusal:
            answer = Answer(refusal.body, refusal.status)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        response = self._response(request, endpoint, answer)
        response.headers["Date"] = format_datetime(self._portal.now, usegmt=True)
        if hits:
            response = hits.sent(response)
        self.statistics.arrivals.append(
            Arrival(at_s, endpoint.name, _object_type(request), response.status_code)
        )
        return response

    def daily_usage(self, _: Call) -> Answer:
        """How much of the day's limit is used."""
        return Answer(account.daily_usage(self._limits))

    async def _call(self, request: Request, version: str) -> Call:
        return Call(
            portal=self._portal,
            variants=self._variants,
            version=version,
            path=request.path_params,
            query=request.query_params,
            body=await request.body(),
        )

    def _admit(self, request: Request, endpoint: Endpoint, at_s: float) -> None:
        self._check_token(request, at_s)
        policy = self._limits.refusal(is_search=endpoint.is_search, at_s=at_s)
        if policy:
            self.statistics.refused[policy] += 1
            raise too_many(policy)
        if not self._scopes.intersection(endpoint.opened_by(request)):
            named = list(endpoint.named_scopes(request))
            raise missing_scopes(named, self._variants.missing_scopes)
        if not _is_json(request):
            raise Refusal(415, "Unsupported Media Type")

    def _check_token(self, request: Request, at_s: float) -> None:
        token = _token(request)
        if self._oauth.has_issued(token):
            self._oauth.check(token, at_s)
        elif not token or self._token not in {None, token}:
            raise Refusal(401, _NO_CREDENTIALS, category="INVALID_AUTHENTICATION")

    def _refuse(self, hits: Hits) -> None:
        if hits.policy:
            self.statistics.refused[hits.policy] += 1
        hits.refuse()

    def _response(self, request: Request, endpoint: Endpoint, answer: Answer) -> Response:
        if answer.status == UNSUPPORTED_MEDIA:
            is_html = self._variants.unsupported_media_body == "html"
            return html_page(UNSUPPORTED_MEDIA) if is_html else Response(status_code=answer.status)
        reference = correlation_id()
        body = answer.body
        headers = {"Content-Type": _JSON, "X-HubSpot-Correlation-Id": reference}
        if not endpoint.is_open:
            headers |= self._limits.headers(
                is_search=endpoint.is_search, is_oauth=self._oauth.has_issued(_token(request))
            )
        if answer.status == TOO_MANY and self._variants.retry_after is not None:
            headers["Retry-After"] = str(self._variants.retry_after)
        if isinstance(body, dict) and body.get("status") == "error":
            is_usual = self._variants.error_fields == "usual"
            body = (
                {**body, "correlationId": reference} if is_usual else {"message": body["message"]}
            )
        return Response(msgspec.json.encode(body), answer.status, headers)


def too_many(policy: str) -> Refusal:
    """429 in the body that each limit has; they differ in more than the message."""
    if policy == "SECONDLY":
        return Refusal(TOO_MANY, "You have reached your secondly limit.", category="RATE_LIMITS")
    if policy == "DAILY":
        return Refusal(
            TOO_MANY,
            "You have reached your daily limit.",
            errorType="RATE_LIMIT",
            policyName=policy,
            requestId=correlation_id(),
        )
    return Refusal(
        TOO_MANY,
        "You have reached your ten_secondly_rolling limit.",
        errorType="RATE_LIMIT",
        policyName=policy,
        groupName="publicapi:private_app-api-calls-ten-secondly:1512050:26892217",
    )


def missing_scopes(scopes: list[str], shape: Literal["errors", "context"]) -> Refusal:
    """403 in either of the shapes in which HubSpot names the scopes."""
    required = "One or more of the following scopes are required."
    if shape == "context":
        context = {"requiredGranularScopes": scopes, "links": [_SCOPES_PAGE]}
        return Refusal(403, required, context=context, category="MISSING_SCOPES")
    return Refusal(
        403,
        "This app hasn't been granted all required scopes to make this call. "
        f"Read more about required scopes here: {_SCOPES_PAGE}.",
        errors=[{"message": required, "context": {"requiredGranularScopes": scopes}}],
        links={"scopes": _SCOPES_PAGE},
        category="MISSING_SCOPES",
    )


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "application/json")
    return request.method != "POST" or kind.lower().startswith("application/json")


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _object_type(request: Request) -> str:
    named = str(request.path_params.get("object_type", ""))
    return object_type_of(named, or_singular=True) or named


def _kind(request: Request) -> ObjectKind:
    """The object type in the path; where there is none that is known, it does not matter."""
    return OBJECT_KINDS.get(_object_type(request), OBJECT_KINDS["contacts"])


def html_page(status: int) -> Response:
    """An error as HubSpot's front door gives it: a page, not JSON."""
    page = f"<html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"
    return HTMLResponse(page, status, headers={"CF-Ray": "9a0b1c2d3e4f5a6b-FRA"})
