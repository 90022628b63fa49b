"""Two contacts made one: what the winner looks like, and which ids answer for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.simulator.history import modified, note
from pipelines.simulator.record import Record

if TYPE_CHECKING:
    from pipelines.simulator.records import Records
    from pipelines.simulator.values import Value


def merge(
    records: Records,
    primary: Record,
    other: Record,
    at_ms: int,
    *,
    winner_id: int | None,
    is_noted: bool = True,
) -> int:
    """Merge two live contacts and give the winner's id: `winner_id`, or the primary's if None.

    The winner takes the primary's values, and the other's where the primary has none.
    With an id of its own it is a new record, and both old ids answer under it. The history
    knows of it only if it `is_noted`.
    """
    losers = [primary, other] if winner_id else [other]
    current_id = winner_id or primary.id
    kept = _combined(records, primary, other)
    gone = {loser.id for loser in losers}
    old_ids = sorted(
        gone | {old for old, now in records.aliases.items() if now in gone | {primary.id}}
    )
    for loser in losers:
        records.remove(loser)
    records.aliases |= dict.fromkeys(old_ids, current_id)
    winner, values = primary, kept | _merge_values(current_id, old_ids, at_ms)
    if winner_id:
        winner = Record(winner_id, min(primary.created_ms, other.created_ms), at_ms)
        records.add(winner)
    elif is_noted:
        note(records, winner, values, at_ms, source="MERGE_OBJECTS")
    winner.is_generated = False
    winner.changes = values
    if is_noted:
        modified(records, winner, at_ms)
    winner.updated_ms = at_ms
    records.touch()
    return winner.id


def _combined(records: Records, primary: Record, other: Record) -> dict[str, Value]:
    everything = records.select(None)
    first, second = records.values(primary, everything), records.values(other, everything)
    kept = second | {name: value for name, value in first.items() if value}
    emails = f"{first.get('hs_additional_emails') or ''};{second.get('hs_additional_emails') or ''}"
    if first.get("email") and second.get("email"):
        emails = f"{emails};{second['email']}"
    kept["hs_additional_emails"] = ";".join(filter(None, emails.split(";"))) or None
    return {name: value for name, value in kept.items() if name not in records.always}


def _merge_values(winner_id: int, old_ids: list[int], at_ms: int) -> dict[str, Value]:
    return {
        "hs_merged_object_ids": ";".join(map(str, old_ids)),
        "hs_calculated_merged_vids": ";".join(f"{old}:{at_ms}" for old in old_ids),
        "hs_all_contact_vids": ";".join(map(str, (winner_id, *old_ids))),
    }
