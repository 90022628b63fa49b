"""Answers of batch/read as rows of `batches` and `errors`, with everything HubSpot said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import HubSpotError, TransientError
from pipelines.hubspot.client import BatchAnswer
from pipelines.hubspot.decode import moment
from pipelines.hubspot.wire import BatchError
from pipelines.ledger import BatchRow, ErrorRow

NOT_RETURNED = "NOT_RETURNED"
BATCH_NOT_COMPLETE = "BATCH_NOT_COMPLETE"

_COMPLETE = "COMPLETE"
_LEAST, _GREATEST = -(2**63), 2**63 - 1  # of a BIGINT


def is_unfinished(answer: BatchAnswer) -> bool:
    """Whether HubSpot says that it has not done all of it, so that asking again may help."""
    return answer.envelope.status not in (None, _COMPLETE)


def named_ids(answers: Sequence[BatchAnswer]) -> dict[str, tuple[BatchAnswer, BatchError]]:
    """Ids that HubSpot says it has nothing for, with what it says; the last word counts."""
    return {
        object_id: (answer, entry)
        for answer in answers
        for entry in answer.envelope.errors
        for object_id in _ids_in(entry.context, entry.id)
    }


class Rows:
    """Makes the rows of one run over one object type."""

    def __init__(self, *, run_id: str, object_type: str) -> None:
        self._run_id = run_id
        self._object_type = object_type
        self._number = itertools.count(1)

    def answered(self, answer: BatchAnswer, *, inputs: int, results: int) -> BatchRow:
        """A request that was answered with a batch."""
        envelope = answer.envelope
        return BatchRow(
            batch_id=self._batch_id(),
            run_id=self._run_id,
            object_type=self._object_type,
            endpoint="batch/read",
            http_status=answer.http_status,
            status=envelope.status,
            requested_at=moment(envelope.requested_at) or answer.requested_at,
            started_at=moment(envelope.started_at),
            completed_at=moment(envelope.completed_at),
            inputs=inputs,
            results=results,
            num_errors=min(max(envelope.num_errors or 0, _LEAST), _GREATEST),
            attempts=answer.attempts,
            duration_ms=answer.duration_ms,
            correlation_id=answer.correlation_id,
        )

    def failed(self, failure: HubSpotError, *, inputs: int) -> BatchRow:
        """A request that failed for good."""
        return BatchRow(
            batch_id=self._batch_id(),
            run_id=self._run_id,
            object_type=self._object_type,
            endpoint="batch/read",
            http_status=failure.http_status,
            status=None,
            requested_at=failure.requested_at or datetime.now(UTC),
            started_at=None,
            completed_at=None,
            inputs=inputs,
            results=0,
            num_errors=1,
            attempts=failure.attempts,
            duration_ms=failure.duration_ms,
            correlation_id=failure.correlation_id,
        )

    def refused_id(self, object_id: str, failure: HubSpotError) -> ErrorRow:
        """An id for which HubSpot has no batch, even when it is asked for alone."""
        return ErrorRow(
            object_type=self._object_type,
            stage="read",
            category=failure.category or f"HTTP_{failure.http_status}",
            object_id=object_id,
            sub_category=failure.sub_category,
            message=str(failure),
            http_status=failure.http_status,
            correlation_id=failure.correlation_id,
            context=failure.context,
            is_retryable=isinstance(failure, TransientError),
        )

    def not_found(
        self, answers: Sequence[BatchAnswer], others: Sequence[BatchAnswer], missing: set[str]
    ) -> list[ErrorRow]:
        """Ids that are nowhere, in HubSpot's own words where it has any.

        A record that is not among the live ones may be archived, and the other way round. So
        an id that only some of the answers name is none that HubSpot says it does not have.

        Args:
            answers: To what was asked of the live records, or of the archived ones.
            others: To what was asked of the others; while they are not finished, nothing
                is the last word.
            missing: Ids that were in none of them.
        """
        last = next((one for one in (*others[-1:], *answers[-1:]) if is_unfinished(one)), None)
        is_open = last is not None
        last = last or (answers[-1] if answers else None)
        unexplained = ErrorRow(
            object_type=self._object_type,
            stage="read",
            category=BATCH_NOT_COMPLETE if is_open else NOT_RETURNED,
            message="HubSpot returned neither this record nor an error for it",
            http_status=last.http_status if last else None,
            correlation_id=last.correlation_id if last else None,
            is_retryable=True,
        )
        known = {} if others and is_unfinished(others[-1]) else named_ids(others)
        said = {one: what for one, what in named_ids(answers).items() if one in known}
        return [
            _explained(replace(unexplained, object_id=object_id), *said[object_id])
            if object_id in said
            else replace(unexplained, object_id=object_id)
            for object_id in sorted(missing)
        ]

    def _batch_id(self) -> str:
        return f"{self._run_id}-{next(self._number):06d}"


def _explained(row: ErrorRow, answer: BatchAnswer, entry: BatchError) -> ErrorRow:
    return replace(
        row,
        category=entry.category or NOT_RETURNED,
        sub_category=None if entry.sub_category is None else str(entry.sub_category),
        message=entry.message,
        http_status=answer.http_status,
        correlation_id=answer.correlation_id,
        context=_of_its_own(entry, row.object_id),
        is_retryable=False,
    )


def _of_its_own(entry: BatchError, object_id: str | None) -> dict[str, Any]:
    """All that an entry says of one id.

    HubSpot has one entry for all ids that a request misses. Which of the others shared the
    request is chance, and each of them has a row: an id's row must not differ for them.
    """
    said, context = entry.details(), entry.context
    if isinstance(context, dict) and isinstance(ids := context.get("ids"), list):
        said["context"] = {**context, "ids": [one for one in ids if str(one) == object_id]}
    return said


def _ids_in(context: object, entry_id: str | None) -> set[str]:
    ids = context.get("ids") if isinstance(context, dict) else None
    found = {str(item) for item in ids} if isinstance(ids, list) else set()
    return found | ({entry_id} if entry_id else set())
