"""Options that several commands take."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import ConfigError

DEFAULT_WAIT_S = 60.0


class LogFormat(StrEnum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


class QueryFormat(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


WarehouseOption = Annotated[
    Path | None,
    typer.Option(
        "--warehouse",
        metavar="PATH",
        help="The DuckDB file; default: destination.duckdb.credentials, else hubspot.duckdb.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print failures only.")]
FormatOption = Annotated[LogFormat, typer.Option("--log-format", help="How lines are written.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Print what libraries log, too.")]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="How long to wait while another program has the warehouse open.",
    ),
]


def moment(text: str | None, option: str) -> datetime | None:
    """A moment that somebody typed, if anybody did: ISO 8601; without a zone it is UTC.

    Raises:
        ConfigError: It is none.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option} is {text!r}: it must be a date or a moment such as 2026-11-01 or "
            "2026-11-01T06:30:00Z"
        ) from None
