"""The first run, without an account: a simulated portal on loopback into a warehouse."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipelines.outcome import Outcome
from pipelines.output import Output, interruptible
from pipelines.settings import OBJECT_TYPES, Settings
from pipelines.simulator.app import app
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve
from pipelines.sync import sync
from pipelines.warehouse import Warehouse

QUERIES = (
    "select lifecyclestage_label, count(*) from analytics.contacts group by all order by 2 desc",
    (
        "select date_trunc('month', hs_timestamp) as month, count(*) as count_calls, "
        "sum(hs_call_duration) / 60000 as minutes from analytics.calls group by all order by 1 desc"
    ),
    "select property, category, count_errors, message from analytics.errors_by_property",
)


def run_demo(path: Path, *, contacts: int, calls: int, output: Output) -> Outcome:
    """Sync a portal of so many live contacts and calls, print the statement and queries to try.

    Raises:
        WarehouseError: The file cannot be written.
    """
    portal = Portal.build(contacts=contacts, calls=calls, now=datetime.now(UTC))
    with serve(app(portal)) as url, Warehouse(path, tell=output.say) as warehouse:
        output.say(f"a simulated HubSpot portal answers at {url}; no account is used")
        settings = Settings(access_token="demo", base_url=url)  # noqa: S106  (any token signs in)
        outcome = interruptible(
            lambda stop: sync(settings, warehouse, OBJECT_TYPES, view=output.view(), stop=stop),
            output.say,
        )
    output.statement(outcome, path)
    if outcome.failure is None:
        output.say("Three queries to try:")
        for query in QUERIES:
            output.say(f'  crm query --warehouse {path} "{query}"')
    return outcome
