"""The analyst's side: views in schema `analytics`, and a comment on every table and column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources

from pipelines.duckdb_file import ANALYTICS, DATASET, literal, quoted
from pipelines.settings import OBJECT_TYPES
from pipelines.warehouse import Warehouse

_LABELS = re.compile(r"/\* labels.*?\*/", re.DOTALL)
_PROPERTIES = re.compile(r"/\* properties.*?\*/", re.DOTALL)
_TARGET = re.compile(r"comment on (?:table|column|view) crm\.(?P<table>\w+)", re.IGNORECASE)
_SOURCES = re.compile(r"\bcrm\.(?P<table>\w+)")
_COMMENT_LINE = re.compile(r"^--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A property column as an analyst sees it. `label_column` is None without options."""

    column: str
    property: str
    is_list: bool
    label_column: str | None
    comment: str


def apply_views(warehouse: Warehouse) -> None:
    """Make the views anew and write every comment.

    A view over a table that is not there yet is left for a later run.
    """
    columns = _columns(warehouse)
    statements = [f"create schema if not exists {ANALYTICS}"]
    for name, text in sql_files("views"):
        if {match["table"] for match in _SOURCES.finditer(text)} <= columns.keys():
            shown = _shown(warehouse, name, columns[name]) if name in OBJECT_TYPES else []
            statements += [*_split(_filled(text, name, shown)), *_shown_comments(name, shown)]
    for _, text in sql_files("comments"):
        for statement in _split(text):
            target = _TARGET.match(statement)
            if target is None or target["table"] in columns:
                statements.append(statement)
    warehouse.execute_together(statements)


def sql_files(folder: str) -> list[tuple[str, str]]:
    """Name and text of every file in a folder of the package `sql`, sorted by name."""
    files = resources.files("sql").joinpath(folder).iterdir()
    return sorted(
        (file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    )


def _split(text: str) -> list[str]:
    """Statements of a file of ours: each ends at a semicolon at the end of a line."""
    bare = _COMMENT_LINE.sub("", text)
    return [part.strip().removesuffix(";") for part in re.split(r"(?<=;)\n", bare) if part.strip()]


def _columns(warehouse: Warehouse) -> dict[str, list[str]]:
    """Columns of every table of `crm`, in order."""
    found: dict[str, list[str]] = {}
    rows = warehouse.query(
        "select table_name, column_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = ? "
        "order by table_name, column_index",
        DATASET,
    )
    for row in rows.to_pylist():
        found.setdefault(row["table_name"], []).append(row["column_name"])
    return found


def _shown(warehouse: Warehouse, object_type: str, columns: Iterable[str]) -> list[_Shown]:
    rows = warehouse.query(
        "select column_name, name, column_type = 'JSON' as is_list, "
        "coalesce(label, '') as label, coalesce(description, '') as description, "
        "column_type in ('JSON', 'VARCHAR') and exists (from crm.property_options as option "
        "where option.object_type = properties.object_type "
        "and option.property = properties.name) as has_options "
        "from crm.properties where object_type = ? and column_name is not null",
        object_type,
    ).to_pylist()
    by_column = {row["column_name"]: row for row in rows}
    taken = {column.casefold() for column in columns}
    shown = []
    for column in columns:
        if (row := by_column.get(column)) is None:
            continue
        label_column = f"{column}_labels" if row["is_list"] else f"{column}_label"
        if label_column.casefold() in taken:
            label_column += "_of_options"
        shown.append(
            _Shown(
                column=column,
                property=row["name"],
                is_list=row["is_list"],
                label_column=label_column if row["has_options"] else None,
                comment=": ".join(text for text in (row["label"], row["description"]) if text)
                or row["name"],
            )
        )
    return shown


def _filled(text: str, table: str, shown: Iterable[_Shown]) -> str:
    """The file's SQL with a line for each property at its two marks."""
    labels, lines = [""], [""]
    for prop in shown:
        column = f"{table}.{quoted(prop.column)}"
        value = f"{column}::varchar[]" if prop.is_list else column
        lines.append(f"{value} as {quoted(prop.column)}")
        if prop.label_column is None:
            continue
        named = f"labels.{quoted(prop.column)}"
        labels.append(
            "map_from_entries(list((property_options.value, property_options.label)) "
            f"filter (property_options.property = {literal(prop.property)})) "
            f"as {quoted(prop.column)}"
        )
        decoded = (
            f"list_transform({value}, lambda item: coalesce({named}[item], item))"
            if prop.is_list
            else f"coalesce({named}[{column}], {column})"
        )
        lines.append(f"{decoded} as {quoted(prop.label_column)}")
    text = _LABELS.sub(lambda _: ",\n        ".join(labels), text)
    return _PROPERTIES.sub(lambda _: ",\n    ".join(lines), text)


def _shown_comments(object_type: str, shown: Iterable[_Shown]) -> Iterator[str]:
    """Comments on the property columns of an object's table and of its view."""
    for prop in shown:
        for schema in (DATASET, ANALYTICS):
            target = f"{schema}.{object_type}.{quoted(prop.column)}"
            yield f"comment on column {target} is {literal(prop.comment)}"
        if prop.label_column:
            target = f"{ANALYTICS}.{object_type}.{quoted(prop.label_column)}"
            yield f"comment on column {target} is {literal(f'{prop.comment} (label)')}"
