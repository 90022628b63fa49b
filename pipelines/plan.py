"""What a run will take, by the number of records: requests, minutes, a share of the day's quota."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import DailyLimitError
from pipelines.hubspot.client import MAX_BATCH_READ, MAX_LIST_PAGE
from pipelines.rows import Rows

PREPARING = 3
"""Requests before the first list: definitions, live and archived, and the count for the ETA."""


@dataclass(frozen=True, slots=True)
class Records:
    """How many records a run will read of one object type; `archived` None: not known.

    `lists`: pages of HubSpot's list; None: as many as the records take. `preparing`: requests
    before that, searches among them. `lookups`: values of which the ids have to be found first.
    """

    live: int
    archived: int | None = None
    lists: int | None = None
    preparing: int = PREPARING
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """What one object type will take, or all of them together.

    `minutes` under the limit of the 10 seconds, if it is the limit that sets the pace.
    `quota_share` of the day's quota, from 0 to 1 or more; None: it is not known.
    """

    object_type: str
    records: Records
    preparing: int
    lists: int
    reads: int
    minutes: float
    quota_share: float | None

    @property
    def requests(self) -> int:
        """All requests; more when HubSpot fails or leaves out records that are then looked for."""
        return self.preparing + self.lists + self.reads


def lines_of(
    records: Mapping[str, Records], *, requests_per_s: float, quota: int | None
) -> list[Line]:
    """A line for each object type and one for all together; sends nothing.

    Args:
        records: By object type.
        requests_per_s: The pace that the limit allows.
        quota: Requests of a whole day; None when not known.
    """

    def line(name: str, counts: Records, *, preparing: int, lists: int, reads: int) -> Line:
        requests = preparing + lists + reads
        share = requests / quota if quota else None
        return Line(name, counts, preparing, lists, reads, requests / requests_per_s / 60, share)

    lines = []
    for name, found in records.items():
        passes = (found.live, found.archived or 0)
        lists = sum(max(parts(count, MAX_LIST_PAGE), 1) for count in passes)  # the last is empty
        lists = lists if found.lists is None else found.lists
        reads = sum(parts(count, MAX_BATCH_READ) for count in (*passes, found.lookups))
        lines.append(line(name, found, preparing=found.preparing, lists=lists, reads=reads))
    archived = [one.archived for one in records.values() if one.archived is not None]
    all_records = Records(
        sum(one.live for one in records.values()),
        sum(archived) if len(archived) == len(records) else None,
    )
    together = line(
        "together",
        all_records,
        preparing=sum(one.preparing for one in lines),
        lists=sum(one.lists for one in lines),
        reads=sum(one.reads for one in lines),
    )
    return [*lines, together]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will take of what is there. The last of `lines` is for all together.

    `quota`, `left` and `reserve` are requests of the day; None where HubSpot does not tell.
    `goes_on`: object types in which a run was cut off, so that this one takes less.
    `obstacle`: why not today; None when the run fits.
    """

    lines: Sequence[Line]
    limit: int
    period_s: float
    quota: int | None
    left: int | None
    reserve: int | None
    goes_on: tuple[str, ...]
    asked: int
    obstacle: str | None

    @property
    def left_after(self) -> int | None:
        """Requests of the day that are left after the run; below 0 when it takes several days."""
        return None if self.left is None else self.left - self.lines[-1].requests

    def check(self) -> None:
        """Nothing, when the run fits into the day.

        Raises:
            DailyLimitError: It would cross the reserve.
        """
        if self.obstacle is not None:
            raise DailyLimitError(self.obstacle)

    def table(self) -> Rows:
        """As people read it."""
        columns = ("", "live", "archived", "lists", "reads", "requests", "minutes", "of the day")
        return Rows("Plan: nothing was read or written", columns, [_cells(x) for x in self.lines])

    def remarks(self) -> list[str]:
        """What the table has no column for."""
        day = "how much of the day's quota is left is not known"
        if self.left is not None and self.quota is not None:
            day = (
                f"of the day's {self.quota:,} requests {self.left:,} are left, and "
                f"{self.left_after:,} after the run; {self.reserve or 0:,} are kept for other apps"
            )
        remarks = [f"{self.limit:,} requests per {self.period_s:g} s; {day}"]
        if self.lines[-1].records.archived is None:
            remarks.append("archived records that are unknown take 2 more requests for each 100")
        if self.goes_on:
            names = " and ".join(self.goes_on)
            remarks.append(f"{names}: it goes on where a run was cut off, so it takes less")
        return [*remarks, f"{self.asked} requests were sent to find this out"]


def parts(count: int, size: int) -> int:
    """How many requests it takes, so many at a time."""
    return -(-count // size)


def _cells(line: Line) -> list[str]:
    archived = line.records.archived
    return [
        line.object_type,
        f"{line.records.live:,}",
        "unknown" if archived is None else f"{archived:,}",
        f"{line.lists:,}",
        f"{line.reads:,}",
        f"{line.requests:,}",
        f"{line.minutes:.1f}",
        "unknown" if line.quota_share is None else f"{line.quota_share:.2%}",
    ]
