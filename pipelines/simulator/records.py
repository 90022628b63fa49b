"""The records of one object type: made from the seed when read, stored only where changed."""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import cached_property
from hashlib import shake_128
from random import Random
from typing import TYPE_CHECKING, Any, Final

from pipelines.simulator import values as v
from pipelines.simulator.object_kinds import PORTAL_ID
from pipelines.simulator.record import DERIVED, Record
from pipelines.simulator.values import ABSENT, Value, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipelines.simulator.definitions import Json, Property
    from pipelines.simulator.object_kinds import ObjectKind

_MASK: Final = v.POOL_SIZE - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Some properties, in alphabetical order, ready to be read from many records."""

    names: tuple[str, ...]
    drawn: tuple[tuple[str, tuple[Value, ...], int], ...]
    derived: tuple[tuple[str, Callable[[Record], Value]], ...]
    often_absent: tuple[str, ...]


class Records:
    """All records of one object type, live, archived and merged away.

    Args:
        kind: The object type.
        seed: Decides every generated value.
    """

    def __init__(self, kind: ObjectKind, *, seed: int) -> None:
        self.kind = kind
        self.object_type = kind.object_type
        self.type_id = kind.type_id
        self.groups = kind.groups
        self.defaults = kind.defaults
        self.always = kind.always
        self.by_id: dict[int, Record] = {}
        self.live: list[int] = []
        self.archived: list[int] = []
        self.aliases: dict[int, int] = {}
        self.broken: dict[int, tuple[str, str]] = {}
        self.first_updates: dict[int, int] = {}
        self.properties: dict[str, Property] = {}
        self.revision = 0
        self._seed = seed
        self._is_built = False
        self._slots: dict[str, int] = {}
        self._pools: dict[str, tuple[Value, ...]] = {}
        self._selections: dict[tuple[str, ...] | None, Selection] = {}
        self._indexes: dict[tuple[str, bool], dict[str, int]] = {}
        for prop in kind.properties:
            self.define(prop)
        self._is_built = True
        self._draws = struct.Struct(f"<{len(self._slots)}H")
        self._key = f"{seed}/{kind.object_type}/".encode()

    @cached_property
    def modified_property(self) -> str:
        """The name of the last-modified property, which contacts spell differently."""
        return next(name for name in self.always if name.endswith("lastmodifieddate"))

    # Properties

    def define(self, prop: Property) -> None:
        """Add a property, or replace the definition of one; values stay as they are.

        A property added after the portal was built is null in every record.
        """
        if prop.name not in self._pools:
            rng = Random(f"{self._seed}/{self.object_type}/{prop.name}")
            self._pools[prop.name] = v.pool(
                rng, prop.values, filled=prop.filled, empty=prop.empty, absent=prop.absent
            )
            self._slots[prop.name] = 0 if self._is_built else len(self._slots)
        self.properties[prop.name] = prop
        self._selections.clear()
        self.touch()

    def select(self, names: Iterable[str] | None) -> Selection:
        """The visible ones among `names`, and those always answered; None selects all."""
        key = None if names is None else tuple(names)
        if key not in self._selections:
            if len(self._selections) > 200:
                self._selections.clear()
            self._selections[key] = self._make_selection(key)
        return self._selections[key]

    def _make_selection(self, asked: tuple[str, ...] | None) -> Selection:
        wanted = self.properties if asked is None else {*asked, *self.always}
        names = sorted(n for n in wanted if n in self.properties and self.properties[n].is_visible)
        return Selection(
            names=tuple(names),
            drawn=tuple((name, self._pools[name], self._slots[name]) for name in names),
            derived=tuple(
                (name, DERIVED[name]) for name in names if self.properties[name].is_derived
            ),
            often_absent=tuple(name for name in names if self.properties[name].absent),
        )

    # Reading

    def current_id(self, record_id: int) -> int:
        """The id that answers for `record_id`: its own, or that of the winner of a merge."""
        return self.aliases.get(record_id, record_id)

    def get(self, record_id: int, *, archived: bool = False) -> Record | None:
        """The live or the archived record behind an id, old or current; None if there is none."""
        record = self.by_id.get(self.current_id(record_id))
        return record if record and (record.archived_ms is not None) == archived else None

    def live_one(self, record_id: int) -> Record | None:
        """The live record that has this id itself."""
        record = self.by_id.get(record_id)
        return record if record and record.archived_ms is None else None

    def ids(self, *, archived: bool = False) -> list[int]:
        """Live or archived ids, ascending; merged-away ones are in neither."""
        return self.archived if archived else self.live

    def values(self, record: Record, selection: Selection) -> dict[str, Value]:
        """The selected properties of a record, by name, in alphabetical order."""
        if record.is_generated:
            draws = self._drawn(record.id)
            found = {name: pool[draws[slot] & _MASK] for name, pool, slot in selection.drawn}
        else:
            found = dict.fromkeys(selection.names)
        for name, derive in selection.derived:
            found[name] = derive(record)
        for name, value in (record.changes or {}).items():
            if name in found:
                found[name] = value
        for name in selection.often_absent:
            if found[name] is ABSENT:
                del found[name]
        return found

    def value(self, record: Record, name: str) -> Value:
        """One property of a record; null also where the key would be left out."""
        if record.changes and name in record.changes:
            return record.changes[name]
        if self.properties[name].is_derived:
            return DERIVED[name](record)
        if not record.is_generated:
            return None
        return self._from_pool(record, name, 0)

    def older_value(self, record: Record, name: str) -> Value:
        """What a property held before its first known change; null for half of them."""
        is_kept = not self.properties[name].is_derived and (record.id + len(name)) % 2
        return self._from_pool(record, name, 1) if is_kept else None

    def _from_pool(self, record: Record, name: str, offset: int) -> Value:
        value = self._pools[name][self._drawn(record.id)[self._slots[name]] + offset & _MASK]
        return None if value is ABSENT else value

    def answer(self, record: Record, selection: Selection) -> Json:
        """A record as HubSpot sends it."""
        answer: Json = {
            "id": str(record.id),
            "properties": self.values(record, selection),
            "createdAt": iso(record.created_ms),
            "updatedAt": iso(record.updated_ms),
            "archived": record.archived_ms is not None,
        }
        if record.archived_ms is not None:
            answer["archivedAt"] = iso(record.archived_ms)
        link = f"contacts/{PORTAL_ID}/record/{self.type_id}/{record.id}"
        answer["url"] = f"https://app.hubspot.com/{link}"
        return answer

    def truth(self) -> Iterator[Json]:
        """Every record with every property, live ones first, each in ascending order of ids."""
        everything = self.select(None)
        for record_id in (*self.live, *self.archived):
            yield self.answer(self.by_id[record_id], everything)

    def find(self, name: str, value: str, *, archived: bool = False) -> Record | None:
        """The record whose unique property has this value; e-mails also by a secondary address."""
        key = (name, archived)
        if key not in self._indexes:
            self._indexes[key] = dict(self._index(name, archived=archived))
        record_id = self._indexes[key].get(value.lower())
        return None if record_id is None else self.by_id[record_id]

    def _index(self, name: str, *, archived: bool) -> Iterator[tuple[str, int]]:
        aliases = "hs_additional_emails" if name == "email" else name
        selection = self.select((name, aliases))
        for record_id in self.ids(archived=archived):
            found = self.values(self.by_id[record_id], selection)
            secondary = (found.get(aliases) or "").split(";") if aliases != name else ()
            for value in (*secondary, found.get(name)):
                if value:
                    yield value.lower(), record_id

    def _drawn(self, record_id: int) -> tuple[Any, ...]:
        digest = shake_128(b"%s%d" % (self._key, record_id)).digest(self._draws.size)
        return self._draws.unpack(digest)

    # Changing

    def touch(self) -> None:
        """Forget what was derived from the records, after a change."""
        self._indexes.clear()
        self.revision += 1

    def add(self, record: Record) -> None:
        """Add a live or archived record."""
        self.by_id[record.id] = record
        insort(self.ids(archived=record.archived_ms is not None), record.id)
        self.touch()

    def archive(self, record: Record, at_ms: int) -> None:
        """Take a live record out of lists and search."""
        self.live.pop(bisect_left(self.live, record.id))
        record.archived_ms = at_ms
        insort(self.archived, record.id)
        self.touch()

    def remove(self, record: Record) -> None:
        """Forget a record; its id answers as if it had never existed, unless it is an alias."""
        ids = self.ids(archived=record.archived_ms is not None)
        ids.pop(bisect_left(ids, record.id))
        del self.by_id[record.id]
        self.touch()
