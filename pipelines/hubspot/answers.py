"""Which error an answer is, with everything HubSpot said about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import httpx
import msgspec

from pipelines.errors import (
    AuthError,
    DailyLimitError,
    HubSpotError,
    TerminalError,
    TransientError,
)
from pipelines.hubspot import decode
from pipelines.hubspot.auth import (
    BY_OAUTH,
    BY_TOKEN,
    CLIENT_ID_SETTING,
    CLIENT_SECRET_SETTING,
    REFRESH_TOKEN_SETTING,
    SignIn,
)
from pipelines.hubspot.retry import LOCKED, TOO_MANY_REQUESTS, retry_after_s
from pipelines.hubspot.wire import ErrorBody

if TYPE_CHECKING:
    from collections.abc import Mapping

UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
MIGRATING = 477  # the account is moving between data centres
BAD_TOKEN_FORMAT = 530  # as Cloudflare says "origin unknown", so repeated before it is believed

URL_SETTING = "sources.hubspot.base_url"
VERSION_SETTING = "sources.hubspot.api_version"

UNREACHABLE = "UNREACHABLE"
QUOTED_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, with as much of its request as an error message needs.

    `headers` are named in lower case, `request` is method and path, `base_url`
    is where it went. `body` is kept out of the repr: it holds personal data.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: str
    base_url: str

    @classmethod
    def of(cls, response: httpx.Response, request: str, base_url: str) -> Answer:
        """What came back to `request`."""
        headers = {
            name.lower().decode("latin-1"): value.decode("latin-1")
            for name, value in response.headers.raw
        }
        return cls(response.status_code, headers, response.content, request, base_url)

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.request}, {len(self.body)} bytes>"

    def without(self, *secrets: str) -> Answer:
        """The same, to be quoted: lest the server has echoed what was sent."""
        body = self.body
        for secret in filter(None, secrets):
            for form in (json.dumps(secret)[1:-1], secret, quote_plus(secret)):
                body = body.replace(form.encode(), b"***")
        return replace(self, body=body)

    @property
    def ok(self) -> bool:
        """Any 2xx."""
        return 200 <= self.status < 300

    @property
    def correlation_id(self) -> str | None:
        """HubSpot's name for this request, to quote to its support."""
        return self.headers.get("x-hubspot-correlation-id")

    @property
    def content_type(self) -> str:
        """As the header says; may be empty."""
        return self.headers.get("content-type", "")

    @property
    def is_html(self) -> bool:
        """By header or first character: not every proxy names the type."""
        return "html" in self.content_type.lower() or self.body[:64].lstrip().startswith(b"<")


def no_answer(exc: httpx.HTTPError, request: str, base_url: str) -> HubSpotError:
    """The error for a request that got no whole answer."""
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return TransientError(
            f"cannot reach {base_url}: {exc}; check the network, or set {URL_SETTING}",
            category=UNREACHABLE,
        )
    if isinstance(exc, httpx.UnsupportedProtocol):
        return TerminalError(f"{exc}: set {URL_SETTING}")
    category = "TIMEOUT" if isinstance(exc, httpx.TimeoutException) else "CONNECTION_LOST"
    return TransientError(f"no whole answer to {request} from {base_url}: {exc}", category=category)


def unreadable(answer: Answer, why: str) -> HubSpotError:
    """The error for a 2xx that is not what the endpoint answers with.

    HTML means that somebody else answered. Anything else was most likely cut
    off on the way, so it is worth another try; it may hold personal data, so it
    is not quoted.
    """
    if answer.is_html:
        return _not_hubspot(answer)
    return TransientError(
        f"HubSpot answered {answer.status} to {answer.request} with a body that cannot be read: "
        f"{why} ({len(answer.body)} bytes of {answer.content_type or 'no type'})",
        http_status=answer.status,
        category="MALFORMED_RESPONSE",
        correlation_id=answer.correlation_id,
    )


def refusal(answer: Answer, sign_in: SignIn = BY_TOKEN) -> HubSpotError:
    """The error for an answer that is not 2xx."""
    said = decode.error_body(answer.body)
    kind = _kind(answer, said)
    if said is None and kind is TerminalError and (answer.is_html or answer.status < 400):
        return _not_hubspot(answer)
    said = said or ErrorBody()
    error = kind(
        _message(kind, answer, said, sign_in),
        http_status=answer.status,
        category=said.category or said.error_type or f"HTTP_{answer.status}",
        sub_category=_sub_category(said),
        correlation_id=said.correlation_id or answer.correlation_id,
        context=said.details() or None,
    )
    if isinstance(error, TransientError):
        error.retry_after = retry_after_s(answer.headers)
    return error


_REMEDIES = {
    "BAD_CLIENT_ID": f"set {CLIENT_ID_SETTING} to the client id of the app",
    "BAD_CLIENT_SECRET": f"set {CLIENT_SECRET_SETTING} to the client secret of the app",
    "BAD_REFRESH_TOKEN": BY_OAUTH.remedy,
    "invalid_client": f"check {CLIENT_ID_SETTING} and {CLIENT_SECRET_SETTING}",
    "invalid_grant": BY_OAUTH.remedy,
}
_CHECK_ALL = f"check {CLIENT_ID_SETTING}, {CLIENT_SECRET_SETTING} and {REFRESH_TOKEN_SETTING}"


def sign_in_refusal(answer: Answer) -> HubSpotError:
    """The error for an answer to a sign-in by OAuth that is not 2xx.

    Any 4xx in JSON that is not worth repeating is about the credentials.
    """
    error = refusal(answer, BY_OAUTH)
    said = decode.error_body(answer.body)
    if said is None or not isinstance(error, TerminalError):
        return error
    codes = [code for code in (said.status, said.error) if code and code != "error"]
    words = one_line(said.message or said.error_description or "") or "no reason given"
    remedy = next((_REMEDIES[code] for code in codes if code in _REMEDIES), _CHECK_ALL)
    category = codes[0] if codes else error.category
    return AuthError(
        f"HubSpot refused to sign in: {words} ({category}); {remedy}",
        http_status=answer.status,
        category=category,
        sub_category=error.sub_category,
        correlation_id=error.correlation_id,
        context=error.context,
    )


def _kind(answer: Answer, said: ErrorBody | None) -> type[HubSpotError]:
    status = answer.status
    if status in (UNAUTHORIZED, FORBIDDEN):
        return AuthError
    if status == TOO_MANY_REQUESTS and _is_daily(answer, said):
        return DailyLimitError
    if status in (LOCKED, TOO_MANY_REQUESTS, MIGRATING) or status >= 500:
        return TransientError
    return TerminalError


def _is_daily(answer: Answer, said: ErrorBody | None) -> bool:
    policy = (said.policy_name or "") if said else ""
    return policy.upper() == "DAILY" or (
        answer.headers.get("x-hubspot-ratelimit-daily-remaining") == "0"
    )


def _message(kind: type[HubSpotError], answer: Answer, said: ErrorBody, sign_in: SignIn) -> str:
    words = one_line(said.message or answer.body.decode(errors="replace")) or "no reason given"
    if kind is DailyLimitError:
        return (
            f"the account's HubSpot quota for the day is used up ({words}); it resets at "
            "midnight in the account's time zone: run the same command again after that"
        )
    if answer.status == UNAUTHORIZED:
        return f"HubSpot refused the token: {words}; {sign_in.remedy}"
    if answer.status == FORBIDDEN:
        scopes = said.required_scopes()
        needed = f"scopes {', '.join(scopes)}" if scopes else "scopes it names"
        return (
            f"HubSpot refused {answer.request}: {words}; grant the {needed} to {sign_in.grant_to}"
        )
    hint = (
        f"; is the token in {sign_in.setting} whole?" if answer.status == BAD_TOKEN_FORMAT else ""
    )
    correlation_id = said.correlation_id or answer.correlation_id
    name = f" (correlation id {correlation_id})" if correlation_id else ""
    category = f" {said.category}" if said.category else ""
    return f"HubSpot answered {answer.status}{category} to {answer.request}: {words}{name}{hint}"


def _not_hubspot(answer: Answer) -> TerminalError:
    kind = "HTML" if answer.is_html else f"{answer.status}"
    # HubSpot itself answers a page where it has no such path, as of a version it has retired.
    is_path_unknown = answer.status == NOT_FOUND
    settings = f"{URL_SETTING}, or {VERSION_SETTING}" if is_path_unknown else URL_SETTING
    return TerminalError(
        f"the base URL {answer.base_url} answered {kind}, not HubSpot JSON, "
        f"to {answer.request}: set {settings}",
        http_status=answer.status,
        category=f"HTTP_{answer.status}",
        correlation_id=answer.correlation_id,
        context={"body": one_line(answer.body.decode(errors="replace"))},
    )


def _sub_category(said: ErrorBody) -> str | None:
    value = said.sub_category
    if not value or isinstance(value, str):
        return value or None
    return msgspec.json.encode(value).decode()


def one_line(text: str) -> str:
    """The first characters of `text`, without line breaks."""
    return " ".join(text[: 4 * QUOTED_CHARACTERS].split())[:QUOTED_CHARACTERS]
