"""What is read of one object type, and into which columns: settings meet HubSpot's definitions."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import polars as pl
import pyarrow as pa

from pipelines.configured import SECTION
from pipelines.errors import ConfigError
from pipelines.hubspot.client import HubSpotClient
from pipelines.settings import ObjectSettings
from transforms.columns import Column, columns
from transforms.definitions import Kind, Property
from transforms.normalise import integers
from transforms.records import ENVELOPE

USUAL_COLUMNS = 200
"""What is in memory at a time is measured in records of up to so many columns. Portals with more
than 1,000 properties exist."""

KnownColumns = Mapping[str, Mapping[Kind, str]]
"""The columns a warehouse has, by property and kind; the last of each is the one in use."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One object type: its definitions, the properties to read, and their columns."""

    object_type: str
    definitions: tuple[Property, ...]
    columns: tuple[Column, ...]
    known: KnownColumns
    types: Mapping[str, str]

    @property
    def properties(self) -> tuple[str, ...]:
        """Names to ask HubSpot for."""
        return tuple(column.property for column in self.columns)

    @property
    def weight(self) -> int:
        """How many records each of these counts for, where memory is the matter: 1 or more."""
        return max(math.ceil(len(self.columns) / USUAL_COLUMNS), 1)

    @property
    def json_columns(self) -> tuple[str, ...]:
        """Columns that hold a JSON array."""
        return tuple(column.name for column in self.columns if column.kind is Kind.LIST)

    def only(self, properties: Sequence[str]) -> Reading:
        """The same, with nothing read but these properties.

        Raises:
            ConfigError: One of them is not among those that are read.
        """
        for name in properties:
            if name not in self.properties:
                close = difflib.get_close_matches(name, self.properties, n=1)
                raise ConfigError(
                    f"{self.object_type} has no property {name!r} that is read"
                    + (f": did you mean {close[0]!r}?" if close else "; see the table `properties`")
                )
        return replace(self, columns=tuple(c for c in self.columns if c.property in properties))

    def stale(self, in_use: Mapping[str, str | None]) -> tuple[str, ...]:
        """Properties whose values are not in their columns, though no record has changed.

        Their type is another one now, or the settings leave them out no longer, or HubSpot
        calculates them and has only begun to.

        Args:
            in_use: The column of each live property in the last run; empty before the first.
        """
        calculated = {prop.name for prop in self.definitions if prop.calculated}
        return tuple(
            column.property
            for column in self.columns
            if in_use
            and (
                in_use[column.property] != column.name
                if column.property in in_use
                else column.property in calculated
            )
        )

    def calculated(self) -> tuple[str, ...]:
        """Properties that are read and whose values HubSpot calculates."""
        calculated = {prop.name for prop in self.definitions if prop.calculated}
        return tuple(c.property for c in self.columns if c.property in calculated)

    def check_unique(self, id_property: str) -> None:
        """Nothing, when records can be read by this property.

        Raises:
            ConfigError: They cannot.
        """
        named = {prop.name: prop for prop in self.definitions if not prop.archived}
        unique = sorted(n for n, prop in named.items() if prop.has_unique_value or n == "email")
        if id_property not in unique:
            raise ConfigError(
                f"records of {self.object_type} cannot be read by {id_property!r}: "
                f"it must be a unique property ({', '.join(unique) or 'there is none'})"
            )

    def changed_columns(self) -> list[str]:
        """One line for each property whose values go to another column than before."""
        return [
            f"{self.object_type}.{column.property} is {column.kind.sql_type} now: "
            f"its values go to the column {column.name}"
            for column in self.columns
            if (known := self.known.get(column.property))
            and list(known.values())[-1] != column.name
        ]

    def fitted(self, raw: pl.DataFrame) -> Reading:
        """The same, with BIGINT for new number columns whose first values need it.

        Numbers beyond 2^53 do not fit a DOUBLE, and a column never changes its type.
        """
        undecided = [
            column.property
            for column in self.columns
            if column.kind is Kind.NUMBER
            and column.property not in self.known
            and column.property not in self.types
        ]
        found = dict.fromkeys(integers(raw, undecided), Kind.INTEGER.value)
        return _reading(self, {**self.types, **found}) if found else self

    def properties_table(self) -> pa.Table:
        """Rows of `properties`: every definition, with the column of those that are read."""
        in_use = {column.property: column for column in self.columns}
        return pa.Table.from_pylist(
            [self._property_row(prop, in_use.get(prop.name)) for prop in self.definitions],
            schema=PROPERTIES,
        )

    def _property_row(self, prop: Property, column: Column | None) -> dict[str, Any]:
        row: dict[str, Any] = {name: getattr(prop, name, None) for name in PROPERTIES.names}
        earlier = [
            {"column_name": name, "column_type": kind.sql_type}
            for kind, name in self.known.get(prop.name, {}).items()
            if column is None or name != column.name
        ]
        return row | {
            "object_type": self.object_type,
            "column_name": column.name if column else None,
            "column_type": column.kind.sql_type if column else None,
            "previous_columns": json.dumps(earlier) if earlier else None,
        }

    def options_table(self) -> pa.Table:
        """Rows of `property_options`: every option of every definition, once."""
        rows = {
            (prop.name, option.value): {
                "object_type": self.object_type,
                "property": prop.name,
                "value": option.value,
                "label": option.label,
                "description": option.description,
                "display_order": option.display_order,
                "hidden": option.hidden,
            }
            for prop in self.definitions
            for option in prop.options
        }
        return pa.Table.from_pylist(list(rows.values()), schema=PROPERTY_OPTIONS)


_TEXT_FIELDS = (
    "label", "type", "field_type", "description", "group_name", "referenced_object_type",
    "data_sensitivity", "number_display_hint", "date_display_hint", "text_display_hint",
    "currency_property_name", "calculation_formula",
)  # fmt: skip
_FLAG_FIELDS = (
    "calculated", "external_options", "has_unique_value", "hidden", "hubspot_defined",
    "archived", "form_field", "read_only_value", "read_only_definition",
)  # fmt: skip
PROPERTIES = pa.schema(
    [
        pa.field("object_type", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        ("column_name", pa.string()),
        ("column_type", pa.string()),
        ("previous_columns", pa.string()),
        *((name, pa.string()) for name in _TEXT_FIELDS),
        *((name, pa.bool_()) for name in _FLAG_FIELDS),
        ("display_order", pa.int64()),
        *((name, pa.string()) for name in ("created_at", "updated_at", "archived_at")),
    ]
)
PROPERTY_OPTIONS = pa.schema(
    [
        pa.field("object_type", pa.string(), nullable=False),
        pa.field("property", pa.string(), nullable=False),
        pa.field("value", pa.string(), nullable=False),
        ("label", pa.string()),
        ("description", pa.string()),
        ("display_order", pa.int64()),
        ("hidden", pa.bool_()),
    ]
)


async def reading_of(
    client: HubSpotClient,
    object_type: str,
    settings: ObjectSettings,
    known: KnownColumns,
    *,
    defined: Collection[str] = (),
) -> Reading:
    """What to read of an object type, by its definitions in HubSpot as they are now.

    Archived definitions are asked for when a live one is gone, or none is known yet.

    Args:
        client: Where to ask.
        object_type: Plural, as in the path.
        settings: Which properties, as which types.
        known: The columns that the warehouse has already; they keep name and type.
        defined: Names of the live definitions that the warehouse has already.

    Raises:
        ConfigError: The settings name a property that HubSpot does not define.
    """
    live = _named(await client.properties(object_type))
    archived: list[Property] = []
    if not defined or not {prop.name for prop in live}.issuperset(defined):
        found = _named(await client.properties(object_type, archived=True))
        archived = [replace(prop, archived=True) for prop in found]
    named = {prop.name: prop for prop in (*archived, *live)}
    definitions = tuple(named[name] for name in sorted(named))
    empty = Reading(object_type, definitions, (), known, settings.types)
    return _reading(empty, settings.types, selected(definitions, settings, object_type))


def _named(raw: Iterable[Mapping[str, object]]) -> list[Property]:
    """The definitions with a name that is text: without one nothing can be asked for."""
    return [Property.of(one) for one in raw if one.get("name") and isinstance(one["name"], str)]


def selected(
    definitions: Iterable[Property], settings: ObjectSettings, object_type: str
) -> tuple[str, ...]:
    """Names of the properties to read, sorted: those the settings include and do not exclude.

    A property called like a column of the raw frame (`@id`) is not read; `properties` lists it.

    Raises:
        ConfigError: The settings name a property that HubSpot does not define.
    """
    live = sorted(prop.name for prop in definitions if not prop.archived)
    for key, patterns in (
        ("properties", settings.properties),
        ("exclude_properties", settings.exclude_properties),
        ("types", settings.types),
    ):
        for pattern in patterns:
            _check_defined(f"{SECTION}.{object_type}.{key}", pattern, live)
    return tuple(
        name
        for name in live
        if name not in ENVELOPE
        and any(fnmatchcase(name, pattern) for pattern in settings.properties)
        and not any(fnmatchcase(name, pattern) for pattern in settings.exclude_properties)
    )


def _check_defined(setting: str, pattern: str, names: Sequence[str]) -> None:
    if any(character in pattern for character in "*?[") or pattern in names:
        return
    close = difflib.get_close_matches(pattern, names, n=1)
    raise ConfigError(
        f"{setting} names {pattern!r}, which HubSpot does not define"
        + (f": did you mean {close[0]!r}?" if close else ": see Settings > Properties in HubSpot")
    )


def _reading(
    reading: Reading, types: Mapping[str, str], names: Iterable[str] | None = None
) -> Reading:
    wanted = set(reading.properties if names is None else names)
    chosen = [p for p in reading.definitions if p.name in wanted and not p.archived]
    return replace(
        reading, columns=columns(chosen, overrides=types, known=reading.known), types=types
    )
