"""Answers about properties, their groups, and custom objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from pipelines.simulator.link_types import PAIRS
from pipelines.simulator.object_kinds import OBJECT_KINDS
from pipelines.simulator.wire import (
    NEWEST,
    Answer,
    Call,
    Refusal,
    batch,
    decoded,
    now_iso,
    required,
)

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json
    from pipelines.simulator.object_kinds import ObjectKind

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
    request, started_at = decoded(call.body, _BatchRead), now_iso()
    if request.inputs is None:
        raise required(["inputs"])
    found = _definitions(call, archived=request.archived, sensitivity=request.data_sensitivity)
    names = list(dict.fromkeys(one.name for one in request.inputs))
    missing = [name for name in names if name not in found]
    error = {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "Could not get some properties, they may be deleted or not exist.",
        "context": {"name": missing},
    }
    results = [found[name] for name in names if name in found]
    return batch(call, started_at, results, [error] if missing else ())


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


def list_schemas(call: Call) -> Answer:
    """Every custom object; none of them is archived."""
    found = [kind for kind in OBJECT_KINDS.values() if kind.is_custom and not call.is_archived]
    return Answer({"results": [_schema(call, kind) for kind in found]})


def read_schema(call: Call) -> Answer:
    """One custom object by its type id or its qualified name."""
    kind = call.records.kind
    if not kind.is_custom:
        raise Refusal(404, f"{kind.object_type} is no custom object", category="OBJECT_NOT_FOUND")
    return Answer(_schema(call, kind))


def _schema(call: Call, kind: ObjectKind) -> Json:
    """As HubSpot's reference has it, on which the facts are silent."""
    number = kind.type_id.partition("-")[2]
    records = call.portal.records[kind.object_type]
    label = kind.singular.capitalize()
    return {
        "labels": {"singular": label, "plural": kind.object_type.capitalize()},
        "requiredProperties": [kind.displayed],
        "searchableProperties": list(kind.searched),
        "primaryDisplayProperty": kind.displayed,
        "secondaryDisplayProperties": [],
        "archived": False,
        "id": number,
        "fullyQualifiedName": kind.fully_qualified_name,
        "createdAt": "2020-02-20T18:07:11.390Z",
        "updatedAt": "2020-02-20T18:09:07.555Z",
        "objectTypeId": kind.type_id,
        "properties": [prop.definition for prop in records.properties.values() if prop.is_visible],
        "associations": _association_definitions(kind),
        "name": kind.object_type,
    }


def _association_definitions(kind: ObjectKind) -> list[Json]:
    """The plain types of its associations, in both directions."""
    found = []
    for pair in PAIRS:
        kinds = (OBJECT_KINDS[pair.first], OBJECT_KINDS[pair.second])
        if kind in kinds:
            for side, (near, far) in enumerate((kinds, kinds[::-1])):
                found.append(
                    {
                        "fromObjectTypeId": near.type_id,
                        "toObjectTypeId": far.type_id,
                        "name": f"{near.singular}_to_{far.singular}",
                        "id": str(pair.plain.type_ids[side]),
                    }
                )
    return found


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
