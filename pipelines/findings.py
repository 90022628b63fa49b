"""What HubSpot's answer and the warehouse's row of one record come to; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pipelines.rows import Rows


class Finding(StrEnum):
    """What is wrong with one id; `PENDING` is not wrong: the next sync brings it."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    ARCHIVED_THERE = "archived_there"
    LIVE_THERE = "live_there"
    MERGED = "merged"
    DIFFERS = "differs"
    PENDING = "pending"


READ: Final = (
    Finding.MISSING_HERE,
    Finding.DIFFERS,
    Finding.ARCHIVED_THERE,
    Finding.LIVE_THERE,
)
"""Findings that reading the record again mends."""

MEANINGS: Final = {
    Finding.MISSING_HERE: "in HubSpot, live or archived, without a row",
    Finding.MISSING_THERE: "a row that is nowhere in HubSpot",
    Finding.ARCHIVED_THERE: "live here, archived in HubSpot",
    Finding.LIVE_THERE: "archived here, live in HubSpot",
    Finding.MERGED: "a row of an id that HubSpot answers under another id",
    Finding.DIFFERS: "the row is of another moment than HubSpot's record",
    Finding.PENDING: "changed since the last complete sync: the next one brings it",
}


class State(StrEnum):
    """What HubSpot answers when it is asked for one id; `UNKNOWN`: nothing that proves anything."""

    LIVE = "live"
    ARCHIVED = "archived"
    MERGED = "merged"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Suspect:
    """An id whose row is not as HubSpot's list has it; `archived_here` None: it has no row."""

    id: int
    finding: Finding
    archived_here: bool | None
    updated_at_here: datetime | None
    updated_at_there: datetime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What HubSpot says of one id. `changed_at`: when it was modified or archived last."""

    state: State
    updated_at: datetime | None = None
    changed_at: datetime | None = None
    current_id: int | None = None


def is_pending(finding: Finding, changed_at: datetime | None, as_of: datetime | None) -> bool:
    """Whether the next sync brings it: it changed after `as_of`; None: nothing was complete yet.

    No sync takes away a row, so one that is missing there, or merged, is never pending.
    """
    if finding in (Finding.MISSING_THERE, Finding.MERGED):
        return False
    return as_of is None or (changed_at is not None and changed_at > as_of)


def confirmed(suspect: Suspect, answer: Answer, *, as_of: datetime | None) -> Finding | None:
    """What is left of a suspicion once HubSpot was asked for the id itself; None: nothing.

    Args:
        suspect: What the lists said, some moments ago.
        answer: What HubSpot says now.
        as_of: By HubSpot's clock: the last complete sync has everything that changed before.
    """
    if answer.state is State.UNKNOWN:
        return suspect.finding
    if answer.state is State.MERGED:
        return None if suspect.archived_here is None else Finding.MERGED
    if answer.state is State.GONE:
        # What was listed a moment ago has gone since: not proven enough to remove anything.
        return suspect.finding if suspect.finding is Finding.MISSING_THERE else None
    found = _compared(suspect, answer)
    if found is not None and is_pending(found, answer.changed_at, as_of):
        return Finding.PENDING
    return found


def _compared(suspect: Suspect, answer: Answer) -> Finding | None:
    is_archived = answer.state is State.ARCHIVED
    if suspect.archived_here is None:
        return Finding.MISSING_HERE
    if is_archived != suspect.archived_here:
        return Finding.ARCHIVED_THERE if is_archived else Finding.LIVE_THERE
    if answer.updated_at is not None and answer.updated_at != suspect.updated_at_here:
        return Finding.DIFFERS
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a reconcile found. Counts are of ids; `total` is search's, None when it has none.

    `unnumbered`: ids in HubSpot that no row can have, for they are no BIGINT. `undated`: listed
    without a moment, so that only the id was compared.
    """

    object_type: str
    run_id: str
    live: int
    archived: int
    rows: int
    total: int | None
    unnumbered: int
    undated: int
    found: Mapping[Finding, int]
    fixed: Mapping[Finding, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """Findings that are not fixed; what is pending is none."""
        return sum(
            count - self.fixed.get(finding, 0)
            for finding, count in self.found.items()
            if finding is not Finding.PENDING
        )

    def summary(self) -> str:
        """The counts in one line."""
        counts = [f"{count:,} {finding}" for finding, count in self.found.items() if count]
        fixed = sum(self.fixed.values())
        return ", ".join(counts) + (f"; {fixed:,} fixed" if fixed else "") or "nothing found"

    def table(self, path: Path) -> Rows:
        """As people read it: every kind of finding, also those that nothing is of."""
        lines = [
            (
                finding.value,
                f"{self.found.get(finding, 0):,}",
                "" if finding is Finding.PENDING else f"{self.fixed.get(finding, 0):,}",
                meaning,
            )
            for finding, meaning in MEANINGS.items()
        ]
        title = f"Reconciliation: {self.object_type} in HubSpot and in {path}"
        return Rows(title, ("", "ids", "fixed", "means"), lines)

    def remarks(self) -> list[str]:
        """What was compared, what search counts, and what to do."""
        compared = (
            f"HubSpot lists {self.live:,} live and {self.archived:,} archived {self.object_type}; "
            f"the table has {self.rows:,} rows"
        )
        lines = [compared, self._third_witness()]
        if self.unnumbered:
            lines.append(f"{self.unnumbered:,} ids are no numbers that a row could have")
        if self.undated:
            lines.append(
                f"{self.undated:,} ids were listed without the moment of their last change: "
                "whether their rows differ was not compared"
            )
        return [*lines, *self.notes, self._what_to_do()]

    def _third_witness(self) -> str:
        if self.total is None:
            return "search did not say how many live ones there are"
        if self.total == self.live:
            return f"search counts {self.total:,} live ones: it agrees with the list"
        more = "more" if self.total > self.live else "fewer"
        return (
            f"search counts {self.total:,} live ones: {abs(self.total - self.live):,} {more} than "
            "the list, which is the one to trust, for search may lag behind"
        )

    def _what_to_do(self) -> str:
        name = self.object_type
        if self.left and any(self.fixed.values()):
            return (
                f"{self.left:,} are left: crm.reconciliation has them, those without fixed_at; "
                f"`crm errors --unresolved --object {name}` says why a record could not be read"
            )
        if self.left:
            return (
                f"to do: `crm reconcile {name} --fix` reads what is missing and marks what is "
                "gone; crm.reconciliation has every id"
            )
        if self.found.get(Finding.PENDING):
            return f"to do: nothing but the next `crm sync {name}`"
        return "to do: nothing"
