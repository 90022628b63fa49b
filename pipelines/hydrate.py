"""Ids into records through batch/read, with every id accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipelines.accounting import MERGE_PROPERTIES, Batch, Tally
from pipelines.answered import Rows, is_unfinished, named_ids
from pipelines.errors import AuthError, DailyLimitError, HubSpotError
from pipelines.hubspot.client import BatchAnswer, HubSpotClient
from pipelines.idpages import IdPage
from pipelines.values import Values

ASK_AGAIN_S: Final = (1.0, 2.0, 4.0, 8.0)
"""Waits before the rest of a batch is asked for again that HubSpot has not finished."""

PART_ATTEMPTS, PART_TOTAL_S = 4, 30.0
"""Bounds of each part of a batch that has failed for good: it has been repeated enough."""

_ANY_ID = str(2**53 - 1)  # well formed, of no record: an answer without it is one too


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
        self._rows = Rows(run_id=run_id, object_type=object_type)
        self._object_type = object_type
        self._properties = tuple(dict.fromkeys((*properties, *MERGE_PROPERTIES)))
        self._for_parts = client.retry_within(attempts=PART_ATTEMPTS, total_s=PART_TOTAL_S)
        self._witness = _ANY_ID  # an id that HubSpot has answered

    async def read(self, page: IdPage, *, archived: bool = False) -> Batch:
        """The records of one page of ids, with every id accounted for.

        Ids that do not come back are looked for among merged records, then among
        the archived ones (among the live ones, when `archived` ones were asked for),
        before they become rows of `errors`. A batch that fails for good is split
        until the ids that HubSpot cannot answer stand alone.

        Raises:
            AuthError: No later request could succeed either.
            DailyLimitError: The same, until midnight.
            HubSpotError: HubSpot answers no such request, whatever the ids; nothing of
                this page counts as read.
        """
        tally = Tally(missing=set(page.ids))
        if page.ids:
            answers = await self._ask(tally, page.ids, archived=archived)
            if tally.unasked - set(tally.aliases.values()):
                silent = tally.missing - named_ids(answers).keys()
                await self._ask_in_parts(tally, sorted(silent), archived=archived)
            others = await self._ask(tally, sorted(tally.missing), archived=not archived)
            doubtful = self._doubtful(page, tally, answers)
            answers += await self._ask_apart(tally, sorted(doubtful), archived=archived)
            tally.fail(self._rows.not_found(answers, others, tally.missing))
        return tally.batch(page)

    async def read_by(self, id_property: str, page: IdPage) -> Batch:
        """The records that have these values of a unique property, each value accounted for.

        First their ids are found, then they are read like any others. What is asked for is
        then the ids, and the values that no record has.

        Raises:
            HubSpotError: As `read`; also when the property is not unique.
        """
        tally = Tally(missing=set(page.ids))
        values = Values(id_property, page.ids)
        answers = await self._look_up(tally, values, values.missing, archived=False)
        others = await self._look_up(tally, values, values.missing, archived=True)
        for value in values.missing if values.strangers else []:
            await self._look_up(tally, values, [value], archived=False)
        batch = await self.read(replace(page, ids=values.ids))
        tally.fail(self._rows.not_found(answers, others, set(values.missing)))
        return replace(
            batch,
            # Another page may have another value of the same record.
            page=replace(page, ids=(*values.ids, *values.missing), is_fresh=False),
            requests=(*tally.requests, *batch.requests),
            errors=(*tally.errors.values(), *batch.errors),
        )

    async def _look_up(
        self, tally: Tally, values: Values, wanted: Sequence[str], *, archived: bool
    ) -> list[BatchAnswer]:
        """Find the ids of some values."""
        if not wanted:
            return []
        answer = await self._client.batch_read(
            self._object_type,
            wanted,
            properties=values.properties,
            id_property=values.id_property,
            archived=archived,
        )
        found = values.take(answer.body, wanted)
        tally.requests.append(self._rows.answered(answer, inputs=len(wanted), results=found))
        return [answer]

    async def _ask(self, tally: Tally, ids: Sequence[str], *, archived: bool) -> list[BatchAnswer]:
        """The answers for these ids; what HubSpot has not finished is asked for again.

        Good results of a batch that is PENDING, PROCESSING or CANCELED are kept; each time
        only the rest is asked for.
        """
        answers = await self._ask_once(tally, ids, archived=archived) if ids else []
        found = list(answers)
        for wait_s in ASK_AGAIN_S:
            rest = sorted(tally.missing.intersection(ids))
            if not rest or not any(map(is_unfinished, answers)):
                break
            await self._client.pause(wait_s)
            answers = await self._ask_once(tally, rest, archived=archived)
            found += answers
        return found

    async def _ask_once(
        self, tally: Tally, ids: Sequence[str], *, archived: bool, is_part: bool = False
    ) -> list[BatchAnswer]:
        """One batch/read; one that fails for good is split until the bad ids stand alone."""
        try:
            answer = await self._batch_read(ids, archived=archived, is_part=is_part)
        except (AuthError, DailyLimitError):
            raise
        except HubSpotError as failure:
            tally.requests.append(self._rows.failed(failure, inputs=len(ids)))
            # No id is blamed, and no batch split, for what fails whatever the ids.
            if (len(ids) == 1 or not is_part) and not await self._is_answering(
                tally, archived=archived
            ):
                raise
            if len(ids) == 1:
                tally.fail([self._rows.refused_id(ids[0], failure)])
                return []
            middle = len(ids) // 2
            return [
                *await self._ask_once(tally, ids[:middle], archived=archived, is_part=True),
                *await self._ask_once(tally, ids[middle:], archived=archived, is_part=True),
            ]
        before = len(tally.loaded)
        tally.take(answer, ids)
        self._witness = answer.ids[0] if answer.ids else self._witness
        results = len(tally.loaded) - before
        tally.requests.append(self._rows.answered(answer, inputs=len(ids), results=results))
        return [answer]

    async def _ask_apart(
        self, tally: Tally, ids: Sequence[str], *, archived: bool
    ) -> list[BatchAnswer]:
        """Ask for ids in a batch of their own, and see which are answered under another id.

        A batch that brings records nobody asked for is halved until one id stands beside
        one record: it is an alias, if it still is when asked again in other words.
        """
        if not ids:
            return []
        part = Tally(missing=set(ids))
        answers = await self._ask_once(part, ids, archived=archived)
        strangers = part.unasked - set(part.aliases.values())
        if strangers and len(ids) > 1:
            tally.requests += part.requests
            return answers + await self._ask_in_parts(tally, ids, archived=archived)
        if len(strangers) == 1 and part.missing:
            (winner,) = strangers
            if await self._is_alias(part, ids[0], winner, archived=archived):
                part.aliases[ids[0]] = winner
                part.missing.clear()
        tally.merge(part)
        return answers

    async def _ask_in_parts(
        self, tally: Tally, ids: Sequence[str], *, archived: bool
    ) -> list[BatchAnswer]:
        middle = (len(ids) + 1) // 2
        return [
            *await self._ask_apart(tally, ids[:middle], archived=archived),
            *await self._ask_apart(tally, ids[middle:], archived=archived),
        ]

    async def _is_alias(self, part: Tally, old_id: str, winner: str, *, archived: bool) -> bool:
        """Whether an id asked for alone is answered under the other one again."""
        again = Tally(missing={old_id})
        try:
            answer = await self._client.batch_read(
                self._object_type, [old_id], properties=MERGE_PROPERTIES, archived=archived
            )
        except (AuthError, DailyLimitError):
            raise
        except HubSpotError as failure:
            part.requests.append(self._rows.failed(failure, inputs=1))
            if not await self._is_answering(part, archived=archived):
                raise
            return False
        again.take(answer, [old_id])
        part.requests.append(self._rows.answered(answer, inputs=1, results=0))
        return again.unasked == {winner}

    async def _is_answering(self, tally: Tally, *, archived: bool) -> bool:
        """Whether HubSpot answers such requests at all, so that it must be the ids."""
        try:
            answer = await self._batch_read([self._witness], archived=archived, is_part=False)
        except (AuthError, DailyLimitError):
            raise
        except HubSpotError as failure:
            tally.requests.append(self._rows.failed(failure, inputs=1))
            return False
        tally.requests.append(self._rows.answered(answer, inputs=1, results=0))
        return True

    async def _batch_read(
        self, ids: Sequence[str], *, archived: bool, is_part: bool
    ) -> BatchAnswer:
        return await self._client.batch_read(
            self._object_type,
            ids,
            properties=self._properties,
            archived=archived,
            retry=self._for_parts if is_part else None,
        )

    @staticmethod
    def _doubtful(page: IdPage, tally: Tally, answers: Sequence[BatchAnswer]) -> set[str]:
        """Missing ids worth another question: HubSpot was silent about them, or had none at all."""
        if answers and is_unfinished(answers[-1]):
            return set()  # it has had its time
        if len(page.ids) > 1 and tally.missing == set(page.ids):
            return tally.missing
        return tally.missing - named_ids(answers).keys()
