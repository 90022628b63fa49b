"""HubSpot's property definitions, and the columns that follow from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RESERVED = frozenset({"id", "created_at", "updated_at", "archived_at", "archived", "synced_at"})
"""Columns that every object's table has besides its properties."""

LOADER_PREFIX = "_dlt_"

_ODD_CHARACTER = re.compile(r"\W")

MULTI_VALUED = frozenset(
    {
        "hs_additional_emails",
        "hs_all_accessible_team_ids",
        "hs_all_contact_vids",
        "hs_all_owner_ids",
        "hs_all_team_ids",
        "hs_at_mentioned_owner_ids",
        "hs_calculated_merged_vids",
        "hs_merged_object_ids",
        "hs_queue_membership_ids",
        "hs_user_ids_of_all_owners",
    }
)
"""Enumerations that hold several values although their field type says one."""


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

_KINDS_BY_TYPE = {"bool": Kind.BOOLEAN, "date": Kind.DATE, "datetime": Kind.DATETIME}

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
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _options(raw: object) -> tuple[Option, ...]:
    items = raw if isinstance(raw, list | tuple) else ()
    found = (Option.of(item) for item in items if isinstance(item, Mapping))
    return tuple(option for option in found if option is not None)


def kind_of(prop: Property, override: str | None = None) -> Kind:
    """How to read the property's values: by the override, else by HubSpot's type.

    The type decides, not the field type: most moments have the field type "date".

    Raises:
        ValueError: The override is not a type.
    """
    if override is not None:
        return Kind.parse(override)
    if prop.type == "number":
        return _kind_of_number(prop)
    if prop.type == "enumeration":
        return _kind_of_enumeration(prop)
    return _KINDS_BY_TYPE.get(prop.type or "", Kind.TEXT)


def _kind_of_number(prop: Property) -> Kind:
    names_a_record = prop.name == "hs_object_id" or bool(prop.referenced_object_type)
    return Kind.INTEGER if names_a_record else Kind.NUMBER


def _kind_of_enumeration(prop: Property) -> Kind:
    if prop.field_type == "booleancheckbox":
        return Kind.BOOLEAN
    if prop.field_type == "checkbox" or prop.name in MULTI_VALUED:
        return Kind.LIST
    return Kind.TEXT


@dataclass(frozen=True, slots=True)
class Column:
    """Where a property's values go: from `property`, read as `kind`, into the column `name`."""

    property: str
    name: str
    kind: Kind
    comment: str | None = None


def columns(
    properties: Iterable[Property],
    *,
    overrides: Mapping[str, str] | None = None,
    known: Mapping[str, Mapping[Kind, str]] | None = None,
) -> tuple[Column, ...]:
    """The columns of an object's table, sorted by property.

    A column has its property's name. Where that is taken (by an envelope
    column, the loader, or another column that differs only in case) it gets a
    suffix that depends on the property's name alone. A column never changes
    its type: a property whose kind changed gets one more column, named for
    the kind, and its old column when it changes back.

    Args:
        properties: In any order; of two with one name, the one not archived counts.
        overrides: Property to a word that `Kind.parse` accepts.
        known: Property to the columns the warehouse has for it, by kind; the
            **last** is the one in use. Between NUMBER and INTEGER it decides
            (the first values seen did, once), unless there is an override.

    Raises:
        ValueError: An override is not a type.
    """
    overrides, known = overrides or {}, known or {}
    wanted = {prop.name: prop for prop in sorted(properties, key=_worst_first)}
    kinds = {
        name: _lasting_kind(prop, overrides.get(name), known.get(name, {}))
        for name, prop in wanted.items()
    }
    names = _column_names(kinds, known)
    return tuple(
        Column(name, names[name], kinds[name], _comment(wanted[name])) for name in sorted(wanted)
    )


def _worst_first(prop: Property) -> tuple[bool, str]:
    return (not prop.archived, repr(prop))


def _lasting_kind(prop: Property, override: str | None, known: Mapping[Kind, str]) -> Kind:
    kind = kind_of(prop, override)
    in_use = list(known)[-1] if known else kind
    numeric = {Kind.NUMBER, Kind.INTEGER}
    return in_use if override is None and in_use in numeric and kind in numeric else kind


def _column_names(
    kinds: Mapping[str, Kind], known: Mapping[str, Mapping[Kind, str]]
) -> dict[str, str]:
    taken = {name.casefold() for by_kind in known.values() for name in by_kind.values()}
    taken |= RESERVED
    names = {}
    # What the warehouse has comes first, then plain lower-case names: they keep their own.
    for name in sorted(kinds, key=lambda name: (name not in known, name != name.lower(), name)):
        by_kind = known.get(name, {})
        wish = f"{name}__v_{kinds[name]}" if by_kind else name
        names[name] = by_kind.get(kinds[name]) or _free_name(wish, name, taken)
        taken.add(names[name].casefold())
    return names


def _free_name(wish: str, name: str, taken: set[str]) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    if _ODD_CHARACTER.search(wish):
        # Legal in SQL when quoted, but loaders cut statements at semicolons and rename quotes.
        wish = f"{_ODD_CHARACTER.sub('_', wish)}__{digest[:6]}"
    if wish.casefold().startswith(LOADER_PREFIX):
        wish = f"{wish.lstrip('_')}__{digest[:6]}"
    candidates: Sequence[str] = [wish, *(f"{wish}__{digest[:n]}" for n in range(6, 65))]
    return next(candidate for candidate in candidates if candidate.casefold() not in taken)


def _comment(prop: Property) -> str | None:
    label, description = (prop.label or "").strip(), (prop.description or "").strip()
    if description in {"", label}:
        return label or None
    return f"{label}: {description}" if label else description
