"""One request through limits, retries and the judgement of its answer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import httpx

from pipelines.errors import DailyLimitError, HubSpotError, TransientError
from pipelines.hubspot import answers, decode
from pipelines.hubspot.answers import UNAUTHORIZED, UNREACHABLE, Answer
from pipelines.hubspot.quota import ReserveReachedError
from pipelines.hubspot.retry import TOO_MANY_REQUESTS, RetryPolicy, repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipelines.hubspot.auth import Bearer, Token
    from pipelines.hubspot.limits import Limits, RollingWindow
    from pipelines.hubspot.transport import AiohttpTransport
    from pipelines.hubspot.wire import AccountDetails

ZONE_S = 5.0  # for the account's time zone, which only a message needs
T = TypeVar("T")


@dataclass(slots=True)
class Usage:
    """What a client has sent so far; `waited_s` is the sum of the waits before repeats."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    waited_s: float = 0.0

    def count_wait(self, wait_s: float) -> None:
        """Count a repeat, after a wait of so many seconds."""
        self.retries += 1
        self.waited_s += wait_s


@dataclass(slots=True)
class Exchange:
    """One request through all its attempts."""

    method: str
    path: str
    window: RollingWindow
    content: bytes | None = None
    retry: RetryPolicy | None = None  # None: that of the client
    is_spare: bool = False  # of the day's quota; see `DailyQuota.count`
    requested_at: datetime | None = None
    sent_at: float = 0.0
    queued_s: float = 0.0  # spent on waiting for places in the window
    attempts: int = 0

    @property
    def name(self) -> str:
        """Method and path, for messages."""
        return f"{self.method} {self.path.partition('?')[0]}"


class Sender:
    """Sends requests for `HubSpotClient`, which says what it raises."""

    def __init__(
        self,
        http: AiohttpTransport,
        *,
        token: Token,
        limits: Limits,
        retry: RetryPolicy,
        account: Callable[[], Awaitable[AccountDetails]],
    ) -> None:
        self._http = http
        self._token = token
        self._limits = limits
        self._retry = retry
        self._first_contact = retry.first_contact()
        self._reached = False
        self._ask_account = account
        self._account: AccountDetails | None = None
        self._asking = asyncio.Lock()
        self._is_asked = False
        self.base_url = str(http.base_url.copy_with(username=None, password=None)).rstrip("/")
        self.usage = Usage()
        self.date: str | None = None  # the header of the latest answer
        token.counted_in(self.usage)

    async def send(self, exchange: Exchange, parse: Callable[[bytes], T]) -> tuple[T, Answer, int]:
        """The parsed body, its answer, and the number of attempts that took.

        A 2xx that `parse` cannot read is an attempt that failed, like a 5xx.
        """

        async def attempt() -> tuple[T, Answer]:
            try:
                answer = await self._signed_in(exchange)
            except ReserveReachedError:
                raise DailyLimitError(await self._reserve_reached(exchange)) from None
            if not answer.ok:
                raise answers.refusal(answer, self._token.sign_in)
            try:
                return parse(answer.body), answer
            except decode.UnreadableError as exc:
                raise answers.unreadable(answer, str(exc)) from None

        (parsed, answer), attempts = await repeat(
            attempt,
            self._retry,
            bounds=lambda error: self._bounds(error, exchange),
            on_wait=self.usage.count_wait,
            queued_s=lambda: exchange.queued_s,
        )
        return parsed, answer, attempts

    async def _signed_in(self, exchange: Exchange) -> Answer:
        """One request, sent again at once where its token was refused and there is a newer one."""
        bearer = await self._token.bearer()
        answer = await self._answer(exchange, bearer)
        if answer.status == UNAUTHORIZED:
            newer = await self._token.renewed(bearer)
            if newer is not None:
                return await self._answer(exchange, newer)
        return answer

    async def _answer(self, exchange: Exchange, bearer: Bearer) -> Answer:
        """One request, sent once."""
        request = httpx.Request(
            exchange.method,
            self.base_url + exchange.path,
            content=exchange.content,
            headers={
                "content-type": "application/json",
                "authorization": bearer.header,
            },
        )
        window, day = exchange.window, self._limits.day
        queued_at = self._retry.clock()
        async with window.slot() as slot:
            exchange.queued_s += self._retry.clock() - queued_at
            day.count(is_spare=exchange.is_spare)
            self._count_request(exchange)
            try:
                response = await self._http.handle_async_request(request)
            except httpx.HTTPError as exc:
                raise answers.no_answer(exc, exchange.name, self.base_url) from exc
            finally:
                day.uncount()
        self._reached = True
        answer = Answer.of(response, exchange.name, self.base_url)
        self.date = answer.headers.get("date", self.date)
        self._limits.observe(answer.headers, slot if window is self._limits.main else None)
        if answer.status == TOO_MANY_REQUESTS:
            self.usage.rate_limited += 1
            window.slow_down()
        return answer if answer.ok and not answer.is_html else answer.without(bearer.value)

    async def _reserve_reached(self, exchange: Exchange) -> str:
        """What to say; the first to ask finds out the account's time zone for all."""
        if not exchange.is_spare:  # or it is this very question that went too far
            async with self._asking:
                if not self._is_asked:
                    self._is_asked = True
                    with contextlib.suppress(HubSpotError, TimeoutError):
                        async with asyncio.timeout(ZONE_S):
                            self._account = await self._ask_account()
        return self._limits.day.reached(self._account)

    def _bounds(self, error: TransientError, exchange: Exchange) -> RetryPolicy:
        first = error.category == UNREACHABLE and not self._reached
        return self._first_contact if first else exchange.retry or self._retry

    def _count_request(self, exchange: Exchange) -> None:
        self.usage.requests += 1
        exchange.attempts += 1
        if exchange.requested_at is None:
            exchange.requested_at = datetime.now(UTC)
            exchange.sent_at = self._retry.clock()
