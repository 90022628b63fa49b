"""Ids into records through batch/read, with every id accounted for.

Accounting is by set, never by position or count: HubSpot answers in its own
order, leaves ids out, answers some under another id, and counts entries of
`errors` rather than ids.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipelines.discovery import IdPage
from pipelines.errors import (
    AuthError,
    DailyLimitError,
    HubSpotError,
    IncompleteError,
    TerminalError,
)
from pipelines.hubspot.client import BatchAnswer, HubSpotClient
from pipelines.ledger import BatchRow, ErrorRow

MERGE_PROPERTIES = ("hs_merged_object_ids", "hs_calculated_merged_vids", "hs_all_contact_vids")
"""Where HubSpot names the records that were merged into this one."""

_COMPLETE = "COMPLETE"


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one page of ids. Every id asked for is in exactly one of the last three."""

    page: IdPage
    answers: tuple[bytes, ...]  # as HubSpot sent them; emptied once they are typed
    requests: tuple[BatchRow, ...]
    unasked: frozenset[str]  # ids in `answers` that were not asked for, merged ones among them
    loaded: frozenset[str]  # asked for, and in `answers` under this id
    aliases: dict[str, str]  # asked for, and answered under another id
    errors: tuple[ErrorRow, ...]  # asked for, and not to be had; one row per id

    def check(self) -> None:
        """Hold the sums against the ids asked for.

        Raises:
            IncompleteError: An id is in none of the three, or in two.
        """
        asked = set(self.page.ids)
        failed = {row.object_id for row in self.errors}
        parts = (self.loaded, self.aliases.keys(), failed)
        if asked != set().union(*parts) or len(asked) != sum(map(len, parts)):
            raise IncompleteError(
                f"{len(asked)} ids were asked for, but {len(self.loaded)} loaded, "
                f"{len(self.aliases)} merged and {len(failed)} failed do not add up to them; "
                "run the same command again, and report this if it comes back"
            )


class _Record(msgspec.Struct):
    id: str | int
    properties: Any = None


class _Records(msgspec.Struct):
    results: list[_Record]


_MERGED = msgspec.json.Decoder(_Records)


@dataclass(slots=True)
class _Tally:
    """A `Batch` in the making."""

    missing: set[str]
    answers: list[bytes] = field(default_factory=list)
    requests: list[BatchRow] = field(default_factory=list)
    unasked: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    errors: dict[str, ErrorRow] = field(default_factory=dict)

    def take(self, answer: BatchAnswer, asked: Iterable[str]) -> None:
        """Book what came back for these ids; what did not stays in `missing`."""
        returned = set(answer.ids)
        self.answers.append(answer.body)
        found = returned & self.missing
        self.loaded |= found
        self.missing -= found
        self.unasked |= returned.difference(asked)
        if self.missing:
            self._follow_merges(answer)

    def _follow_merges(self, answer: BatchAnswer) -> None:
        """Ids that a returned record says were merged into it. Only read when ids are missing."""
        try:
            records = _MERGED.decode(answer.body).results
        except msgspec.DecodeError:
            return  # an odd answer names no merges; its ids are looked for one by one
        for record in records:
            for old_id in _merged_ids(record.properties) & self.missing:
                self.aliases[old_id] = str(record.id)
        self.missing -= self.aliases.keys()

    def fail(self, rows: Iterable[ErrorRow]) -> None:
        for row in rows:
            if row.object_id in self.missing:
                self.errors[row.object_id] = row
        self.missing -= self.errors.keys()


class Hydrator:
    """Reads pages of ids of one object type, in one run.

    Args:
        client: Where to ask.
        run_id: Names the run in `batches`.
        object_type: Plural, as in the path.
        properties: HubSpot's names of the properties to read.
    """

    def __init__(
        self, client: HubSpotClient, *, run_id: str, object_type: str, properties: Sequence[str]
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._object_type = object_type
        self._properties = tuple(dict.fromkeys((*properties, *MERGE_PROPERTIES)))
        self._number = itertools.count(1)

    async def read(self, page: IdPage, *, archived: bool = False) -> Batch:
        """The records of one page of ids, with every id accounted for.

        Ids that do not come back are looked for among merged records, then among
        the archived ones (among the live ones, when `archived` ones were asked for),
        before they become rows of `errors`.

        Raises:
            AuthError: No later request could succeed either.
            DailyLimitError: The same, until midnight.
            TransientError: HubSpot did not answer; nothing of this page counts as read.
        """
        tally = _Tally(missing=set(page.ids))
        if page.ids:
            first = await self._ask(tally, page.ids, archived=archived)
            if tally.missing and tally.unasked - set(tally.aliases.values()):
                await self._ask_one_by_one(tally, archived=archived)
            if tally.missing:
                await self._ask(tally, sorted(tally.missing), archived=not archived)
            tally.fail(self._not_found(first, tally.missing))
        batch = Batch(
            page=page,
            answers=tuple(tally.answers),
            requests=tuple(tally.requests),
            unasked=frozenset(tally.unasked),
            loaded=frozenset(tally.loaded),
            aliases=tally.aliases,
            errors=tuple(tally.errors.values()),
        )
        batch.check()
        return batch

    async def _ask(self, tally: _Tally, ids: Sequence[str], *, archived: bool) -> list[BatchAnswer]:
        """One batch/read; one that is refused is split until the bad ids stand alone."""
        try:
            answer = await self._client.batch_read(
                self._object_type, ids, properties=self._properties, archived=archived
            )
        except (AuthError, DailyLimitError):
            raise
        except TerminalError as refusal:
            tally.requests.append(self._refused(refusal, len(ids)))
            if len(ids) == 1:
                tally.fail([self._refused_id(ids[0], refusal)])
                return []
            middle = len(ids) // 2
            return [
                *await self._ask(tally, ids[:middle], archived=archived),
                *await self._ask(tally, ids[middle:], archived=archived),
            ]
        before = len(tally.loaded)
        tally.take(answer, ids)
        tally.requests.append(self._answered(answer, len(ids), len(tally.loaded) - before))
        return [answer]

    async def _ask_one_by_one(self, tally: _Tally, *, archived: bool) -> None:
        """Tell which missing id an unasked record answers, when the record itself does not say.

        An id asked for alone and answered under another id is an alias of that id.
        """
        for old_id in sorted(tally.missing):
            before = set(tally.unasked)
            alone = _Tally(missing={old_id})
            await self._ask(alone, [old_id], archived=archived)
            tally.requests += alone.requests
            if len(alone.unasked) == 1 and alone.unasked <= before:
                tally.aliases[old_id] = next(iter(alone.unasked))
            elif alone.loaded or len(alone.unasked) == 1:
                tally.answers += alone.answers
                tally.loaded |= alone.loaded
                tally.unasked |= alone.unasked
                tally.aliases |= dict.fromkeys(alone.missing, *alone.unasked)
        tally.missing -= tally.aliases.keys() | tally.loaded

    def _not_found(self, answers: Sequence[BatchAnswer], missing: set[str]) -> list[ErrorRow]:
        """Rows for ids that are nowhere, in HubSpot's own words where it has any."""
        last = answers[-1] if answers else None
        stopped = any(answer.envelope.status != _COMPLETE for answer in answers)
        unexplained = ErrorRow(
            object_type=self._object_type,
            stage="read",
            category="BATCH_NOT_COMPLETE" if stopped else "NOT_RETURNED",
            message="HubSpot returned neither this record nor an error for it",
            http_status=last.http_status if last else None,
            correlation_id=last.correlation_id if last else None,
            is_retryable=True,
        )
        said = {
            str(object_id): replace(
                unexplained,
                category=entry.category or "NOT_RETURNED",
                sub_category=_text(entry.sub_category),
                message=entry.message,
                http_status=answer.http_status,
                correlation_id=answer.correlation_id,
                context=entry.details(),
                is_retryable=False,
            )
            for answer in answers
            for entry in answer.envelope.errors
            for object_id in _ids_in(entry.context, entry.id)
        }
        return [
            replace(said.get(object_id, unexplained), object_id=object_id)
            for object_id in sorted(missing)
        ]

    def _refused_id(self, object_id: str, refusal: HubSpotError) -> ErrorRow:
        return ErrorRow(
            object_type=self._object_type,
            stage="read",
            category=refusal.category or f"HTTP_{refusal.http_status}",
            object_id=object_id,
            sub_category=refusal.sub_category,
            message=str(refusal),
            http_status=refusal.http_status,
            correlation_id=refusal.correlation_id,
            context=refusal.context,
        )

    def _answered(self, answer: BatchAnswer, inputs: int, results: int) -> BatchRow:
        envelope = answer.envelope
        return BatchRow(
            batch_id=self._batch_id(),
            run_id=self._run_id,
            object_type=self._object_type,
            endpoint="batch/read",
            http_status=answer.http_status,
            status=envelope.status,
            requested_at=_moment(envelope.requested_at) or answer.requested_at,
            started_at=_moment(envelope.started_at),
            completed_at=_moment(envelope.completed_at),
            inputs=inputs,
            results=results,
            num_errors=envelope.num_errors or 0,
            attempts=answer.attempts,
            duration_ms=answer.duration_ms,
            correlation_id=answer.correlation_id,
        )

    def _refused(self, refusal: HubSpotError, inputs: int) -> BatchRow:
        return BatchRow(
            batch_id=self._batch_id(),
            run_id=self._run_id,
            object_type=self._object_type,
            endpoint="batch/read",
            http_status=refusal.http_status,
            status=None,
            requested_at=datetime.now(UTC),
            started_at=None,
            completed_at=None,
            inputs=inputs,
            results=0,
            num_errors=1,
            attempts=1,
            duration_ms=0,
            correlation_id=refusal.correlation_id,
        )

    def _batch_id(self) -> str:
        return f"{self._run_id}-{next(self._number):06d}"


async def in_order(
    pages: AsyncIterator[IdPage],
    read: Callable[[IdPage], Awaitable[Batch]],
    *,
    concurrency: int,
) -> AsyncIterator[Batch]:
    """What `read` makes of each page, in the order of the pages, `concurrency` at a time."""
    under_way: deque[asyncio.Future[Batch]] = deque()
    try:
        async for page in pages:
            under_way.append(asyncio.ensure_future(read(page)))
            while under_way and (len(under_way) >= concurrency or under_way[0].done()):
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def _merged_ids(properties: object) -> set[str]:
    """Every id a record says was merged into it; some come as `id:epoch ms`."""
    if not isinstance(properties, dict):
        return set()
    texts = (properties.get(name) for name in MERGE_PROPERTIES)
    return {
        item.partition(":")[0]
        for text in texts
        if isinstance(text, str)
        for item in text.split(";")
    }


def _ids_in(context: object, entry_id: str | None) -> set[str]:
    ids = context.get("ids") if isinstance(context, dict) else None
    found = {str(item) for item in ids} if isinstance(ids, list) else set()
    return found | ({entry_id} if entry_id else set())


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
