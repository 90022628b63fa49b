"""What values a property had before: made up from the seed, then kept for every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.simulator.values import Value, iso

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json
    from pipelines.simulator.record import Record
    from pipelines.simulator.records import Records

_EDITOR: Final = 61526374


def history(records: Records, record: Record, names: list[str]) -> dict[str, list[Json]]:
    """Every value each property had, newest first; empty where it was never set."""
    visible = [name for name in sorted(names) if name in records.select(names).names]
    return {
        name: record.history.get(name) or _before_changes(records, record, name) for name in visible
    }


def change(records: Records, record: Record, changes: dict[str, Value], at_ms: int) -> None:
    """Set values, note them in the history and move the modified date."""
    before = history(records, record, list(changes))
    for name, value in changes.items():
        entry = {"value": value, "timestamp": iso(at_ms), "sourceType": "API"}
        record.history[name] = [entry, *before.get(name, [])]
    record.changes = {**(record.changes or {}), **changes}
    record.updated_ms = at_ms
    records.touch()


def _before_changes(records: Records, record: Record, name: str) -> list[Json]:
    value = records.value(record, name)
    if value is None:
        return []
    newest = {
        "value": value,
        "timestamp": iso(record.updated_ms),
        "sourceType": "CRM_UI",
        "sourceId": f"userId:{_EDITOR}",
        "updatedByUserId": _EDITOR,
    }
    older = records.older_value(record, name)
    if not older or older == value:
        return [newest]
    return [
        newest,
        {"value": older, "timestamp": iso(record.created_ms), "sourceType": "INTEGRATION"},
    ]
