"""The warehouse opened to read, beside whoever writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from dlt.common.versioned_state import decompress_state

from pipelines.duckdb_file import (
    DATASET,
    DEFAULT_LOCK_WAIT_S,
    HAS_TABLE,
    check_name,
    connect,
    first_line,
    named_failures,
)
from pipelines.errors import ConfigError, WarehouseError
from pipelines.rows import Rows
from pipelines.source import SCHEMA_NAME

_READING = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.PRAGMA,
)
_LAST_STATE = (
    "select s.state from crm._dlt_pipeline_state as s "
    "inner join crm._dlt_loads as l on l.load_id = s._dlt_load_id "
    "where l.status = 0 order by l.load_id desc limit 1"
)


class Reader:
    """The warehouse opened to read only, for as long as the context lasts.

    Args:
        path: The DuckDB file.
        lock_wait_s: How long to wait while another process writes it.

    Raises:
        WarehouseError: There is none, or it stays locked, or it is no DuckDB file.
    """

    def __init__(self, path: Path, *, lock_wait_s: float = DEFAULT_LOCK_WAIT_S) -> None:
        check_name(path)
        self._path = path.absolute()
        self._lock_wait_s = lock_wait_s

    def __enter__(self) -> Reader:
        if not self._path.exists():
            raise WarehouseError(
                f"no warehouse at {self._path}: run `crm sync` or `crm demo` first"
            )
        with named_failures(self._path):
            self._connection = connect(self._path, lock_wait_s=self._lock_wait_s, read_only=True)
            self._connection.execute("set TimeZone = 'UTC'")
            self._connection.execute("set enable_external_access = false")  # reads, and only here
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(
        self,
        title: str,
        sql: str,
        *parameters: object,
        empty: str = "none",
        limit: int | None = None,
    ) -> Rows:
        """The rows as text, as DuckDB prints them; every type, every year.

        With a `limit` the title of a longer result says that it was cut.

        Raises:
            ConfigError: DuckDB does not accept the statement.
        """
        try:
            statements = self._connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type not in _READING:
                raise ConfigError("write one statement that only reads, such as select")
            relation = self._connection.sql(sql, params=list(parameters))
            if relation is None:
                raise ConfigError("this statement returns no rows; write one that reads")
            texts = relation.select("columns(*)::varchar")
            cells = (texts if limit is None else texts.limit(limit + 1)).fetchall()
        except duckdb.Error as exc:
            raise ConfigError(f"DuckDB does not accept this: {first_line(str(exc))}") from exc
        if limit is not None and len(cells) > limit:
            title = f"The first {limit:,} rows; --format csv or json gives all of them"
        return Rows(title, texts.columns, cells[:limit], empty=empty)

    def table(self, sql: str) -> pa.Table:
        """The rows of one statement that only reads, as Arrow.

        Raises:
            ConfigError: DuckDB does not accept the statement.
        """
        try:
            statements = self._connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
                raise ConfigError("write one statement that only reads: a select")
            return self._connection.sql(sql).to_arrow_table()
        except duckdb.Error as exc:
            raise ConfigError(f"DuckDB does not accept this: {first_line(str(exc))}") from exc

    def has_table(self, schema: str, table: str) -> bool:
        """Whether there is such a table or view."""
        return bool(self._connection.execute(HAS_TABLE, (schema, table)).fetchall())

    def saved_state(self) -> Mapping[str, Any]:
        """What the last run remembered, by object type; empty before the first."""
        if not self.has_table(DATASET, "_dlt_pipeline_state"):
            return {}
        rows = self._connection.execute(_LAST_STATE).fetchall()
        state = decompress_state(rows[0][0]) if rows else {}
        found: Mapping[str, Any] = state.get("sources", {}).get(SCHEMA_NAME, {})
        return found
