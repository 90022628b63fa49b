"""Requests as handlers see them, answers as they give them, refusals in HubSpot's envelope."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import msgspec

from pipelines.simulator.object_kinds import OBJECT_KINDS, object_type_of
from pipelines.simulator.portal import Portal
from pipelines.simulator.values import epoch_ms, iso
from pipelines.simulator.variants import NO_DEVIATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.datastructures import QueryParams

    from pipelines.simulator.definitions import Json
    from pipelines.simulator.records import Records
    from pipelines.simulator.variants import Deviation, Variants

NEWEST: Final = "2026-09"
PARTIAL: Final = 207
_DOCUMENTATION: Final = "https://developers.hubspot.com/docs"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request that passed the gate."""

    portal: Portal
    variants: Variants
    version: str
    path: Mapping[str, str]
    query: QueryParams
    body: bytes

    @property
    def records(self) -> Records:
        """The records of the object type in the path, which may be its name or type id.

        Raises:
            Refusal: 400, the portal has no such object type.
        """
        return self.portal.records[self._object_type("object_type")]

    @property
    def to_records(self) -> Records:
        """As `records`, of the type that associations lead to."""
        return self.portal.records[self._object_type("to_type")]

    @property
    def is_about_associations(self) -> bool:
        """Whether the path names two object types, which may be singular then."""
        return "to_type" in self.path

    def _object_type(self, key: str) -> str:
        named = self.path[key]
        found = object_type_of(named, or_singular=self.is_about_associations)
        is_bare = found is not None and named == found and OBJECT_KINDS[found].is_custom
        if found is None or (is_bare and self.variants.custom_object_by_name == "400"):
            raise Refusal(400, f"Unable to infer object type from: {named}")
        return found

    @property
    def is_archived(self) -> bool:
        """Whether the query asks for archived records or definitions."""
        return self.query.get("archived", "false").lower() == "true"

    @property
    def deviation(self) -> Deviation:
        """What the version called says otherwise than the others."""
        named = self.variants.deviation
        return named if named.version == self.version else NO_DEVIATION

    def names(self, key: str) -> list[str]:
        """Property names from the query, comma-separated or repeated."""
        return [name for value in self.query.getlist(key) for name in value.split(",") if name]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers with; `body` is encoded as JSON, and hardly ever not an object."""

    body: Any
    status: int = 200


def batch(call: Call, started_at: str, results: list[Json], errors: Sequence[Json] = ()) -> Answer:
    """The answer to a batch: 200, or 207 when some of it is missing, as `errors` say.

    2026-09 documents no 207: the same body may come with 200.
    """
    body: Json = {
        "completedAt": now_iso(),
        "status": "COMPLETE",
        "startedAt": started_at,
        "results": results,
    }
    if call.variants.batch_fields == "all":
        body |= {"requestedAt": started_at, "links": {"status": _DOCUMENTATION}}
        errors = [_in_full(one) for one in errors]
    if not errors:
        return Answer(body)
    status = call.variants.missing_ids_2026_09 if call.version == NEWEST else PARTIAL
    if call.variants.error_fields == "message only":
        errors = [{"message": one["message"]} for one in errors]
    return Answer({**body, "errors": errors, "numErrors": len(errors)}, status)


def _in_full(error: Json) -> Json:
    """An entry of `errors` with every field that HubSpot's reference names."""
    detail = {
        "message": error["message"],
        "code": error["category"],
        "in": "inputs",
        "subCategory": error.get("subCategory", "crm.batch"),
        "context": error["context"],
    }
    return {
        "id": correlation_id(),
        **error,
        "links": {"knowledge-base": _DOCUMENTATION},
        "errors": [detail],
    }


class Refusal(Exception):  # noqa: N818  (an answer, not an error)
    """An answer of 4xx in HubSpot's error envelope; the gate adds the correlation id."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"status": "error", "message": message, **more}


def invalid(message: str, **more: Any) -> Refusal:
    """400 VALIDATION_ERROR."""
    return Refusal(400, message, category="VALIDATION_ERROR", **more)


def decoded(body: bytes, kind: type[T]) -> T:
    """The body as `kind`.

    Raises:
        Refusal: 400, not JSON or not of that shape.
    """
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.ValidationError as exc:
        raise Refusal(400, f"Invalid input JSON on line 1, column 1: {exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Refusal(400, f"Invalid input JSON on line 1, column 1: {exc}") from exc


def required(missing: Sequence[str]) -> Refusal:
    """400 for fields that the body lacks."""
    fields = ", ".join(missing)
    return invalid(
        f"Invalid input JSON on line 1, column 1. Some required fields were not set: [{fields}]"
    )


def now_iso() -> str:
    """The wall clock as HubSpot prints it, for `startedAt` and its like."""
    return iso(epoch_ms(datetime.now(UTC)))


def correlation_id() -> str:
    """A new UUID of version 7, as HubSpot's newer ones are."""
    milliseconds = int(time.time() * 1000)
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    return str(UUID(int=number & ~(0b11 << 62) | 0b10 << 62))
