"""Who is in a fresh portal: ids, dates, archived and merged records, broken values."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from random import Random
from threading import RLock
from typing import Final

from pipelines.simulator import contact_properties as contacts
from pipelines.simulator.merging import merge
from pipelines.simulator.object_kinds import OBJECT_KINDS
from pipelines.simulator.record import Record
from pipelines.simulator.records import Records
from pipelines.simulator.values import BROKEN, epoch_ms

ARCHIVED_SHARE: Final = 0.01
MERGED_SHARE: Final = 0.002
BROKEN_SHARE: Final = 0.005

_FIRST: Final = datetime(2016, 3, 1, tzinfo=UTC)
_BULK_EDITS: Final = 20
_BULK_SHARE: Final = 0.1
_ID_SHARES: Final = ((3, 0.01), (4, 0.02), (5, 0.07), (6, 0.15), (8, 0.2), (9, 0.15), (11, 0.2))
_FULLEST: Final = 0.4
"""At most this share of the ids with so many digits is used, so that gaps remain."""


class Objects(dict[str, Records]):
    """Records by object type; those of a type are made when it is first asked for."""

    def __init__(self, counts: dict[str, int], *, seed: int, now: datetime) -> None:
        super().__init__()
        self._counts = counts
        self._seed = seed
        self._now = now
        self._lock = RLock()

    def __missing__(self, object_type: str) -> Records:
        with self._lock:
            if object_type in self:  # made by another thread meanwhile
                return self[object_type]
            made = Records(OBJECT_KINDS[object_type], seed=self._seed)
            is_contacts = object_type == "contacts"
            populate = fill_contacts if is_contacts else fill
            populate(made, self._counts[object_type], seed=self._seed, now=self._now)
            self[object_type] = made
            return made


def fill_contacts(records: Records, count: int, *, seed: int, now: datetime) -> None:
    """Put `count` live contacts into `records`, the documented example among them."""
    rng = Random(f"{seed}/contacts")
    merged = ceil(count * MERGED_SHARE) if count > 1 else 0
    archived = ceil(count * ARCHIVED_SHARE)
    ids = _contact_ids(rng, count + archived + merged)
    _add(records, ids, rng, now)
    others = [record_id for record_id in ids if record_id != contacts.EXAMPLE_ID]
    _set_example(records)
    _archive(records, rng.sample(others, archived), rng, now)
    _merge_some(records, merged, rng)
    _break_some(records, rng)


def fill(records: Records, count: int, *, seed: int, now: datetime) -> None:
    """Put `count` live records of any other type into `records`."""
    rng = Random(f"{seed}/{records.object_type}")
    archived = ceil(count * ARCHIVED_SHARE)
    ids = sorted(rng.sample(range(10**9, 2 * 10**11), count + archived))
    _add(records, ids, rng, now)
    _archive(records, rng.sample(ids, archived), rng, now)
    _break_some(records, rng)


def _contact_ids(rng: Random, total: int) -> list[int]:
    """`total` ids, ascending with gaps, from 3 to 12 digits; 512 is one of them."""
    found: list[int] = [contacts.EXAMPLE_ID]
    for digits, share in _ID_SHARES:
        low, high = 10 ** (digits - 1), 10**digits
        wanted = min(int(total * share), int((high - low) * _FULLEST), total - len(found))
        drawn = rng.sample(range(low, high), wanted)
        found += [record_id for record_id in drawn if record_id != contacts.EXAMPLE_ID]
    found += rng.sample(range(10**11, 3 * 10**11), total - len(found))
    return sorted(found)


def _add(records: Records, ids: list[int], rng: Random, now: datetime) -> None:
    """Add live records: older ids were created earlier, and some were edited in bulk."""
    first, last = epoch_ms(_FIRST), epoch_ms(now) - 86_400_000
    step = (last - first) // max(1, len(ids))
    bulk_edits = [rng.randrange(last - 400 * 86_400_000, last) for _ in range(_BULK_EDITS)]
    for rank, record_id in enumerate(ids):
        created = min(last, first + rank * step + rng.randrange(step + 1))
        updated = rng.randrange(created, last + 1)
        if rng.random() < _BULK_SHARE:
            updated = max(created, rng.choice(bulk_edits))
        records.by_id[record_id] = Record(record_id, created, updated)
    records.live.extend(ids)
    records.touch()


def _set_example(records: Records) -> None:
    example = records.by_id[contacts.EXAMPLE_ID]
    example.created_ms = epoch_ms(datetime.fromisoformat(contacts.EXAMPLE_CREATED))
    example.updated_ms = epoch_ms(datetime.fromisoformat(contacts.EXAMPLE_UPDATED))
    example.changes = dict(contacts.EXAMPLE)


def _archive(records: Records, ids: list[int], rng: Random, now: datetime) -> None:
    gone = set(ids)
    for record_id in ids:
        record = records.by_id[record_id]
        record.archived_ms = rng.randrange(record.updated_ms, epoch_ms(now))
    records.archived = sorted(gone)
    records.live = [record_id for record_id in records.live if record_id not in gone]
    records.touch()


def _merge_some(records: Records, count: int, rng: Random) -> None:
    """Merge `count` pairs; every other winner is a new record, as HubSpot does it since 2025."""
    for number in range(count):
        primary, other = _pair(records, rng)
        new_id = records.live[-1] + rng.randrange(1, 1000) if number % 2 == 0 else None
        at_ms = max(primary.updated_ms, other.updated_ms)
        merge(records, primary, other, at_ms, winner_id=new_id, is_noted=False)


def _pair(records: Records, rng: Random) -> tuple[Record, Record]:
    """Two live contacts that have not been merged and are not the example."""
    while True:
        first, second = (records.by_id[i] for i in rng.sample(records.live, 2))
        if first.changes is None and second.changes is None:
            return first, second


def _break_some(records: Records, rng: Random) -> None:
    """Give a known share of the records one value that its property's type cannot take."""
    names = [
        (prop.name, BROKEN[_broken_kind(prop.type, prop.definition["fieldType"])])
        for prop in records.properties.values()
        if prop.filled
        and prop.is_visible
        and _broken_kind(prop.type, prop.definition["fieldType"]) in BROKEN
    ]
    candidates = [r.id for r in records.by_id.values() if r.changes is None]
    count = min(ceil(len(records.by_id) * BROKEN_SHARE), len(candidates))
    for record_id in rng.sample(candidates, count):
        name, raws = rng.choice(names)
        raw = rng.choice(raws)
        records.broken[record_id] = (name, raw)
        records.by_id[record_id].changes = {name: raw}


def _broken_kind(type_: str, field_type: str) -> str:
    return "bool" if field_type == "booleancheckbox" else type_
