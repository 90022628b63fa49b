"""Commands that report what is there, and change nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands.begin import output_of
from pipelines.options import (
    DEFAULT_WAIT_S,
    FormatOption,
    LogFormat,
    QueryFormat,
    QuietOption,
    VerboseOption,
    WaitOption,
    WarehouseOption,
)

MAX_TABLE_ROWS = 1000  # more are measured for minutes, and nobody reads them


def doctor(
    compare: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Read a sample through this API version, too."),
    ] = None,
    warehouse: WarehouseOption = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Check token, scopes, portal, limits, API version and warehouse: one line each."""
    from pipelines.doctor import examine
    from pipelines.settings import warehouse_path

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    findings = examine(warehouse_path(warehouse), compare_with=compare)
    for finding in findings:
        output.finding(finding)
    if code := max((finding.exit_code for finding in findings), default=0):
        raise typer.Exit(code)


def status(
    warehouse: WarehouseOption = None,
    wait: WaitOption = DEFAULT_WAIT_S,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Show the last runs, rows, freshness, unresolved errors, and what the next run would do."""
    from pipelines.settings import warehouse_path
    from pipelines.status import status_of

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    output.tables(status_of(warehouse_path(warehouse), lock_wait_s=wait))


def errors(
    unresolved: Annotated[
        bool, typer.Option("--unresolved", help="Leave out what was mended since.")
    ] = False,
    object_type: Annotated[
        str | None, typer.Option("--object", metavar="OBJECT", help="contacts or calls.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="CATEGORY", help="For example UNPARSEABLE_VALUE.")
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Show raw values; they may be personal data.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="The latest so many.")] = 50,
    warehouse: WarehouseOption = None,
    wait: WaitOption = DEFAULT_WAIT_S,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Show what went wrong, in a table."""
    from pipelines.settings import known_object_types, warehouse_path
    from pipelines.status import errors_in

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    if object_type is not None:
        known_object_types([object_type])
    found = errors_in(
        warehouse_path(warehouse),
        is_unresolved=unresolved,
        object_type=object_type,
        category=category,
        show_values=values,
        limit=limit,
        lock_wait_s=wait,
    )
    output.tables([found])


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement that only reads.")],
    format_: Annotated[
        QueryFormat | None,
        typer.Option("--format", help="How rows are written; default: a table of the first 1,000."),
    ] = None,
    warehouse: WarehouseOption = None,
    wait: WaitOption = DEFAULT_WAIT_S,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Run SQL on the warehouse, read-only; all moments are shown in UTC."""
    from pipelines.settings import warehouse_path
    from pipelines.status import rows_of

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    style = format_ or (QueryFormat.JSON if log_format is LogFormat.JSON else QueryFormat.TABLE)
    limit = MAX_TABLE_ROWS if style is QueryFormat.TABLE else None
    found = rows_of(warehouse_path(warehouse), sql, lock_wait_s=wait, limit=limit)
    output.rows(found, style.value)
