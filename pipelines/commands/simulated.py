"""Commands on a simulated portal: no account needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.begin import output_of
from pipelines.options import FormatOption, LogFormat, QuietOption, VerboseOption, WarehouseOption


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

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    path = warehouse or Path("crm_demo.duckdb")
    outcome = run_demo(path, contacts=contacts, calls=calls, output=output)
    if outcome.failure is not None:
        raise outcome.failure


def simulate(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8999,
    contacts: Annotated[int, typer.Option(min=1, help="Live contacts.")] = 1000,
    calls: Annotated[int, typer.Option(min=0, help="Live calls.")] = 500,
    companies: Annotated[int, typer.Option(min=0, help="Live companies.")] = 100,
    deals: Annotated[int, typer.Option(min=0, help="Live deals.")] = 50,
    tickets: Annotated[int, typer.Option(min=0, help="Live tickets.")] = 50,
    machines: Annotated[int, typer.Option(min=0, help="Live records of a custom object.")] = 20,
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

    output = output_of(quiet=quiet, log_format=log_format, verbose=verbose)
    faults = Faults(*(fault or ()), seed=seed)
    portal = Portal.build(
        contacts=contacts,
        calls=calls,
        companies=companies,
        deals=deals,
        tickets=tickets,
        machines=machines,
        seed=seed,
    )
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
