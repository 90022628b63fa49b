"""Answers about properties and their groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from pipelines.simulator.wire import (
    NEWEST,
    Answer,
    Call,
    Refusal,
    decoded,
    now_iso,
    partial,
    required,
)

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json

_GONE_2026_09: Final = frozenset({"numberDisplayHint", "textDisplayHint", "currencyPropertyName"})


class _Name(msgspec.Struct):
    name: str


class _BatchRead(msgspec.Struct, rename="camel"):
    inputs: list[_Name] | None = None
    archived: bool = False
    data_sensitivity: str = "non_sensitive"


def list_properties(call: Call) -> Answer:
    """Every definition, archived ones or sensitive ones only where the query says so."""
    sensitivity = call.query.get("dataSensitivity", "non_sensitive")
    found = _definitions(call, archived=call.is_archived, sensitivity=sensitivity)
    return Answer({"results": list(found.values())})


def read_property(call: Call) -> Answer:
    """One definition by name."""
    name = call.path["name"]
    sensitivity = call.query.get("dataSensitivity", "non_sensitive")
    found = _definitions(call, archived=call.is_archived, sensitivity=sensitivity)
    if name not in found:
        raise Refusal(
            404,
            f'Property "{name}" does not exist',
            category="OBJECT_NOT_FOUND",
            context={"propertyName": [name]},
        )
    return Answer(found[name])


def batch_read_properties(call: Call) -> Answer:
    """Definitions by name: 200, or 207 when some do not exist."""
    request = decoded(call.body, _BatchRead)
    if request.inputs is None:
        raise required(["inputs"])
    found = _definitions(call, archived=request.archived, sensitivity=request.data_sensitivity)
    names = list(dict.fromkeys(one.name for one in request.inputs))
    body: Json = {
        "completedAt": now_iso(),
        "status": "COMPLETE",
        "startedAt": now_iso(),
        "results": [found[name] for name in names if name in found],
    }
    missing = [name for name in names if name not in found]
    error = {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "Could not get some properties, they may be deleted or not exist.",
        "context": {"name": missing},
    }
    return partial(call, body, error) if missing else Answer(body)


def list_groups(call: Call) -> Answer:
    """The groups that properties are sorted into."""
    groups = enumerate(call.records.groups.items())
    return Answer(
        {
            "results": [
                {"name": name, "label": label, "displayOrder": order, "archived": False}
                for order, (name, label) in groups
            ]
        }
    )


def _definitions(call: Call, *, archived: bool, sensitivity: str) -> dict[str, Json]:
    found = {
        name: prop.definition
        for name, prop in sorted(call.records.properties.items())
        if prop.definition.get("archived", False) == archived
        and prop.definition["dataSensitivity"] == sensitivity
    }
    gone = _GONE_2026_09 if call.version == NEWEST else frozenset()
    return {
        name: {key: value for key, value in definition.items() if key not in gone}
        | _kind_of(call, name)
        for name, definition in found.items()
        if name not in call.deviation.undefined
    }


def _kind_of(call: Call, name: str) -> Json:
    """Type and field type, where this API version deviates in them."""
    kind = call.deviation.kinds.get(name)
    return dict(zip(("type", "fieldType"), kind.split("/"), strict=True)) if kind else {}
