"""What a run does for one object type: its steps, and what is remembered between runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from pipelines.idpages import IdPage

LIVE: Final = "live"
ARCHIVED: Final = "archived"
MODIFIED: Final = "modified"
SWEEP: Final = "sweep"
IDS: Final = "ids"
LISTS_ONCE: Final = (LIVE, IDS)
"""Steps in which no id comes twice, and the first of their run: an empty table has none of them."""

LANDED: Final = "landed "
"""What the keys begin with under which dlt's state has the last `synced_at` of an object type.

Rows that are younger are of a package that did not land in whole."""


class Ids(Protocol):
    """Ids that are known before the run begins."""

    @property
    def count(self) -> int:
        """How many there are."""

    def pages(self, after: str | None) -> AsyncGenerator[IdPage]:
        """All of them, or those from the `after` of an earlier page on."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a run: a stream of ids, which are read in its order.

    `name`: LIVE and ARCHIVED list all such records, or those from `low` up to `high`; MODIFIED
    searches a window; SWEEP lists the archived records that the modified date does not show, as
    far as there are new ones; IDS reads `ids`. `after`: where the stream goes on. `since` and
    `until`: the window, by the date of modification or, `is_created`, of creation; `until` None:
    up to the moment the run begins at. `is_skipping`: what the table has as it is, is not read.
    """

    name: str
    after: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    low: int = 0
    high: int | None = None
    is_created: bool = False
    is_skipping: bool = True
    ids: Ids | None = None

    @property
    def is_archived(self) -> bool:
        """Whether its ids are those of archived records."""
        return self.name in (ARCHIVED, SWEEP)


@dataclass(frozen=True, slots=True)
class CutOff:
    """Where a run stood that did not come to its end.

    `began_at` by our clock: rows that landed since then are of the runs that do this together.
    `as_of` by HubSpot's clock: everything up to this moment will be in the table when its steps
    are done. `run`: id and sums of the run, as they landed. `check`: the sums of a step that has
    landed in whole and is not counted yet. `only`: properties that are read alone.
    """

    step: str
    after: str | None
    began_at: datetime
    as_of: datetime
    since: datetime | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, Any] | None = None
    only: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is remembered of one object type, in dlt's state, which lands with the rows.

    `cursor` by HubSpot's clock: everything modified up to then is in the table. `gap`: how many
    live records HubSpot counted more than the table has, when all archived ones were listed
    last; None: they are to be listed again. `sweep`: where the list of archived records goes on
    that each run reads a page of. `refreshed_at` by our clock: when calculated properties were
    read last. `stale`: properties that have to be read of every row, since their values are not
    in their columns yet.
    """

    cursor: datetime | None = None
    gap: int | None = None
    sweep: str | None = None
    refreshed_at: datetime | None = None
    stale: tuple[str, ...] = ()
    cut_off: CutOff | None = None

    @classmethod
    def of(cls, saved: Mapping[str, Any] | None) -> Progress:
        """As `saved` wrote it."""
        return msgspec.convert(saved or {}, cls)

    def saved(self) -> dict[str, Any]:
        """As JSON."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]  # a dict, of a dataclass


def steps_of(
    progress: Progress, *, overlap: timedelta, is_full: bool = False, since: datetime | None = None
) -> tuple[Step, ...]:
    """What `crm sync` does for one object type.

    The first run reads everything; later ones what was modified since, and what was archived.
    One that was cut off goes on, and then reads what was modified since that one began.

    Args:
        progress: What earlier runs left.
        overlap: How long before its beginning a window opens, for what search shows late.
        is_full: Read everything, anew.
        since: Open the window here, if that is earlier, or nothing was read before.
    """

    def window_after(moment: datetime) -> Step:
        opened = moment - overlap
        return Step(MODIFIED, since=opened if since is None else min(since, opened))

    cut_off = None if is_full else progress.cut_off
    if cut_off is not None:
        return (*_rest_of(cut_off), window_after(cut_off.as_of), *_sweep_after(cut_off))
    if not is_full and progress.cursor is not None:
        return (window_after(progress.cursor), Step(SWEEP))
    if not is_full and since is not None:
        return (Step(MODIFIED, since=since), Step(SWEEP))
    return (Step(LIVE), Step(ARCHIVED))


def _rest_of(cut_off: CutOff) -> tuple[Step, ...]:
    """What is left of a run without what has changed since."""
    here = Step(cut_off.step, cut_off.after)
    match cut_off.step:
        case "live":
            return (here, Step(ARCHIVED)) if cut_off.after else (Step(ARCHIVED),)
        case "archived":
            return (here,) if cut_off.after else ()
        case "modified":
            window = replace(here, since=cut_off.since, until=cut_off.as_of)
            return (window,) if cut_off.after else ()
        case _:
            return ()  # what is listed in a sweep is found again by the next


def _sweep_after(cut_off: CutOff) -> tuple[Step, ...]:
    return () if cut_off.step in (LIVE, ARCHIVED) else (Step(SWEEP),)
