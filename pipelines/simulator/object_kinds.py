"""Every object type of the portal, as a table: nothing else knows one from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipelines.simulator import (
    call_properties,
    company_properties,
    contact_properties,
    deal_properties,
    machine_properties,
    ticket_properties,
)

if TYPE_CHECKING:
    from types import ModuleType

    from pipelines.simulator.definitions import Property

PORTAL_ID: Final = 44237313


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """One object type.

    Attributes:
        object_type: Plural, as in the URL.
        singular: As in the URL of associations.
        type_id: HubSpot's number for it, as in links: "0-1".
        properties: Definitions with their values.
        groups: Property groups, name to label.
        defaults: Properties answered when none are asked for.
        always: Properties answered whatever is asked for.
        searched: Properties that the `query` of a search looks at.
        scopes: What the scopes that open it call it; the first is named where one is missing.
        is_custom: Whether the account made it.
        displayed: The property that a custom one's records go by.
    """

    object_type: str
    singular: str
    type_id: str
    properties: tuple[Property, ...]
    groups: dict[str, str]
    defaults: tuple[str, ...]
    always: tuple[str, ...]
    searched: tuple[str, ...]
    scopes: tuple[str, ...]
    is_custom: bool = False
    displayed: str = ""

    @property
    def fully_qualified_name(self) -> str:
        """What HubSpot calls a custom one across accounts."""
        return f"p{PORTAL_ID}_{self.object_type}"


def _kind(
    names: str, type_id: str, of: ModuleType, scopes: tuple[str, ...], *, is_custom: bool = False
) -> ObjectKind:
    """A row of the table; `names` is "plural singular", `of` the module of its properties."""
    object_type, singular = names.split()
    return ObjectKind(
        object_type=object_type,
        singular=singular,
        type_id=type_id,
        properties=of.PROPERTIES,
        groups=of.GROUPS,
        defaults=of.DEFAULTS,
        always=of.ALWAYS,
        searched=of.SEARCHED,
        scopes=scopes,
        is_custom=is_custom,
        displayed=of.DISPLAYED if is_custom else "",
    )


OBJECT_KINDS: Final = {
    kind.object_type: kind
    for kind in (
        _kind("contacts contact", "0-1", contact_properties, ("contacts",)),
        _kind("calls call", "0-48", call_properties, ("contacts", "calls")),
        _kind("companies company", "0-2", company_properties, ("companies",)),
        _kind("deals deal", "0-3", deal_properties, ("deals",)),
        _kind("tickets ticket", "0-5", ticket_properties, ("tickets",)),
        _kind("machines machine", "2-7701234", machine_properties, ("custom",), is_custom=True),
    )
}

_LONG_NAMES: Final = {
    **{kind.type_id: name for name, kind in OBJECT_KINDS.items()},
    **{kind.fully_qualified_name: name for name, kind in OBJECT_KINDS.items() if kind.is_custom},
    **{f"p_{name}": name for name, kind in OBJECT_KINDS.items() if kind.is_custom},
}
_SINGULARS: Final = {kind.singular: name for name, kind in OBJECT_KINDS.items()}


def object_type_of(named: str, *, or_singular: bool = False) -> str | None:
    """The plural of whatever a URL may call an object type; None if there is no such one."""
    if named in OBJECT_KINDS:
        return named
    return _LONG_NAMES.get(named) or (_SINGULARS.get(named) if or_singular else None)
