"""The columns of an object's table, as they follow from HubSpot's definitions."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.definitions import Kind, Property

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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

_KINDS_BY_TYPE = {"bool": Kind.BOOLEAN, "date": Kind.DATE, "datetime": Kind.DATETIME}


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
