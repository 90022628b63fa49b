"""A HubSpot account as pure data: the same arguments always give the same records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipelines.simulator import population
from pipelines.simulator.definitions import Json, Property, definition
from pipelines.simulator.history import change, history, modified
from pipelines.simulator.links import Link, Links
from pipelines.simulator.merging import merge
from pipelines.simulator.record import Record
from pipelines.simulator.values import Value, epoch_ms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pipelines.simulator.records import Records

NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)


class Portal:
    """The records of one account, what is between them, and every change made to them.

    Made by `Portal.build`. Time stands still at `now`; a change without its own
    moment moves it one second on, so that every change has a later modified date.
    """

    def __init__(self, counts: dict[str, int], *, seed: int, now: datetime) -> None:
        self.records: dict[str, Records] = population.Objects(counts, seed=seed, now=now)
        self.links = Links(self.records, seed)
        self.now = now

    @classmethod
    def build(
        cls,
        *,
        contacts: int = 1000,
        calls: int = 500,
        companies: int = 0,
        deals: int = 0,
        tickets: int = 0,
        machines: int = 0,
        seed: int = 1,
        now: datetime = NOW,
    ) -> Portal:
        """A portal with records, some archived, merged away, or with one broken value.

        Archived records (about 1 %) and merged-away ids of contacts (about 0.2 %) come on top
        of the counts. About 0.5 % of the records hold a value that their type cannot take.
        How many there are of one type changes nothing about the records of another.

        Args:
            contacts: Live contacts, at least 1: contact 512 is always there.
            calls: Live calls, 0 or more.
            companies: Live companies.
            deals: Live deals.
            tickets: Live tickets.
            machines: Live records of the custom object.
            seed: Decides every id, date, value and association.
            now: Nothing is younger than this; aware.

        Raises:
            ValueError: A count is too small.
        """
        others = {"companies": companies, "deals": deals, "tickets": tickets, "machines": machines}
        if contacts < 1 or min(calls, *others.values()) < 0:
            raise ValueError("contacts must be 1 or more, calls and others 0 or more")
        made = cls({"contacts": contacts, "calls": calls, **others}, seed=seed, now=now)
        for object_type in ("contacts", "calls"):  # the others when somebody asks for them
            made.records[object_type]
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

    def history(
        self, object_type: str, record_id: int, properties: Collection[str]
    ) -> dict[str, list[Json]]:
        """Every value that these properties of a live or archived record had, newest first."""
        records = self.records[object_type]
        return history(records, records.by_id[record_id], list(properties))

    def associations(self, from_type: str, to_type: str) -> list[Link]:
        """Every association type between live records, seen from those of `from_type`.

        One row for each pair of records and type, as a warehouse should have them.
        """
        return self.links.truth(from_type, to_type)

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
        self.links.before_change(object_type)
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
        record.archived_ms = None
        records.add(record)
        modified(records, record, self._moment(at))

    def delete(self, object_type: str, record_id: int) -> None:
        """Delete a record for good, live or archived, as a privacy request does."""
        records = self.records[object_type]
        self.links.before_change(object_type)
        records.remove(records.by_id[record_id])

    def merge(
        self, primary: int, other: int, *, keep_primary_id: bool = False, at: datetime | None = None
    ) -> int:
        """Merge two live contacts and give the id of the winner.

        The winner is a new record, as since HubSpot's change of 2025, unless
        `keep_primary_id`; both old ids, or that of `other`, answer under it from then on.
        Their associations are the winner's.
        """
        first, second = self._live("contacts", primary), self._live("contacts", other)
        at_ms = self._moment(at)
        self.links.before_change("contacts")
        winner = merge(
            self.records["contacts"],
            first,
            second,
            at_ms,
            winner_id=None if keep_primary_id else self._next_id(self.records["contacts"]),
        )
        self.links.merge("contacts", (primary, other), winner)
        return winner

    def link(
        self,
        from_type: str,
        from_id: int,
        to_type: str,
        *to_ids: int,
        labels: Collection[str] = (),
    ) -> None:
        """Associate live records, with labels as they read from the side of `from_type`.

        What is associated already gets the labels, too. A record has one "Primary" company:
        a new one takes over. Nothing is modified by it, and no modified date moves.

        Raises:
            KeyError: No such live record, no such label, or no such pair of types.
        """
        self.links.link(from_type, from_id, to_type, to_ids, labels)

    def unlink(self, from_type: str, from_id: int, to_type: str, *to_ids: int) -> None:
        """End associations, with all their types.

        Raises:
            KeyError: There is no such association.
        """
        self.links.unlink(from_type, from_id, to_type, to_ids)

    def relabel(self, from_type: str, from_id: int, to_type: str, to_id: int, *labels: str) -> None:
        """Give an association these labels and no others; none leaves the plain type.

        Raises:
            KeyError: There is no such association, or no such label.
        """
        self.links.relabel(from_type, from_id, to_type, to_id, labels)

    def add_label(self, from_type: str, to_type: str, label: str, back: str | None = None) -> None:
        """Define a label of the account; with `back` a paired one, for the other direction."""
        self.links.add_label(from_type, to_type, label, back or label)

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
