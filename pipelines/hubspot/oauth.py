"""Sign-in by OAuth: access tokens that live for minutes, fetched with a refresh token.

Not authlib nor oauthlib: of what they do, one form to one address is needed here, and
what matters, one request for all who wait, repeats and errors by our rules, they leave open.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import httpx

from pipelines.errors import AuthError, DailyLimitError, HubSpotError, TransientError
from pipelines.hubspot import answers, decode
from pipelines.hubspot.answers import Answer
from pipelines.hubspot.auth import BY_OAUTH, Bearer, StaticToken, unsendable
from pipelines.hubspot.retry import TOO_MANY_REQUESTS, RetryPolicy, repeat
from pipelines.hubspot.send import Usage

if TYPE_CHECKING:
    from pipelines.hubspot.auth import OAuthCredentials, Token
    from pipelines.hubspot.paths import Paths
    from pipelines.hubspot.transport import AiohttpTransport
    from pipelines.hubspot.wire import IssuedToken

LIFE_S: Final = 1800.0
"""How long a token lives of which HubSpot does not say it."""
LONGEST_LIFE_S: Final = 86_400
USED_SHARE: Final = 5 / 6
"""The part of its life that a token is used for: 25 minutes of 30."""


def token_for(
    http: AiohttpTransport, *, access_token: str, oauth: OAuthCredentials | None, paths: Paths
) -> Token:
    """The token of a client: by OAuth where there are credentials, else the one given.

    Raises:
        ConfigError: The token given cannot be sent.
    """
    if oauth is None:
        return StaticToken(access_token)
    return OAuthToken(http, oauth, path=paths.token())


class OAuthToken:
    """Access tokens of an app, each used for five sixths of its life.

    The first request that needs one fetches it, and all others wait for that one answer.
    A failed fetch is repeated as other requests are; what it ends with is raised for the
    rest of the run. Fetches take no place in the limits, which are about requests for data.

    Args:
        http: Goes to the host of the API; the caller closes it.
        credentials: Another refresh token that HubSpot answers with replaces theirs.
        path: Of the token endpoint.
        retry: Bounds of the repeats, and the clock that tokens age by.
    """

    sign_in: Final = BY_OAUTH

    def __init__(
        self,
        http: AiohttpTransport,
        credentials: OAuthCredentials,
        *,
        path: str,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._http = http
        self._form = {"grant_type": "refresh_token", **asdict(credentials)}
        self._path = path
        self._retry = retry or RetryPolicy()
        self._turn = asyncio.Lock()
        self._bearer: Bearer | None = None
        self._use_until = 0.0
        self._failure: HubSpotError | None = None
        self._usage = Usage()

    def __repr__(self) -> str:
        return "OAuthToken('***')"

    def counted_in(self, usage: Usage) -> None:
        """Count there, from now on, what is sent in order to fetch tokens."""
        self._usage = usage

    async def bearer(self) -> Bearer:
        """The present token, or a new one when its time is nearly over.

        Raises:
            AuthError: HubSpot refuses the credentials; the message names the setting.
            DailyLimitError: The quota of the day is used up.
            HubSpotError: No good answer within the bounds of `retry`.
        """
        bearer = self._bearer
        if bearer is None or self._retry.clock() >= self._use_until:
            bearer = await self.renewed(bearer)
        return bearer

    async def renewed(self, refused: Bearer | None) -> Bearer:
        """A newer token than this; raises as `bearer` does.

        Who was refused with an older token than the present one gets the present one.
        """
        async with self._turn:
            if self._bearer is None or self._bearer is refused:
                self._bearer = await self._fetch()
            return self._bearer

    async def _fetch(self) -> Bearer:
        if self._failure is not None:
            raise self._failure
        asked_at = self._retry.clock()
        try:
            issued, _ = await repeat(
                self._ask, self._retry, bounds=self._bounds, on_wait=self._usage.count_wait
            )
        except (AuthError, DailyLimitError) as error:
            self._failure = error
            raise
        except HubSpotError as error:
            self._failure = _final(error)
            raise self._failure from error
        if issued.refresh_token:
            self._form["refresh_token"] = issued.refresh_token
        life_s = min(issued.expires_in or 0, LONGEST_LIFE_S)
        self._use_until = asked_at + (life_s if life_s > 0 else LIFE_S) * USED_SHARE
        return Bearer(issued.access_token.strip())

    async def _ask(self) -> IssuedToken:
        """One request, sent once."""
        answer = await self._answer()
        if not answer.ok:
            raise answers.sign_in_refusal(answer)
        why: str | None
        try:
            issued = decode.issued_token(answer.body)
            why = unsendable(issued.access_token)
        except decode.UnreadableError as exc:
            why = str(exc)
        # Outside `except`: what is raised there keeps the frames that hold the token.
        if why is not None:
            raise answers.unreadable(answer, why)
        return issued

    async def _answer(self) -> Answer:
        base_url = str(self._http.base_url.copy_with(username=None, password=None)).rstrip("/")
        name = f"POST {self._path}"
        request = httpx.Request(
            "POST",
            base_url + self._path,
            # In one expression: a traceback that shows locals shows no secret.
            content=urlencode(self._form).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        self._usage.requests += 1
        try:
            response = await self._http.handle_async_request(request)
        except httpx.HTTPError as exc:
            raise answers.no_answer(exc, name, base_url) from exc
        answer = Answer.of(response, name, base_url)
        self._usage.rate_limited += answer.status == TOO_MANY_REQUESTS
        if answer.ok and not answer.is_html:
            return answer
        # No local of its own for any of them, for the same reason.
        return answer.without(*self._secrets())

    def _secrets(self) -> list[str]:
        sent = [text for key, text in self._form.items() if key != "grant_type"]
        return [*sent, self._bearer.value] if self._bearer else sent

    def _bounds(self, error: TransientError) -> RetryPolicy:
        first = error.category == answers.UNREACHABLE and self._bearer is None
        return self._retry.first_contact() if first else self._retry


def _final(error: HubSpotError) -> HubSpotError:
    """An error that nobody repeats, or takes for the fault of the records asked for."""
    return HubSpotError(
        f"cannot sign in: {error}",
        http_status=error.http_status,
        category=error.category,
        sub_category=error.sub_category,
        correlation_id=error.correlation_id,
        context=error.context,
    )
