"""The command line: which commands there are, and what a failure prints and ends with."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import NoReturn

import typer

from pipelines.commands import reports, runs, simulated
from pipelines.errors import CrmError

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

EXAMPLES: dict[Callable[..., None], str] = {
    simulated.demo: "crm demo --contacts 20000 --calls 5000",
    simulated.simulate: "crm simulate --port 8999 --contacts 10000 --latency-ms 120",
    reports.doctor: "crm doctor --warehouse /data/hubspot.duckdb",
    runs.sync: "crm sync contacts --warehouse /data/hubspot.duckdb",
    runs.backfill: "crm backfill contacts --ids ids.csv --property hs_lead_status",
    runs.retry: "crm retry contacts",
    runs.reconcile: "crm reconcile contacts --fix",
    reports.status: "crm status --warehouse /data/hubspot.duckdb",
    reports.errors: "crm errors --unresolved --object contacts",
    reports.query: 'crm query "select count(*) from analytics.contacts"',
}
"""Every command, in the order in which `crm --help` lists them, with an example of its use."""

for _command, _example in EXAMPLES.items():
    app.command(epilog=f"Example: {_example}")(_command)


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


if __name__ == "__main__":
    main()
