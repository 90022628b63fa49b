"""HubSpot's property definitions, and the kinds of values there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a property's values are read; the value is the word used in settings."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    LIST = "list"

    @property
    def sql_type(self) -> str:
        """The warehouse's word for the column, as in `errors.expected_type`."""
        return _SQL_TYPES[self]

    @classmethod
    def parse(cls, word: str) -> Kind:
        """The kind that a word in the settings means, in any case.

        Raises:
            ValueError: The word is none of those accepted; the message lists them.
        """
        try:
            return _WORDS[word.strip().lower()]
        except KeyError:
            words = ", ".join(_WORDS)
            raise ValueError(f"{word!r} is not a type; write one of: {words}") from None


_SQL_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.NUMBER: "DOUBLE",
    Kind.INTEGER: "BIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.DATETIME: "TIMESTAMPTZ",
    Kind.LIST: "JSON",
}

_WORDS = {kind.value: kind for kind in Kind} | {
    "double": Kind.NUMBER,
    "bigint": Kind.INTEGER,
    "bool": Kind.BOOLEAN,
    "timestamp": Kind.DATETIME,
}


@dataclass(frozen=True, slots=True)
class Option:
    """One value that an enumeration may hold, and the label people see."""

    value: str
    label: str | None = None
    description: str | None = None
    display_order: int | None = None
    hidden: bool = False

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> Option | None:
        """The option, or None when it has no value to decode."""
        value = _text(raw, "value")
        if value is None:
            return None
        return cls(
            value=value,
            label=_text(raw, "label"),
            description=_text(raw, "description"),
            display_order=_whole(raw, "displayOrder"),
            hidden=_flag(raw, "hidden"),
        )


@dataclass(frozen=True, slots=True)
class Property:
    """What HubSpot says about one property. Moments are ISO text, as sent."""

    name: str
    label: str | None = None
    type: str | None = None
    field_type: str | None = None
    description: str | None = None
    group_name: str | None = None
    referenced_object_type: str | None = None
    calculated: bool = False
    external_options: bool = False
    has_unique_value: bool = False
    hidden: bool = False
    hubspot_defined: bool = False
    archived: bool = False
    form_field: bool = False
    display_order: int | None = None
    data_sensitivity: str | None = None
    number_display_hint: str | None = None
    date_display_hint: str | None = None
    text_display_hint: str | None = None
    currency_property_name: str | None = None
    calculation_formula: str | None = None
    read_only_value: bool = False
    read_only_definition: bool = False
    created_at: str | None = None
    updated_at: str | None = None
    archived_at: str | None = None
    options: tuple[Option, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> Property:
        """The definition; a field that is missing or has an odd shape takes its default.

        Raises:
            ValueError: There is no name, so no value can be asked for.
        """
        name = _text(raw, "name")
        if not name:
            raise ValueError("a property definition needs a name")
        modification = raw.get("modificationMetadata")
        limits = modification if isinstance(modification, Mapping) else {}
        return cls(
            name=name,
            label=_text(raw, "label"),
            type=_text(raw, "type"),
            field_type=_text(raw, "fieldType"),
            description=_text(raw, "description"),
            group_name=_text(raw, "groupName"),
            referenced_object_type=_text(raw, "referencedObjectType"),
            calculated=_flag(raw, "calculated"),
            external_options=_flag(raw, "externalOptions"),
            has_unique_value=_flag(raw, "hasUniqueValue"),
            hidden=_flag(raw, "hidden"),
            hubspot_defined=_flag(raw, "hubspotDefined"),
            archived=_flag(raw, "archived"),
            form_field=_flag(raw, "formField"),
            display_order=_whole(raw, "displayOrder"),
            data_sensitivity=_text(raw, "dataSensitivity"),
            number_display_hint=_text(raw, "numberDisplayHint"),
            date_display_hint=_text(raw, "dateDisplayHint"),
            text_display_hint=_text(raw, "textDisplayHint"),
            currency_property_name=_text(raw, "currencyPropertyName"),
            calculation_formula=_text(raw, "calculationFormula"),
            read_only_value=_flag(limits, "readOnlyValue"),
            read_only_definition=_flag(limits, "readOnlyDefinition"),
            created_at=_text(raw, "createdAt"),
            updated_at=_text(raw, "updatedAt"),
            archived_at=_text(raw, "archivedAt"),
            options=_options(raw.get("options")),
        )


def _text(raw: Mapping[str, object], key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None


def _flag(raw: Mapping[str, object], key: str) -> bool:
    return raw.get(key) is True


def _whole(raw: Mapping[str, object], key: str) -> int | None:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None  # what a BIGINT holds


def _options(raw: object) -> tuple[Option, ...]:
    items = raw if isinstance(raw, list | tuple) else ()
    found = (Option.of(item) for item in items if isinstance(item, Mapping))
    return tuple(option for option in found if option is not None)
