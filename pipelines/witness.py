"""What HubSpot says of its records: every id it lists, and its answer for ids that are in doubt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import ledger
from pipelines.accounting import Batch
from pipelines.discovery import discovered
from pipelines.errand import CONCURRENCY
from pipelines.errors import AuthError, DailyLimitError, HubSpotError, Interrupted
from pipelines.fetching import CONNECTIONS, limits_of
from pipelines.findings import Answer, Finding, State, is_pending
from pipelines.hubspot.client import HubSpotClient, Usage, open_http
from pipelines.hubspot.oauth import token_for
from pipelines.hubspot.paths import Paths
from pipelines.hubspot.retry import RetryPolicy
from pipelines.hydrate import Hydrator
from pipelines.idfiles import FOUND, LISTED, MOMENT, PART_IDS, found_row, suspects_in
from pipelines.idpages import IdPage, IdSequence, number_of
from pipelines.keyset import Searching
from pipelines.ledger import BatchRow
from pipelines.progress import Counters
from pipelines.settings import Settings
from pipelines.stream import in_order, unless
from pipelines.verdicts import answers_in, moment

T = TypeVar("T")

SEARCH_S: Final = 20.0  # for its count, which is worth no longer wait
_GREATEST: Final = 2**63 - 1  # of a BIGINT


@dataclass(slots=True)
class Listed:
    """What came beside the ids. `total` is search's count of live records, if it has one."""

    total: int | None = None
    greatest: int | None = None
    unnumbered: int = 0


@dataclass(slots=True)
class Witness:
    """HubSpot, asked for one object type; `usage` is what was sent so far."""

    settings: Settings
    object_type: str
    run_id: str
    stop: threading.Event
    retry: RetryPolicy | None = None
    usage: Usage = field(default_factory=Usage)

    def listed(self, into: Path, counters: Counters) -> Listed:
        """Write every id that HubSpot lists, live and archived, into a file of `LISTED`.

        An id may be in it twice: it was archived meanwhile, or the list had to begin anew.

        Raises:
            HubSpotError: A list cannot be had.
            Interrupted: `stop` was set.
        """
        return self._asking(lambda client: self._list(client, into, counters))

    def confirmed(
        self,
        suspects: Path,
        found: Path,
        requests: Path,
        counters: Counters,
        *,
        as_of: datetime | None,
    ) -> dict[Finding, int]:
        """Ask for each suspect by its id, and write what is left of them; how many of each.

        Args:
            suspects: A file with the fields of `Suspect`.
            found: Gets what was confirmed, as `FOUND`.
            requests: Gets the requests, as rows of `batches`.
            counters: Counts the suspects that are done.
            as_of: By HubSpot's clock: the last complete sync has everything that changed before.

        Raises:
            HubSpotError: It does not answer.
            Interrupted: `stop` was set.
        """
        return self._asking(
            lambda client: self._confirm(client, suspects, found, requests, counters, as_of=as_of)
        )

    def _asking(self, work: Callable[[HubSpotClient], Awaitable[T]]) -> T:
        return asyncio.run(self._asked(work))

    async def _asked(self, work: Callable[[HubSpotClient], Awaitable[T]]) -> T:
        async with open_http(base_url=self.settings.base_url, connections=CONNECTIONS) as http:
            paths = Paths(self.settings.api_version)
            token = token_for(
                http,
                access_token=self.settings.access_token,
                oauth=self.settings.oauth,
                paths=paths,
            )
            limits = limits_of(self.settings)
            client = HubSpotClient(http, token=token, limits=limits, paths=paths, retry=self.retry)
            try:
                return await unless(self.stop, work(client))
            except Interrupted as exc:
                raise Interrupted(
                    "stopped on request: nothing was changed; the same command begins anew"
                ) from exc
            finally:
                self.usage = _sum(self.usage, client.usage)

    async def _list(self, client: HubSpotClient, into: Path, counters: Counters) -> Listed:
        listed = Listed()
        try:
            async with asyncio.timeout(SEARCH_S):
                searching = Searching(client, self.object_type)
                listed.greatest, listed.total = await searching.greatest()
        except (AuthError, DailyLimitError):
            raise
        except (HubSpotError, TimeoutError):
            pass  # a witness less; the lists are what counts
        await client.watch_quota()  # now, for answers may have told of it
        counters.expected = listed.total
        with pq.ParquetWriter(into, LISTED) as file:
            for archived in (False, True):
                async with aclosing(
                    self._parts(client, listed, counters, archived=archived)
                ) as parts:
                    async for ids, moments in parts:
                        flags = pa.repeat(pa.scalar(archived), len(ids))
                        file.write_table(pa.table([ids, flags, moments], schema=LISTED))
                        await client.watch_quota()
        return listed

    async def _parts(
        self, client: HubSpotClient, listed: Listed, counters: Counters, *, archived: bool
    ) -> AsyncGenerator[tuple[pa.Array, pa.Array]]:
        """Ids and moments of one list, some thousands at a time."""
        ids: list[int] = []
        moments: list[int | None] = []

        def taken() -> tuple[pa.Array, pa.Array]:
            part = pa.array(ids, pa.int64()), pa.array(moments, pa.int64()).cast(MOMENT)
            ids.clear()
            moments.clear()
            return part

        pages = discovered(
            client,
            self.object_type,
            archived=archived,
            greatest=listed.greatest,
            expected=None if archived else listed.total,
            is_searched=False,
        )
        async with aclosing(pages):
            async for page in pages:
                numbers = [number_of(record_id) for record_id in page.ids]
                updated = page.updated_us or (None,) * len(numbers)
                for number, moment in zip(numbers, updated, strict=True):
                    if 0 <= number <= _GREATEST:
                        ids.append(number)
                        moments.append(moment)
                    else:
                        listed.unnumbered += 1
                _count(counters, len(numbers))
                if len(ids) >= PART_IDS:
                    yield taken()
        if ids:
            yield taken()

    async def _confirm(
        self,
        client: HubSpotClient,
        suspects: Path,
        found: Path,
        requests: Path,
        counters: Counters,
        *,
        as_of: datetime | None,
    ) -> dict[Finding, int]:
        hydrator = Hydrator(client, run_id=self.run_id, object_type=self.object_type, properties=())
        counts = dict.fromkeys(Finding, 0)
        with (
            pq.ParquetWriter(found, FOUND) as findings,
            pq.ParquetWriter(requests, ledger.BATCHES) as batches,
        ):
            for part in suspects_in(suspects):
                counters.add_found(0)  # the clock starts
                doubtful = [
                    one for one in part if not is_pending(one.finding, one.updated_at_there, as_of)
                ]
                answers, sent = await self._answers(hydrator, [str(one.id) for one in doubtful])
                # What would be taken away has to be gone twice.
                unproven = (State.GONE, State.UNKNOWN)
                again = [one for one, answer in answers.items() if answer.state in unproven]
                second, more = await self._answers(hydrator, again)
                answers |= second
                for one in doubtful:
                    is_listed = one.finding is not Finding.MISSING_THERE
                    if is_listed and answers[str(one.id)].state is State.GONE:
                        answers[str(one.id)] = await self._in_list(client, one.id)
                rows = [
                    row
                    for one in part
                    if (row := found_row(one, answers.get(str(one.id)), as_of=as_of))
                ]
                for row in rows:
                    counts[row["finding"]] += 1
                findings.write_table(pa.Table.from_pylist(rows, schema=FOUND))
                batches.write_table(ledger.table_of([*sent, *more], ledger.BATCHES))
                _count(counters, len(part))
                await client.watch_quota()
        return counts

    async def _in_list(self, client: HubSpotClient, record_id: int) -> Answer:
        """What the lists say of an id that batch/read does not have although it was listed."""
        for state in (State.LIVE, State.ARCHIVED):
            page = await client.list_page(
                self.object_type,
                after=str(record_id),
                archived=state is State.ARCHIVED,
                limit=1,
                properties=("hs_object_id",),
            )
            for record in page.records:
                if number_of(str(record.id)) == record_id:
                    updated_at = moment(record.updated_at)
                    return Answer(state, updated_at, changed_at=updated_at)
        return Answer(State.GONE)

    async def _answers(
        self, hydrator: Hydrator, ids: Sequence[str]
    ) -> tuple[dict[str, Answer], list[BatchRow]]:
        """What HubSpot says of each of these ids, and the requests that it took."""
        answers: dict[str, Answer] = {}
        requests: list[BatchRow] = []

        async def read(page: IdPage) -> Batch:
            return await hydrator.read(page)

        async for batch in in_order(IdSequence(ids).pages(), read, concurrency=CONCURRENCY):
            answers |= answers_in(batch)
            requests += batch.requests
        return answers, requests


def _count(counters: Counters, ids: int) -> None:
    counters.add_found(ids)
    counters.read += ids
    counters.landed += ids


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        requests=one.requests + other.requests,
        retries=one.retries + other.retries,
        rate_limited=one.rate_limited + other.rate_limited,
        waited_s=one.waited_s + other.waited_s,
    )
