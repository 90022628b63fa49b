"""The dlt source: contacts and calls as typed tables, with what went wrong beside them.

It stands on its own, in anybody's project and for any destination:

    import dlt
    from pipelines.source import hubspot

    pipeline = dlt.pipeline("crm", destination="duckdb", dataset_name="crm")
    pipeline.run(hubspot(access_token=dlt.secrets["sources.hubspot.access_token"]))

`crm sync` lands the same tables, chunk by chunk, with a checkpoint after each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from pipelines.landing import Landing

SCHEMA_NAME = "hubspot"


def schema() -> dlt.Schema:
    """A schema that takes names as they are: HubSpot's property names are the column names."""
    return dlt.Schema(
        SCHEMA_NAME,
        normalizers={
            "names": "direct",
            "json": {"module": "dlt.common.normalizers.json.relational"},
        },
    )


def package(landings: Sequence[Landing], state: Mapping[str, Any] | None = None) -> Any:
    """A dlt source that is one load package: these rows, and this state beside them."""

    def remember(rows: pa.Table) -> Iterator[pa.Table]:
        if state is not None:
            dlt.current.source_state().update(state)
        yield rows

    @dlt.source(schema=schema(), max_table_nesting=0)
    def _package() -> list[DltResource]:
        return [
            dlt.resource(remember, name=landing.table, **landing.hints())(landing.rows)
            for landing in landings
        ]

    quiet_about_hints()
    return _package()


class _HintsFilter(logging.Filter):
    """Drops one warning of dlt's, given for every table with a JSON column.

    Arrow has no JSON type, so the hint "json" differs from "text", on purpose.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "several column hints were different" not in record.getMessage()


def quiet_about_hints() -> None:
    """Keep that warning out of the log; once is enough, more do no harm."""
    logger = logging.getLogger("dlt")
    if not any(isinstance(known, _HintsFilter) for known in logger.filters):
        logger.addFilter(_HintsFilter())
