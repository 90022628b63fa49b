"""One record, and the values that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipelines.simulator.values import Value, iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.simulator.definitions import Json


@dataclass(slots=True)
class Record:
    """What is stored of one record; the other values follow from the seed and the id."""

    id: int
    created_ms: int
    updated_ms: int
    archived_ms: int | None = None
    is_generated: bool = True
    changes: dict[str, Value] | None = None
    history: dict[str, list[Json]] = field(default_factory=dict)


def _email(record: Record) -> Value:
    return f"contact.{record.id}@example.com" if record.is_generated and record.id % 20 else None


def _additional_emails(record: Record) -> Value:
    if not record.is_generated or record.id % 10 != 3:
        return None
    return f"alias.{record.id}@example.org;second.{record.id}@example.net"


DERIVED: Final[dict[str, Callable[[Record], Value]]] = {
    "createdate": lambda record: iso(record.created_ms),
    "email": _email,
    "external_id": lambda record: f"EXT-{record.id:012d}" if record.is_generated else None,
    "hs_additional_emails": _additional_emails,
    "hs_all_contact_vids": lambda record: str(record.id),
    "hs_createdate": lambda record: iso(record.created_ms),
    "hs_lastmodifieddate": lambda record: iso(record.updated_ms),
    "hs_object_id": lambda record: str(record.id),
    "hs_unique_id": lambda record: f"call-{record.id:x}" if record.is_generated else None,
    "lastmodifieddate": lambda record: iso(record.updated_ms),
    "serial_number": lambda record: f"SN-{record.id:012d}" if record.is_generated else None,
}
"""How to read the properties that are not drawn from a pool."""
