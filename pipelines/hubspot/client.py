"""HubSpot's endpoints as methods: limits kept, failures repeated, errors named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from pipelines.errors import DailyLimitError, HubSpotError, TerminalError
from pipelines.hubspot import decode
from pipelines.hubspot.retry import RetryPolicy
from pipelines.hubspot.send import Exchange, Sender, Usage
from pipelines.hubspot.transport import open_http

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipelines.hubspot.auth import Token
    from pipelines.hubspot.limits import Limits
    from pipelines.hubspot.paths import Paths
    from pipelines.hubspot.transport import AiohttpTransport
    from pipelines.hubspot.wire import (
        AccountDetails,
        BatchEnvelope,
        DailyUsage,
        ListPage,
        SearchPage,
    )

__all__ = ["BatchAnswer", "HubSpotClient", "Usage", "open_http"]

MAX_BATCH_READ = 100
MAX_BATCH_READ_WITH_HISTORY = 50
MAX_LIST_PAGE = 100
MAX_SEARCH_PAGE = 200
USAGE_S = 5.0  # for the use of the day's quota, which no run waits for

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """One answer to batch/read, 200 and 207 alike.

    `body` is the JSON as received, for reading the records' values by column;
    `ids` are theirs, in the order of the answer. `requested_at` is when
    the first attempt was sent, in UTC; `duration_ms` is from then to the answer.
    """

    envelope: BatchEnvelope
    body: bytes
    ids: list[str]
    http_status: int
    correlation_id: str | None
    attempts: int
    duration_ms: int
    requested_at: datetime

    def __repr__(self) -> str:
        return f"<BatchAnswer {self.http_status} {self.envelope.status}, {len(self.body)} bytes>"


class HubSpotClient:
    """HubSpot's CRM endpoints, one method each.

    Every method waits for its place in the limits, repeats what may succeed
    when sent again, and raises:

        TransientError: No good answer within the bounds of `retry`.
        DailyLimitError: The quota of the day is used up, or all but the reserve.
        AuthError: 401 and 403; the message names the setting or the scopes.
        HubSpotError: Sign-in by OAuth got no good answer within the same bounds.
        TerminalError: Any other 4xx, or an answer that is not HubSpot's.

    Args:
        http: As `open_http` makes it; the caller closes it.
        token: Asked before each request, so it may change; asked for another when refused.
        limits: Shared by all clients that use the same token.
        paths: Of the API version to use.
        retry: Bounds of the repeats of each request.
    """

    def __init__(
        self,
        http: AiohttpTransport,
        *,
        token: Token,
        limits: Limits,
        paths: Paths,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._limits = limits
        self._paths = paths
        self._retry = retry or RetryPolicy()
        self._sender = Sender(
            http, token=token, limits=limits, retry=self._retry, account=self.account
        )

    @property
    def usage(self) -> Usage:
        """What this client has sent so far."""
        return self._sender.usage

    @property
    def server_time(self) -> datetime | None:
        """What HubSpot's clock showed with the latest answer, to the second, UTC; None: unknown."""
        try:
            at = parsedate_to_datetime(self._sender.date or "")
        except ValueError:
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    @property
    def base_url(self) -> str:
        """Where it asks, without what may stand before the host to sign in."""
        return self._sender.base_url

    @property
    def version(self) -> str:
        """The version of the API that it asks."""
        return self._paths.version

    def __repr__(self) -> str:
        return f"<HubSpotClient {self._sender.base_url} {self._paths.version}>"

    async def batch_read(
        self,
        object_type: str,
        ids: Sequence[str],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        retry: RetryPolicy | None = None,
    ) -> BatchAnswer:
        """Read records by id.

        HubSpot answers 207 when it has some of the ids only. Which ones is for
        the caller to find out, by comparing what came back with what was asked.

        Args:
            object_type: Plural, as in the URL: "contacts" or "calls".
            ids: At most 100, with histories at most 50; no id twice.
            properties: Names; HubSpot ignores the ones it does not know.
            properties_with_history: Names, for values with all their changes.
            id_property: The unique property that `ids` are values of.
            archived: Read archived records only, instead of live ones only.
            retry: Other bounds than those of the client.

        Raises:
            ValueError: No ids, too many, or one of them twice.
        """
        _check_ids(ids, history=bool(properties_with_history))
        body: dict[str, object] = {"inputs": [{"id": record_id} for record_id in ids]}
        if properties:
            body["properties"] = properties
        if properties_with_history:
            body["propertiesWithHistory"] = properties_with_history
        if id_property:
            body["idProperty"] = id_property
        path = self._paths.batch_read(object_type) + ("?archived=true" if archived else "")
        content = msgspec.json.encode(body)
        exchange = Exchange("POST", path, self._limits.main, content, retry=retry)
        try:
            envelope, answer, attempts = await self._sender.send(exchange, decode.batch_envelope)
        except HubSpotError as failure:
            failure.attempts, failure.requested_at = exchange.attempts, exchange.requested_at
            failure.duration_ms = self._duration_ms(exchange)
            raise
        return BatchAnswer(
            envelope=envelope,
            body=answer.body,
            ids=[str(record.id) for record in envelope.results],
            http_status=answer.status,
            correlation_id=answer.correlation_id,
            attempts=attempts,
            duration_ms=self._duration_ms(exchange),
            requested_at=exchange.requested_at or datetime.now(UTC),
        )

    async def list_page(
        self,
        object_type: str,
        *,
        after: str | None = None,
        archived: bool = False,
        limit: int = MAX_LIST_PAGE,
        properties: Sequence[str] = (),
    ) -> ListPage:
        """Ids in ascending order, and the token of the next page.

        `after` may be any id: the page starts with the first id that is not lower.
        """
        query = {"limit": str(limit), "archived": "true" if archived else "false"}
        if after is not None:
            query["after"] = after
        if properties:
            query["properties"] = ",".join(properties)
        return await self._get(
            f"{self._paths.objects(object_type)}?{urlencode(query)}", decode.list_page
        )

    async def search(self, object_type: str, body: Mapping[str, object]) -> SearchPage:
        """Ids of the records that match, and how many do; `body` is sent as it is."""
        exchange = Exchange(
            "POST", self._paths.search(object_type), self._limits.search, msgspec.json.encode(body)
        )
        page, _, _ = await self._sender.send(exchange, decode.search_page)
        return page

    async def properties(self, object_type: str, *, archived: bool = False) -> list[dict[str, Any]]:
        """Property definitions, as HubSpot sends them."""
        query = "?archived=true" if archived else ""
        return await self._get(self._paths.properties(object_type) + query, decode.properties)

    async def account(self) -> AccountDetails:
        """The account behind the token."""
        exchange = Exchange("GET", self._paths.account(), self._limits.main, is_spare=True)
        details, _, _ = await self._sender.send(exchange, decode.account)
        return details

    async def daily_usage(self) -> list[DailyUsage]:
        """What private apps have used of each daily quota; some minutes old."""
        return await self._get(self._paths.daily_usage(), decode.daily_usage)

    async def watch_quota(self) -> None:
        """Learn of the day's quota where answers do not tell it; asks every 5 minutes at most."""
        if not self._limits.day.is_due():
            return
        usages: list[DailyUsage] | None = []
        try:
            async with asyncio.timeout(USAGE_S):
                usages = await self.daily_usage()
        except DailyLimitError:
            raise
        except TerminalError:
            usages = None  # not for this token, or not in this account: never again
        except (HubSpotError, TimeoutError):
            pass  # later perhaps
        self._limits.day.asked(usages)

    def retry_within(self, *, attempts: int, total_s: float) -> RetryPolicy:
        """The bounds of this client's repeats, made tighter."""
        return replace(
            self._retry,
            attempts=min(attempts, self._retry.attempts),
            total_s=min(total_s, self._retry.total_s),
        )

    async def pause(self, seconds: float) -> None:
        """Wait, by the clock of the repeats."""
        await self._retry.sleep(seconds)

    def _duration_ms(self, exchange: Exchange) -> int:
        return round((self._retry.clock() - exchange.sent_at) * 1000)

    async def _get(self, path: str, parse: Callable[[bytes], T]) -> T:
        parsed, _, _ = await self._sender.send(Exchange("GET", path, self._limits.main), parse)
        return parsed


def _check_ids(ids: Sequence[str], *, history: bool) -> None:
    most = MAX_BATCH_READ_WITH_HISTORY if history else MAX_BATCH_READ
    if not 0 < len(ids) <= most:
        raise ValueError(f"batch/read takes 1 to {most} ids, not {len(ids)}")
    if len(set(ids)) < len(ids):
        raise ValueError("batch/read takes each id once")
