"""A HubSpot account as pure data: the same arguments always give the same records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipelines.simulator import call_properties, contact_properties, population
from pipelines.simulator.definitions import Json, Property, definition
from pipelines.simulator.history import change
from pipelines.simulator.merging import merge
from pipelines.simulator.record import Record
from pipelines.simulator.records import Records
from pipelines.simulator.values import Value, epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
TYPE_IDS: Final = {"0-1": "contacts", "0-48": "calls"}


class Portal:
    """Contacts and calls of one account, and every change made to them.

    Made by `Portal.build`. Time stands still at `now`; a change without its own
    moment moves it one second on, so that every change has a later modified date.
    """

    def __init__(self, contacts: Records, calls: Records, now: datetime) -> None:
        self.records = {"contacts": contacts, "calls": calls}
        self.now = now

    @classmethod
    def build(
        cls, *, contacts: int = 1000, calls: int = 500, seed: int = 1, now: datetime = NOW
    ) -> Portal:
        """A portal with records, some archived, merged away, or with one broken value.

        Archived records (about 1 %) and merged-away ids (about 0.2 %) come on top of the
        counts. About 0.5 % of the records hold a value that their type cannot take.

        Args:
            contacts: Live contacts, at least 1: contact 512 is always there.
            calls: Live calls, 0 or more.
            seed: Decides every id, date and value.
            now: Nothing is younger than this; aware.

        Raises:
            ValueError: A count is too small.
        """
        if contacts < 1 or calls < 0:
            raise ValueError("contacts must be 1 or more, calls 0 or more")
        made = cls(
            Records(
                "contacts",
                "0-1",
                seed=seed,
                properties=contact_properties.PROPERTIES,
                groups=contact_properties.GROUPS,
                defaults=contact_properties.DEFAULTS,
                always=contact_properties.ALWAYS,
            ),
            Records(
                "calls",
                "0-48",
                seed=seed,
                properties=call_properties.PROPERTIES,
                groups=call_properties.GROUPS,
                defaults=call_properties.DEFAULTS,
                always=call_properties.ALWAYS,
            ),
            now,
        )
        population.fill_contacts(made.records["contacts"], contacts, seed=seed, now=now)
        population.fill_calls(made.records["calls"], calls, seed=seed, now=now)
        return made

    def truth(self, object_type: str) -> Iterator[Json]:
        """Every live and archived record with every property, as HubSpot would answer.

        For tests to compare a warehouse with: no paging, no request, no typing involved.
        """
        return self.records[object_type].truth()

    def broken(self, object_type: str) -> list[tuple[int, str, str]]:
        """Record id, property and raw value of each value broken on purpose and still there."""
        records = self.records[object_type]
        found = []
        for record_id, (name, raw) in sorted(records.broken.items()):
            record = records.by_id.get(record_id)
            if record and records.values(record, records.select((name,))).get(name) == raw:
                found.append((record_id, name, raw))
        return found

    def aliases(self, object_type: str) -> dict[int, int]:
        """Ids that merges took away, each with the id that answers for it now."""
        return dict(self.records[object_type].aliases)

    def properties(self, object_type: str, *, archived: bool = False) -> list[Json]:
        """Property definitions, live or archived, sensitive ones too."""
        found = self.records[object_type].properties.values()
        return [p.definition for p in found if p.definition.get("archived", False) == archived]

    # Changes between runs

    def advance(self, seconds: float) -> None:
        """Let time pass in the portal."""
        self.now += timedelta(seconds=seconds)

    def update(
        self,
        object_type: str,
        record_id: int,
        properties: dict[str, Value],
        *,
        at: datetime | None = None,
    ) -> None:
        """Set properties of a live record; "" clears one.

        Raises:
            KeyError: The portal has no such live record or no such property.
        """
        records = self.records[object_type]
        for name in properties:
            records.properties[name]
        change(records, self._live(object_type, record_id), properties, self._moment(at))

    def create(
        self, object_type: str, properties: dict[str, Value], *, at: datetime | None = None
    ) -> int:
        """Add a record with a new, higher id, which is returned; other properties are null."""
        records = self.records[object_type]
        at_ms = self._moment(at)
        record = Record(self._next_id(records), at_ms, at_ms, is_generated=False)
        records.add(record)
        change(records, record, properties, at_ms)
        return record.id

    def archive(self, object_type: str, record_id: int, *, at: datetime | None = None) -> None:
        """Archive a live record."""
        self.records[object_type].archive(self._live(object_type, record_id), self._moment(at))

    def restore(self, object_type: str, record_id: int, *, at: datetime | None = None) -> None:
        """Make an archived record a live one again; it counts as modified then.

        Raises:
            KeyError: The portal has no such archived record.
        """
        records = self.records[object_type]
        record = records.get(record_id, archived=True)
        if record is None:
            raise KeyError(f"no archived record {record_id} in {object_type}")
        records.remove(record)
        record.archived_ms, record.updated_ms = None, self._moment(at)
        records.add(record)

    def delete(self, object_type: str, record_id: int) -> None:
        """Delete a record for good, live or archived, as a privacy request does."""
        records = self.records[object_type]
        records.remove(records.by_id[record_id])

    def merge(
        self, primary: int, other: int, *, keep_primary_id: bool = False, at: datetime | None = None
    ) -> int:
        """Merge two live contacts and give the id of the winner.

        The winner is a new record, as since HubSpot's change of 2025, unless
        `keep_primary_id`; both old ids, or that of `other`, answer under it from then on.
        """
        first, second = self._live("contacts", primary), self._live("contacts", other)
        at_ms = self._moment(at)
        return merge(
            self.records["contacts"],
            first,
            second,
            at_ms,
            winner_id=None if keep_primary_id else self._next_id(self.records["contacts"]),
        )

    def add_property(
        self,
        object_type: str,
        name: str,
        kind: str = "string/text",
        **extra: Any,
    ) -> None:
        """Define a custom property of kind "type/fieldType"; it is null until updated."""
        records = self.records[object_type]
        group = next(iter(records.groups))
        label = name.replace("_", " ").capitalize()
        records.define(Property(definition(name, kind, label, group, own=True, **extra)))

    def archive_property(self, object_type: str, name: str, *, at: datetime | None = None) -> None:
        """Archive a property: listed only with archived=true, and absent from records."""
        moment = datetime.fromtimestamp(self._moment(at) / 1000, UTC)
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        records = self.records[object_type]
        records.define(records.properties[name].with_definition(archived=True, archivedAt=stamp))

    def change_property_type(self, object_type: str, name: str, kind: str) -> None:
        """Give a property another "type/fieldType"; values stay as they were written."""
        type_, _, field_type = kind.partition("/")
        records = self.records[object_type]
        records.define(records.properties[name].with_definition(type=type_, fieldType=field_type))

    def _live(self, object_type: str, record_id: int) -> Record:
        record = self.records[object_type].get(record_id)
        if record is None:
            raise KeyError(f"no live record {record_id} in {object_type}")
        return record

    def _moment(self, at: datetime | None) -> int:
        if at is None:
            self.advance(1)
        return epoch_ms(at or self.now)

    def _next_id(self, records: Records) -> int:
        return max((*records.by_id, *records.aliases), default=10**9) + 7
