"""Commands that read from HubSpot into the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.begin import begin, output_of
from pipelines.options import (
    DEFAULT_WAIT_S,
    FormatOption,
    LogFormat,
    QuietOption,
    VerboseOption,
    WaitOption,
    WarehouseOption,
    moment,
)


def sync(
    objects: Annotated[
        list[str] | None, typer.Argument(metavar="[contacts] [calls]", show_default=False)
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every record, anew.")] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="TS", help="Read at least what was modified since then (ISO 8601)."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what the run would take, and do nothing.")
    ] = False,
    fail_on_errors: Annotated[
        bool, typer.Option("--fail-on-errors", help="Exit 1 if anything went into `errors`.")
    ] = False,
    wait: WaitOption = DEFAULT_WAIT_S,
    warehouse: WarehouseOption = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Read contacts and calls into the warehouse: everything at first, then what has changed."""
    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    opened = moment(since, "--since")
    begun = begin(output, objects or (), warehouse, wait_s=wait)
    if plan:
        from pipelines.planning import plan_run

        begun.plan(
            plan_run(begun.settings, begun.path, begun.object_types, is_full=full, lock_wait_s=wait)
        )
        return
    from pipelines.sync import sync as run_sync

    outcome = begun.on_warehouse(
        lambda warehouse_, stop: run_sync(
            begun.settings,
            warehouse_,
            begun.object_types,
            view=output.view(),
            stop=stop,
            is_full=full,
            since=opened,
        )
    )
    if outcome.failure is not None and not any(row.requested_ids for row in outcome.runs):
        raise outcome.failure  # there is nothing to state
    begun.end(outcome)
    if fail_on_errors and any(row.error_ids or row.rejected_values for row in outcome.runs):
        raise typer.Exit(1)


def backfill(
    object_type: Annotated[str, typer.Argument(metavar="OBJECT", help="contacts or calls.")],
    all_: Annotated[bool, typer.Option("--all", help="Every record, live and archived.")] = False,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ids in a text, CSV or Parquet file."),
    ] = None,
    sql: Annotated[
        str | None, typer.Option(metavar="QUERY", help="Ids that a query of the warehouse gives.")
    ] = None,
    from_id: Annotated[int | None, typer.Option(metavar="A", help="Ids from this one on.")] = None,
    to_id: Annotated[int | None, typer.Option(metavar="B", help="Ids up to this one.")] = None,
    created_since: Annotated[str | None, typer.Option(metavar="TS", help="Created from.")] = None,
    created_until: Annotated[str | None, typer.Option(metavar="TS", help="Created up to.")] = None,
    modified_since: Annotated[str | None, typer.Option(metavar="TS", help="Modified from.")] = None,
    modified_until: Annotated[
        str | None, typer.Option(metavar="TS", help="Modified up to.")
    ] = None,
    property_: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="NAME",
            help="Fill only this column, and leave the others as they are; repeatable.",
        ),
    ] = None,
    id_property: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The file or query has values of this property."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, even if it was cut off.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, and do nothing.")
    ] = False,
    wait: WaitOption = DEFAULT_WAIT_S,
    warehouse: WarehouseOption = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Read chosen records in bulk; the same command goes on where it was cut off."""
    from pipelines.backfill import backfill as run_backfill
    from pipelines.selection import Asked, selection_of

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    begun = begin(output, [object_type], warehouse, wait_s=wait)
    asked = Asked(
        is_all=all_,
        ids=ids,
        sql=sql,
        from_id=from_id,
        to_id=to_id,
        created=(
            moment(created_since, "--created-since"),
            moment(created_until, "--created-until"),
        ),
        modified=(
            moment(modified_since, "--modified-since"),
            moment(modified_until, "--modified-until"),
        ),
        id_property=id_property,
    )
    (name,) = begun.object_types
    selection = selection_of(asked, begun.path, lock_wait_s=wait)
    only = property_ or ()
    if dry_run:
        from pipelines.backfill import plan_backfill

        begun.plan(
            plan_backfill(begun.settings, begun.path, name, selection, only=only, lock_wait_s=wait)
        )
        return
    outcome = begun.interruptible(
        lambda stop: run_backfill(
            begun.settings,
            begun.path,
            name,
            selection,
            only=only,
            is_restart=restart,
            view=output.view,
            stop=stop,
            tell=output.say,
            lock_wait_s=wait,
        )
    )
    begun.end(outcome)


def retry(
    objects: Annotated[
        list[str] | None, typer.Argument(metavar="[contacts] [calls]", show_default=False)
    ] = None,
    wait: WaitOption = DEFAULT_WAIT_S,
    warehouse: WarehouseOption = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Read again the records whose errors are unresolved and may be mended by that."""
    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    begun = begin(output, objects or (), warehouse, wait_s=wait)
    from pipelines.retry import retry as run_retry

    outcome = begun.on_warehouse(
        lambda opened, stop: run_retry(
            begun.settings, opened, begun.object_types, view=output.view(), stop=stop
        )
    )
    if outcome is None:
        output.say("nothing to retry: no unresolved error may be mended by reading again")
        return
    begun.end(outcome)


def reconcile(
    object_type: Annotated[str, typer.Argument(metavar="OBJECT", help="contacts or calls.")],
    fix: Annotated[
        bool, typer.Option("--fix", help="Read what is missing, mark what is gone.")
    ] = False,
    wait: WaitOption = DEFAULT_WAIT_S,
    warehouse: WarehouseOption = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Compare every id in HubSpot, live and archived, with the warehouse; exit 1: they differ."""
    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    begun = begin(output, [object_type], warehouse, wait_s=wait)
    from pipelines.reconcile import check_synced
    from pipelines.reconcile import reconcile as run_reconcile

    (name,) = begun.object_types
    check_synced(begun.path, name)
    found = begun.on_warehouse(
        lambda opened, stop: run_reconcile(
            begun.settings, opened, name, views=output.view, stop=stop, is_fix=fix
        )
    )
    output.reconciled(found, begun.path)
    if found.left:
        raise typer.Exit(1)
