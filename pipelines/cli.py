"""The command line: each command parses, calls one function, prints, and ends with its code.

What a command needs is imported inside it, so that `crm --help` is quick.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipelines.errors import CrmError
from pipelines.options import (
    DEFAULT_WAIT_S,
    FormatOption,
    LogFormat,
    QueryFormat,
    QuietOption,
    VerboseOption,
    WaitOption,
    WarehouseOption,
    moment,
)

if TYPE_CHECKING:
    from pipelines.output import Output

app = typer.Typer(
    name="crm",
    help="HubSpot CRM into typed DuckDB tables, with every id accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


# typer does not export it; its own name would tie us to one version.
_UsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]

MAX_TABLE_ROWS = 1000  # more are measured for minutes, and nobody reads them


@app.command(epilog="Example: crm demo --contacts 20000 --calls 5000")
def demo(
    contacts: Annotated[int, typer.Option(min=1, help="Live contacts in the portal.")] = 5000,
    calls: Annotated[int, typer.Option(min=0, help="Live calls in the portal.")] = 2000,
    warehouse: WarehouseOption = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Sync a simulated portal into crm_demo.duckdb: no account needed, about ten seconds."""
    from pipelines.demo import run_demo

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    path = warehouse or Path("crm_demo.duckdb")
    outcome = run_demo(path, contacts=contacts, calls=calls, output=output)
    if outcome.failure is not None:
        raise outcome.failure


@app.command(epilog="Example: crm simulate --port 8999 --contacts 10000 --latency-ms 120")
def simulate(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8999,
    contacts: Annotated[int, typer.Option(min=1, help="Live contacts.")] = 1000,
    calls: Annotated[int, typer.Option(min=0, help="Live calls.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed makes the same portal.")] = 1,
    latency_ms: Annotated[int, typer.Option(min=0, help="Added to each answer.")] = 0,
    requests_per_10s: Annotated[
        int, typer.Option("--requests-per-10s", min=1, help="The app's limit.")
    ] = 190,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="NAME[=SHARE]",
            help="Go wrong on purpose; repeatable. The README lists the names.",
        ),
    ] = None,
    quiet: QuietOption = False,
    log_format: FormatOption = LogFormat.TEXT,
    verbose: VerboseOption = False,
) -> None:
    """Run the HubSpot simulator on 127.0.0.1 until Ctrl-C; any token signs in."""
    from pipelines.simulator.app import app as simulator
    from pipelines.simulator.faults import Faults
    from pipelines.simulator.portal import Portal
    from pipelines.simulator.server import run

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    faults = Faults(*(fault or ()), seed=seed)
    portal = Portal.build(contacts=contacts, calls=calls, seed=seed)
    server = simulator(
        portal, requests_per_10s=requests_per_10s, latency_ms=latency_ms, faults=faults
    )
    run(
        server,
        port=port,
        announce=lambda url: output.say(
            f"simulating a portal of {contacts:,} contacts and {calls:,} calls at {url}; "
            f"to use it: SOURCES__HUBSPOT__BASE_URL={url} "
            "SOURCES__HUBSPOT__ACCESS_TOKEN=any crm sync"
        ),
    )
    raise KeyboardInterrupt  # the only way it ends


@app.command(epilog="Example: crm doctor --warehouse /data/hubspot.duckdb")
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

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    findings = examine(warehouse_path(warehouse), compare_with=compare)
    for finding in findings:
        output.finding(finding)
    if code := max((finding.exit_code for finding in findings), default=0):
        raise typer.Exit(code)


@app.command(epilog="Example: crm sync contacts --warehouse /data/hubspot.duckdb")
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
    from pipelines.output import interruptible
    from pipelines.settings import known_object_types, load_settings, warehouse_path

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    object_types = known_object_types(objects or ())
    opened = moment(since, "--since")
    path, settings = warehouse_path(warehouse), load_settings()
    if plan:
        from pipelines.plan import plan_run

        planned = plan_run(settings, path, object_types, is_full=full, lock_wait_s=wait)
        output.plan(planned)
        planned.check()
        return
    from pipelines.sync import sync as run_sync
    from pipelines.warehouse import Warehouse

    gc.freeze()  # what is imported by now stays: looking through it again and again took 5 %
    gc.set_threshold(50_000)
    with Warehouse(path, lock_wait_s=wait, tell=output.say) as warehouse_:
        outcome = interruptible(
            lambda stop: run_sync(
                settings,
                warehouse_,
                object_types,
                view=output.view(),
                stop=stop,
                is_full=full,
                since=opened,
            ),
            output.say,
        )
    if outcome.failure is None or any(row.requested_ids for row in outcome.runs):
        output.statement(outcome, path)
    if outcome.failure is not None:
        raise outcome.failure
    if fail_on_errors and any(row.error_ids or row.rejected_values for row in outcome.runs):
        raise typer.Exit(1)


@app.command(epilog="Example: crm backfill contacts --ids ids.csv --property hs_lead_status")
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
    from pipelines.output import interruptible
    from pipelines.selection import Asked, selection_of
    from pipelines.settings import known_object_types, load_settings, warehouse_path

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    (name,) = known_object_types([object_type])
    path, settings = warehouse_path(warehouse), load_settings()
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
    selection = selection_of(asked, path, lock_wait_s=wait)
    if dry_run:
        from pipelines.backfill import plan_backfill

        planned = plan_backfill(
            settings, path, name, selection, only=property_ or (), lock_wait_s=wait
        )
        output.plan(planned)
        planned.check()
        return
    outcome = interruptible(
        lambda stop: run_backfill(
            settings,
            path,
            name,
            selection,
            only=property_ or (),
            is_restart=restart,
            view=output.view,
            stop=stop,
            tell=output.say,
            lock_wait_s=wait,
        ),
        output.say,
    )
    output.statement(outcome, path)
    if outcome.failure is not None:
        raise outcome.failure


@app.command(epilog="Example: crm retry contacts")
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
    from pipelines.output import interruptible
    from pipelines.settings import known_object_types, load_settings, warehouse_path

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    object_types = known_object_types(objects or ())
    path, settings = warehouse_path(warehouse), load_settings()
    from pipelines.retry import retry as run_retry
    from pipelines.warehouse import Warehouse

    with Warehouse(path, lock_wait_s=wait, tell=output.say) as opened:
        outcome = interruptible(
            lambda stop: run_retry(settings, opened, object_types, view=output.view(), stop=stop),
            output.say,
        )
    if outcome is None:
        output.say("nothing to retry: no unresolved error may be mended by reading again")
        return
    output.statement(outcome, path)
    if outcome.failure is not None:
        raise outcome.failure


@app.command(epilog="Example: crm reconcile contacts --fix")
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
    from pipelines.output import interruptible
    from pipelines.settings import known_object_types, load_settings, warehouse_path

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    (name,) = known_object_types([object_type])
    path, settings = warehouse_path(warehouse), load_settings()
    from pipelines.reconcile import check_synced
    from pipelines.reconcile import reconcile as run_reconcile
    from pipelines.warehouse import Warehouse

    check_synced(path, name)
    with Warehouse(path, lock_wait_s=wait, tell=output.say) as opened:
        found = interruptible(
            lambda stop: run_reconcile(
                settings, opened, name, views=output.view, stop=stop, is_fix=fix
            ),
            output.say,
        )
    output.reconciled(found, path)
    if found.left:
        raise typer.Exit(1)


@app.command(epilog="Example: crm status --warehouse /data/hubspot.duckdb")
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

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    output.tables(status_of(warehouse_path(warehouse), lock_wait_s=wait))


@app.command(epilog="Example: crm errors --unresolved --object contacts")
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

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
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


@app.command(epilog='Example: crm query "select count(*) from analytics.contacts"')
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

    output = _output(quiet=quiet, log_format=log_format, verbose=verbose)
    style = format_ or (QueryFormat.JSON if log_format is LogFormat.JSON else QueryFormat.TABLE)
    limit = MAX_TABLE_ROWS if style is QueryFormat.TABLE else None
    found = rows_of(warehouse_path(warehouse), sql, lock_wait_s=wait, limit=limit)
    output.rows(found, style.value)


def main() -> NoReturn:
    """Run the command; errors raised on purpose are one line and their own exit code."""
    exit_code, message = _run(sys.argv[1:] or ["--help"])
    if message is not None:
        print(_failure_line(" ".join(message.split()), sys.argv[1:]), file=sys.stderr)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    # DuckDB's bindings print pages about leaks when Python takes them down in the wrong order.
    atexit._run_exitfuncs()  # noqa: SLF001  (what exit() would run, and os._exit() would not)
    os._exit(exit_code)


def _failure_line(message: str, arguments: list[str]) -> str:
    if "--log-format=json" not in arguments and ("--log-format", "json") not in pairwise(arguments):
        return f"crm: {message}"
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"at": at, "level": "ERROR", "message": message})


def _run(arguments: list[str]) -> tuple[int, str | None]:
    """The exit code, and the line to print with it if the command failed."""
    try:
        ended = app(arguments, standalone_mode=False)
    except _UsageError as wrong:
        command = wrong.ctx.command_path if wrong.ctx else "crm"
        return 2, f"{wrong.format_message().rstrip('.')}; see `{command} --help`"
    except CrmError as failure:
        return failure.exit_code, str(failure)
    except (KeyboardInterrupt, typer.Abort):
        return 130, "interrupted"
    except BrokenPipeError:
        return 0, None  # whoever read our output has gone, as `head` does
    return (ended if isinstance(ended, int) else 0), None  # typer gives back the code of an Exit


def _output(*, quiet: bool, log_format: LogFormat, verbose: bool) -> Output:
    from pipelines.output import Output

    return Output(is_quiet=quiet, is_json=log_format is LogFormat.JSON, is_verbose=verbose)


if __name__ == "__main__":
    main()
