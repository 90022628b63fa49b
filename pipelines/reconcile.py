"""Every id in HubSpot, live and archived, against the warehouse, with search as a third witness."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import ledger, recall, suspects
from pipelines.errors import CrmError, WarehouseError
from pipelines.findings import Finding, Reconciled
from pipelines.idfiles import tables_in
from pipelines.landing import Landing
from pipelines.ledger import RunRow
from pipelines.mending import COMMAND, mended
from pipelines.outcome import COMPLETE, status_of
from pipelines.progress import Counters, View, spoken_s
from pipelines.settings import Settings
from pipelines.steps import Progress
from pipelines.stream import Bounds
from pipelines.views import apply_views
from pipelines.warehouse import Warehouse
from pipelines.witness import Listed, Witness


def reconcile(
    settings: Settings,
    warehouse: Warehouse,
    object_type: str,
    *,
    views: Callable[[], View],
    stop: threading.Event,
    is_fix: bool = False,
    bounds: Bounds = Bounds(),
) -> Reconciled:
    """Compare every id of one object type, and with `is_fix` mend what differs.

    What was found is in `crm.reconciliation` afterwards. A run that was cut off is simply
    repeated.

    Args:
        settings: Checked settings.
        warehouse: Open.
        object_type: Plural, as in the path.
        views: Makes what shows the progress of a step.
        stop: Set it to end early.
        is_fix: Read what is missing, mark what is gone.
        bounds: How long requests are repeated, and how much lands together.

    Raises:
        HubSpotError: A list cannot be had, or a record not be asked for.
        WarehouseError: This object type was never synced, or the file cannot be used.
        Interrupted: `stop` was set.
    """
    if not warehouse.has_table(object_type):
        raise _nothing_synced(warehouse.path, object_type)
    with warehouse.scratch() as folder:
        run = _Run(settings, warehouse, object_type, folder, views=views, stop=stop, bounds=bounds)
        try:
            return run.to_the_end(is_fix=is_fix)
        except WarehouseError:
            raise
        except CrmError as failure:
            run.close(status_of(failure), str(failure))
            raise


def check_synced(path: Path, object_type: str) -> None:
    """Nothing, when there is a warehouse: opening it to write would make one.

    Raises:
        WarehouseError: There is none.
    """
    if not path.exists():
        raise _nothing_synced(path.absolute(), object_type)


def _nothing_synced(path: Path, object_type: str) -> WarehouseError:
    return WarehouseError(
        f"{path} has no {object_type} to compare: run `crm sync {object_type}` first"
    )


@dataclass(slots=True)
class _Counted(Counters):
    """Counts of ids of which nothing is landed, and what is done with them."""

    step: str = "listed"

    def line(self) -> str:
        """One line for people."""
        of = f" of {self.expected:,}" if self.expected is not None else ""
        left = self.seconds_left
        eta = f", {spoken_s(left)} left" if left else ""
        rate = f"{self.per_second:,.0f}/s"
        return f"{self.object_type}: {self.found:,}{of} ids {self.step}, {rate}{eta}"

    def short_line(self) -> str:
        """The same: it is short."""
        return self.line().partition(": ")[2]


class _Run:
    """One reconcile of one object type."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        object_type: str,
        folder: Path,
        *,
        views: Callable[[], View],
        stop: threading.Event,
        bounds: Bounds,
    ) -> None:
        now = datetime.now(UTC)
        self._settings = settings
        self._warehouse = warehouse
        self._object_type = object_type
        self._views = views
        self._stop = stop
        self._bounds = bounds
        self._listed, self._suspects = folder / "listed.parquet", folder / "suspects.parquet"
        self._found, self._requests = folder / "found.parquet", folder / "requests.parquet"
        self._row = RunRow(
            run_id=f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}-{object_type}",
            command=COMMAND,
            object_type=object_type,
            started_at=now,
            as_of=now,
        )
        self._witness = Witness(settings, object_type, self._row.run_id, stop, bounds.retry)

    def to_the_end(self, *, is_fix: bool) -> Reconciled:
        """List, compare, ask again, write down, mend."""
        recall.close_stale_runs(self._warehouse, now=self._row.started_at)
        self._begin()
        as_of = Progress.of(self._warehouse.state.get(self._object_type)).cursor
        listed = self._list()
        suspects.write(self._warehouse, self._object_type, self._listed, self._suspects)
        self._warehouse.release()
        found = self._confirm(as_of)
        self._row.note(self._witness.usage)
        self._write_down()
        result = self._result(listed, found)
        if is_fix and result.left:
            result = mended(
                result, self._settings, self._warehouse, self._found,
                views=self._views, stop=self._stop, bounds=self._bounds,
            )  # fmt: skip
        self.close(COMPLETE, result.summary())
        apply_views(self._warehouse)
        return result

    def close(self, status: str, message: str) -> None:
        """Write down how it went."""
        self._row.note(self._witness.usage)
        self._row.status, self._row.message = status, message
        self._row.finished_at = datetime.now(UTC)
        self._warehouse.land([self._row_landing()])

    def _begin(self) -> None:
        self._warehouse.land(
            [
                self._row_landing(),
                Landing("reconciliation", ledger.RECONCILIATION.empty_table()),
                Landing("deletions", ledger.DELETIONS.empty_table()),
            ]
        )
        self._warehouse.release()  # others may read while we wait for HubSpot

    def _list(self) -> Listed:
        with self._counted("listed") as counters:
            return self._witness.listed(self._listed, counters)

    def _confirm(self, as_of: datetime | None) -> dict[Finding, int]:
        in_doubt = pq.read_metadata(self._suspects).num_rows
        with self._counted("asked for again", in_doubt) as counters:
            return self._witness.confirmed(
                self._suspects, self._found, self._requests, counters, as_of=as_of
            )

    @contextmanager
    def _counted(self, step: str, expected: int | None = None) -> Iterator[Counters]:
        counters = _Counted(self._object_type, expected, step=step)
        with self._views() as view:
            view.begin(counters)
            yield counters

    def _write_down(self) -> None:
        """The findings in place of earlier ones, and the requests it took to confirm them."""
        now = datetime.now(UTC)
        for rows in tables_in(self._requests):
            self._warehouse.land([Landing("batches", rows, append=True)])
        for found in tables_in(self._found):
            self._warehouse.land([Landing("reconciliation", self._findings(found, now))])
        # What a --fix that was cut off had found and is not found again, it had mended.
        open_ones = "object_type = ? and fixed_at is null and run_id != ?"
        mine = (self._object_type, self._row.run_id)
        self._warehouse.execute(
            f"update crm.reconciliation set fixed_at = ? where {open_ones} "  # noqa: S608  (words of ours)
            "and finding != 'pending' and run_id in "
            "(select run_id from crm.runs where status != ?)",
            now, *mine, COMPLETE,
        )  # fmt: skip
        self._warehouse.execute(f"delete from crm.reconciliation where {open_ones}", *mine)  # noqa: S608  (words of ours)

    def _findings(self, found: pa.Table, now: datetime) -> pa.Table:
        """Rows of `reconciliation`."""
        ours: dict[str, Any] = {
            "run_id": self._row.run_id, "object_type": self._object_type,
            "seen_at": now, "fixed_at": None,
        }  # fmt: skip
        columns = [
            pa.repeat(pa.scalar(ours[field_.name], field_.type), found.num_rows)
            if field_.name in ours
            else found["id" if field_.name == "object_id" else field_.name]
            for field_ in ledger.RECONCILIATION
        ]
        return pa.table(columns, schema=ledger.RECONCILIATION)

    def _result(self, listed: Listed, found: dict[Finding, int]) -> Reconciled:
        counts = suspects.counts(self._warehouse, self._listed)
        return Reconciled(
            object_type=self._object_type,
            run_id=self._row.run_id,
            live=counts["live"],
            archived=counts["archived"],
            undated=counts["undated"],
            rows=recall.count_rows(self._warehouse, self._object_type),
            total=listed.total,
            unnumbered=listed.unnumbered,
            found=found,
        )

    def _row_landing(self) -> Landing:
        return Landing("runs", ledger.table_of([self._row], ledger.RUNS))
