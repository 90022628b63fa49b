"""Which records a backfill reads, as somebody asked for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipelines.errors import ConfigError
from pipelines.idlist import IdList, ids_of, read_ids
from pipelines.reader import Reader
from pipelines.steps import ARCHIVED, IDS, LIVE, MODIFIED, Step

KEY: Final = "backfill "
"""What the keys begin with under which dlt's state has the progress of backfills."""

_GREATEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records somebody asked for.

    `what`: as people say it. `steps`: how they are found in HubSpot. `where`: the same of the
    rows in the warehouse, with its parameters; None: those in `ids`.
    """

    what: str
    steps: tuple[Step, ...]
    where: tuple[str, tuple[object, ...]] | None = ("true", ())
    ids: IdList | None = None
    id_property: str | None = None

    def key(self, object_type: str, only: Sequence[str]) -> str:
        """Under which the progress of this backfill is kept."""
        said = [self.what, self.ids.digest if self.ids else "", *sorted(only)]
        digest = hashlib.blake2b(json.dumps(said).encode(), digest_size=6).hexdigest()
        return f"{KEY}{object_type} {digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line has; windows are from and to."""

    is_all: bool = False
    ids: Path | None = None
    sql: str | None = None
    from_id: int | None = None
    to_id: int | None = None
    created: tuple[datetime | None, datetime | None] = (None, None)
    modified: tuple[datetime | None, datetime | None] = (None, None)
    id_property: str | None = None


def selection_of(asked: Asked, warehouse: Path, *, lock_wait_s: float) -> Selection:
    """Which records are meant.

    Raises:
        ConfigError: None, or in more than one way; or the file or query cannot be read.
        WarehouseError: There is no warehouse to query, or it stays locked.
    """
    given = {
        "--all": asked.is_all,
        "--ids": asked.ids is not None,
        "--sql": asked.sql is not None,
        "--from-id/--to-id": (asked.from_id, asked.to_id) != (None, None),
        "--created-since/--created-until": any(asked.created),
        "--modified-since/--modified-until": any(asked.modified),
    }
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) != 1:
        raise ConfigError(
            f"say which records in one way, not {len(chosen)}"
            f"{' (' + ' and '.join(chosen) + ')' if chosen else ''}: one of {', '.join(given)}"
        )
    if asked.id_property is not None and chosen[0] not in ("--ids", "--sql"):
        raise ConfigError("--id-property goes with --ids or --sql, which then give its values")
    if asked.ids is not None:
        return in_file(asked.ids, asked.id_property)
    if asked.sql is not None:
        return in_query(asked.sql, warehouse, asked.id_property, lock_wait_s=lock_wait_s)
    if any(asked.created):
        return window(*asked.created, is_created=True)
    if any(asked.modified):
        return window(*asked.modified, is_created=False)
    return everything() if asked.is_all else id_range(asked.from_id, asked.to_id)


def everything() -> Selection:
    """All records, live and archived."""
    return Selection("all", (Step(LIVE), Step(ARCHIVED)))


def id_range(low: int | None, high: int | None) -> Selection:
    """Records with ids from `low` up to `high`, both among them; None: no such end.

    Raises:
        ConfigError: There can be none.
    """
    first, last = low or 0, _GREATEST if high is None else high
    if first < 0 or last < 0:
        raise ConfigError(f"--from-id {first} --to-id {last}: ids are whole numbers from 1 on")
    if last < first:
        raise ConfigError(f"--from-id {first} --to-id {last} leaves no id: swap them")
    end = None if high is None or high >= _GREATEST else high + 1
    steps = (Step(LIVE, low=first, high=end), Step(ARCHIVED, low=first, high=end))
    text = f"ids from {first} to {'the last' if high is None else high}"
    return Selection(text, steps, ("id between ? and ?", (first, last)))


def window(since: datetime | None, until: datetime | None, *, is_created: bool) -> Selection:
    """Records that were modified, or created, from `since` up to `until`; None: no such end.

    Raises:
        ConfigError: There can be none.
    """
    begin = since or datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    verb = "created" if is_created else "modified"
    if until is not None and until < begin:
        raise ConfigError(f"--{verb}-since is later than --{verb}-until: swap them")
    live = Step(MODIFIED, since=begin, until=until, is_created=is_created, is_skipping=False)
    archived = Step(ARCHIVED, since=begin, until=until, is_created=is_created)
    to = f" to {until.isoformat()}" if until else ""
    end = until or datetime(9999, 12, 31, tzinfo=UTC)
    column = "created_at" if is_created else "updated_at"
    return Selection(
        f"{verb} from {begin.isoformat()}{to}",
        (live, archived),
        (f"{column} between ? and ?", (begin, end)),
    )


def in_file(path: Path, id_property: str | None) -> Selection:
    """The ids in a file, or values of a unique property.

    Raises:
        ConfigError: The file cannot be read, or has no ids.
    """
    name = _other_than_id(id_property)
    return _listed(f"ids in {path.name}", read_ids(path, id_property=name), name)


def in_query(
    sql: str, warehouse: Path, id_property: str | None, *, lock_wait_s: float
) -> Selection:
    """The ids that a query of the warehouse gives.

    Raises:
        ConfigError: DuckDB does not accept the query, or it gives no ids.
        WarehouseError: There is no warehouse, or it stays locked.
    """
    with Reader(warehouse, lock_wait_s=lock_wait_s) as reader:
        found = ids_of(reader.table(sql), id_property=_other_than_id(id_property))
    return _listed("ids of a query", found, _other_than_id(id_property))


def _other_than_id(id_property: str | None) -> str | None:
    """Values of hs_object_id are record ids, and are sorted out as such."""
    return None if id_property == "hs_object_id" else id_property


def _listed(what: str, ids: IdList, name: str | None) -> Selection:
    step = Step(IDS, ids=ids)
    return Selection(f"{what}{f' by {name}' if name else ''}", (step,), None, ids, name)
