"""What values a property had before: made up from the seed, then kept for every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.simulator.values import Value, iso

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json
    from pipelines.simulator.record import Record
    from pipelines.simulator.records import Records

_EDITOR: Final = 61526374
_IMPORT: Final = {"sourceId": "7401", "sourceLabel": "Order system"}


def history(records: Records, record: Record, names: list[str]) -> dict[str, list[Json]]:
    """Every value each property had, newest first; empty where it was never set."""
    visible = {*records.select(names).names}
    return {
        name: record.history.get(name) or _before_changes(records, record, name)
        for name in sorted(names)
        if name in visible
    }


def change(records: Records, record: Record, changes: dict[str, Value], at_ms: int) -> None:
    """Set values, note those that differ in the history, and move the modified date."""
    note(records, record, changes, at_ms, source="API")
    record.changes = {**(record.changes or {}), **changes}
    modified(records, record, at_ms)


def note(
    records: Records, record: Record, changes: dict[str, Value], at_ms: int, *, source: str
) -> None:
    """Add values to the history of a record that does not have them yet."""
    before = history(records, record, list(changes))
    for name, value in changes.items():
        known = name in records.properties
        if known and (value or "") != (records.value(record, name) or ""):
            entry = {"value": value or "", "timestamp": iso(at_ms), "sourceType": source}
            record.history[name] = [entry, *before.get(name, [])]


def modified(records: Records, record: Record, at_ms: int) -> None:
    """Move the modified date; properties that stay as they are keep theirs in the history."""
    records.first_updates.setdefault(record.id, record.updated_ms)
    record.updated_ms = at_ms
    records.touch()


def _before_changes(records: Records, record: Record, name: str) -> list[Json]:
    value = records.value(record, name)
    if value is None:
        return []
    at_ms = record.updated_ms
    if name != records.modified_property:
        at_ms = records.first_updates.get(record.id, at_ms)
    newest = {
        "value": value,
        "timestamp": iso(at_ms),
        "sourceType": "CRM_UI",
        "sourceId": f"userId:{_EDITOR}",
        "updatedByUserId": _EDITOR,
    }
    older = records.older_value(record, name)
    if not older or older == value:
        return [newest]
    oldest = {"value": older, "timestamp": iso(record.created_ms), "sourceType": "INTEGRATION"}
    if record.id % 3:  # HubSpot promises no more than the three
        oldest |= _IMPORT
    return [newest, oldest]
