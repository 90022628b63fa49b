"""Property definitions in HubSpot's own JSON shape, each with the values it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pipelines.simulator.values import Maker, Value, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

_CREATED: Final = "2019-08-06T02:41:08.377Z"
_UPDATED: Final = "2024-05-01T00:00:00.000Z"
_READ_ONLY_FIELD: Final = "calculation_"


def _never(_: object) -> str:
    """For properties that stay null."""
    return ""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the portal: its definition, and how often which value is set.

    `filled`, `empty` and `absent` are shares of the records; the rest is null.
    `is_derived` values follow from the record itself, such as its id.
    """

    definition: Json
    values: Maker = _never
    filled: float = 0.0
    empty: float = 0.0
    absent: float = 0.0
    is_derived: bool = False

    @property
    def name(self) -> str:
        """Internal name."""
        return str(self.definition["name"])

    @property
    def type(self) -> str:
        """HubSpot's `type`."""
        return str(self.definition["type"])

    @property
    def options(self) -> tuple[str, ...]:
        """Internal values of the options, hidden ones too."""
        return tuple(option["value"] for option in self.definition["options"])

    @property
    def is_visible(self) -> bool:
        """Whether records answer with it: neither archived nor sensitive."""
        definition = self.definition
        return (
            not definition.get("archived", False)
            and definition["dataSensitivity"] == "non_sensitive"
        )

    @property
    def is_many(self) -> bool:
        """Whether a value is a `;` list."""
        return self.definition["fieldType"] == "checkbox" or self.name in MANY_VALUED_SELECTS

    def with_definition(self, **changes: Any) -> Property:
        """The same property with other values for some keys of its definition."""
        return replace(self, definition={**self.definition, **changes})


MANY_VALUED_SELECTS: Final = frozenset(
    {
        "hs_additional_emails", "hs_all_accessible_team_ids", "hs_all_contact_vids",
        "hs_all_owner_ids", "hs_all_team_ids", "hs_at_mentioned_owner_ids",
        "hs_calculated_merged_vids", "hs_merged_object_ids", "hs_queue_membership_ids",
        "hs_user_ids_of_all_owners",
    }
)  # fmt: skip
"""Enumerations with fieldType select that hold `;` lists all the same."""


def options(*values: str, hidden: Sequence[str] = ()) -> list[Json]:
    """An option list; a value may be written "value=Label", else the label is made from it."""
    pairs = [value.partition("=") for value in (*values, *hidden)]
    return [
        {
            "label": label or value.replace("_", " ").capitalize(),
            "value": value,
            "displayOrder": -1 if value in hidden else order,
            "hidden": value in hidden,
        }
        for order, (value, _, label) in enumerate(pairs)
    ]


def definition(
    name: str,
    kind: str,
    label: str,
    group: str,
    *,
    own: bool = False,
    **extra: Any,
) -> Json:
    """One property definition.

    Args:
        name: Internal name.
        kind: "type/fieldType", such as "enumeration/checkbox".
        label: What people see.
        group: `groupName`.
        own: Made by the account, not by HubSpot: without `hubspotDefined`, with user ids.
        **extra: Further keys, or other values for the usual ones.
    """
    type_, _, field_type = kind.partition("/")
    read_only = field_type.startswith(_READ_ONLY_FIELD) or extra.get("calculated", False)
    made: Json = {
        "updatedAt": _UPDATED,
        "createdAt": _CREATED,
        "name": name,
        "label": label,
        "type": type_,
        "fieldType": field_type,
        "description": f"{label}.",
        "groupName": group,
        "options": [],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": False,
        "hidden": False,
        "formField": own,
        "dataSensitivity": "non_sensitive",
        "modificationMetadata": {
            "archivable": own,
            "readOnlyDefinition": not own,
            "readOnlyValue": bool(read_only),
        },
    }
    if own:
        made |= {"archived": False, "createdUserId": "61526374", "updatedUserId": "61526374"}
    else:
        made["hubspotDefined"] = True
    return made | extra


def derived(*made: Json) -> tuple[Property, ...]:
    """Properties whose values follow from the record itself."""
    return tuple(Property(one, is_derived=True) for one in made)


def choice(made: Json, *, filled: float, stray: Sequence[str] = (), empty: float = 0.0) -> Property:
    """A property that holds one of its own options, and now and then a `stray` one.

    `stray` values are those of options deleted since, or written before values were checked.
    """
    values: tuple[Value, ...] = tuple(option["value"] for option in made["options"]) * 8
    return Property(made, one_of([v for v in (*values, *stray) if v]), filled, empty)
