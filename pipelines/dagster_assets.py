"""Dagster assets, one for each object type; comes with the extra `dagster`.

A materialization is one `crm sync OBJECT` in a process of its own: its signals, its memory and
dlt's state are its own too, whatever Dagster's executor is. Two at a time on one warehouse wait
for each other.
"""

# No lazy annotations here: Dagster looks at the types themselves.
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import dagster as dg

from pipelines.errors import IncompleteError, WarehouseError
from pipelines.settings import OBJECT_TYPES

DEFAULT_WAIT_S = 3600
DEFAULT_RETRIES = dg.RetryPolicy(max_retries=3, delay=300, backoff=dg.Backoff.EXPONENTIAL)
RETRIED_CODES = frozenset({IncompleteError.exit_code, WarehouseError.exit_code})
"""Exit codes after which the same command may succeed; the others need a person."""

CHECK = "nothing_in_errors"
_SHOWN = (
    "run_id",
    "status",
    "requested_ids",
    "loaded_rows",
    "merged_ids",
    "error_ids",
    "rejected_values",
    "requests",
    "retries",
    "rate_limited",
    "seconds",
)
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def crm_assets(
    folder: str | PathLike[str],
    *,
    objects: Sequence[str] = OBJECT_TYPES,
    options: Sequence[str] = (),
    wait_s: float = DEFAULT_WAIT_S,
    retries: dg.RetryPolicy = DEFAULT_RETRIES,
) -> list[dg.AssetsDefinition]:
    """One asset `crm/OBJECT` for each object type, each with a check of its rows in `errors`.

    Args:
        folder: Where `crm` is started: it has `.dlt`, and the warehouse if that is a relative path.
        objects: Object types.
        options: More of the command line of `crm sync`, such as `--warehouse`.
        wait_s: How long to wait while the warehouse is in use.
        retries: For exit codes 4 and 5. With the others an asset fails at once.
    """
    command = ["--wait", str(wait_s), "--log-format", "json", *options]
    return [_asset(name, folder, command, retries) for name in objects]


def crm_schedule(
    assets: Sequence[dg.AssetsDefinition], cron_schedule: str, *, name: str = "crm_sync"
) -> dg.ScheduleDefinition:
    """Materialize the assets when cron says so, unless the run before is still under way."""
    job = dg.define_asset_job(name, selection=list(assets))

    @dg.schedule(name=name, cron_schedule=cron_schedule, job=job)
    def scheduled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        is_this = dg.RunsFilter(job_name=name, statuses=_UNDER_WAY)
        if context.instance.get_runs(is_this, limit=1):
            return dg.SkipReason("the run before is still under way")
        return dg.RunRequest()

    return scheduled


def _asset(
    object_type: str,
    folder: str | PathLike[str],
    options: Sequence[str],
    retries: dg.RetryPolicy,
) -> dg.AssetsDefinition:
    key = dg.AssetKey(["crm", object_type])
    check = dg.AssetCheckSpec(
        CHECK, asset=key, description="Every record and every value of the run was loaded."
    )

    @dg.asset(
        key=key,
        group_name="hubspot",
        kinds={"dlt", "duckdb"},
        description=f"HubSpot's {object_type}, live and archived: one row each, keyed by id.",
        check_specs=[check],
    )
    def synced(
        context: dg.AssetExecutionContext,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster takes no other
        ended = _run(["sync", object_type, *options], folder, context.log.info)
        shown = {name: ended.account[name] for name in _SHOWN if name in ended.account}
        if ended.exit_code:
            failure = dg.Failure(
                f"crm ended with exit {ended.exit_code}: {ended.last_line}",
                metadata={"exit_code": ended.exit_code, **shown},
            )
            if ended.exit_code in RETRIED_CODES and context.retry_number < retries.max_retries:
                # A policy of the asset itself would also begin anew what was terminated.
                pause_s = retries.calculate_delay(context.retry_number + 1)
                raise dg.RetryRequested(retries.max_retries, pause_s) from failure
            raise failure
        counts = {name: ended.account[name] for name in ("error_ids", "rejected_values")}
        result = dg.AssetCheckResult(
            check_name=CHECK,
            passed=not any(counts.values()),
            severity=dg.AssetCheckSeverity.WARN,  # such rows are data, not failure
            metadata=counts,
        )
        return dg.MaterializeResult(metadata=shown, check_results=[result])

    return synced


@dataclass(frozen=True, slots=True)
class _Ended:
    """How `crm` ended; `account` is its row of `runs`, empty where it read nothing."""

    exit_code: int
    account: Mapping[str, Any]
    last_line: str


def _run(
    arguments: Sequence[str], folder: str | PathLike[str], tell: Callable[[str], object]
) -> _Ended:
    """Run `crm` and tell its lines as they come."""
    last_line = ""
    with subprocess.Popen(
        # -P: a folder `pipelines` in the user's own project is not ours.
        [sys.executable, "-P", "-m", "pipelines.cli", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None  # noqa: S101  (for mypy: both are pipes)
        assert process.stderr is not None  # noqa: S101  (the same)
        try:
            for line in process.stderr:
                last_line = _message(line)
                tell(last_line)
            printed = process.stdout.read()
        except BaseException:  # Dagster interrupts a step by raising in it
            process.terminate()  # what was read lands, and the next run goes on there
            for line in process.stderr:
                tell(_message(line))
            raise
    accounts = [json.loads(line) for line in printed.splitlines()]
    return _Ended(process.returncode, accounts[-1] if accounts else {}, last_line)


def _message(line: str) -> str:
    """The message of a JSON line; lines that libraries print are none."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, TypeError, KeyError):
        return line.rstrip()
