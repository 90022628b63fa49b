"""What a person sees: lines, tables and the closing statement of a run."""

from __future__ import annotations

import csv
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.table import Table

from pipelines.rows import Rows

if TYPE_CHECKING:
    from pipelines.doctor import Finding
    from pipelines.findings import Reconciled
    from pipelines.ledger import RunRow
    from pipelines.outcome import Outcome
    from pipelines.plan import Plan
    from pipelines.progress import View

T = TypeVar("T")

log = logging.getLogger("crm")


class Output:
    """Where everything is printed: results on stdout, progress and remarks on stderr.

    Args:
        is_quiet: Failures only.
        is_json: One JSON object a line instead of text.
        is_verbose: What libraries log, too.
    """

    def __init__(self, *, is_quiet: bool, is_json: bool, is_verbose: bool) -> None:
        self._is_quiet = is_quiet
        self._is_json = is_json
        self._out = Console(soft_wrap=False, highlight=False)
        self._err = Console(stderr=True, highlight=False)
        _set_up_logging(is_json=is_json, is_quiet=is_quiet, is_verbose=is_verbose)

    def say(self, line: str) -> None:
        """A remark on the way."""
        log.info(line)

    def view(self) -> View:
        """How progress is shown here: a bar on a terminal, else lines."""
        from pipelines.progress import Bar, Lines, Silent

        if self._is_quiet:
            return Silent()
        return Bar(self._err) if self._err.is_terminal and not self._is_json else Lines()

    def tables(self, tables: Iterable[Rows]) -> None:
        """Titled tables, one after the other."""
        for table in tables:
            if self._is_json:
                for row in table.rows:
                    print(
                        json.dumps(
                            {"table": table.title, **dict(zip(table.columns, row, strict=True))}
                        )
                    )
            elif table.rows:
                self._out.print(_rich(table))
            else:
                self._out.print(f"{table.title}: {table.empty}")

    def rows(self, table: Rows, format_: str) -> None:
        """The rows of a query as `table`, `csv` or `json` (an object a line)."""
        if format_ == "csv":
            writer = csv.writer(sys.stdout)
            writer.writerow(table.columns)
            writer.writerows(table.rows)
        elif format_ == "json":
            for row in table.rows:
                print(json.dumps(dict(zip(table.columns, row, strict=True)), ensure_ascii=False))
        else:
            self._out.print(_rich(table))

    def finding(self, finding: Finding) -> None:
        """One line of `crm doctor`."""
        if self._is_json:
            print(json.dumps({"check": finding.check, "ok": finding.is_ok, "is": finding.text}))
        elif not (self._is_quiet and finding.is_ok):
            self._out.print(f"{'ok' if finding.is_ok else 'NO':<3} {finding.check:<12}", end="")
            self._out.print(finding.text, markup=False, soft_wrap=True)

    def plan(self, plan: Plan) -> None:
        """What a run will take; in JSON an object for each object type and one for all."""
        if self._is_json:
            day = {"quota": plan.quota, "left": plan.left, "left_after": plan.left_after}
            day |= {"reserve": plan.reserve, "asked": plan.asked}
            for line in plan.lines:
                found = {**asdict(line), **asdict(line.records), "requests": line.requests}
                del found["records"]
                print(json.dumps(found | (day if line is plan.lines[-1] else {})))
        elif not self._is_quiet:
            self._out.print(_rich(plan.table()))
            for remark in plan.remarks():
                self._out.print(remark, markup=False, soft_wrap=True)

    def reconciled(self, found: Reconciled, path: Path) -> None:
        """What a reconcile found, and what to do; in JSON one object."""
        if self._is_json:
            print(json.dumps({**asdict(found), "left": found.left}))
        elif self._is_quiet:
            if found.left:
                log.warning("%s: %s; %s", found.object_type, found.summary(), found.remarks()[-1])
        else:
            self._out.print(_rich(found.table(path)))
            for remark in found.remarks():
                self._out.print(remark, markup=False, soft_wrap=True)

    def statement(self, outcome: Outcome, path: Path) -> None:
        """The closing account of a run: what was asked for, and what became of it."""
        for note in outcome.notes:
            log.info(note)
        if self._is_json:
            for row in outcome.runs:
                print(json.dumps(_account(row, outcome), default=str))
        elif not self._is_quiet:
            self._out.print(_statement(outcome, path))


def interruptible(work: Callable[[threading.Event], T], say: Callable[[str], None]) -> T:
    """Do the work in a thread, so that Ctrl-C and SIGTERM can ask it to stop.

    The event it gets is set by the first signal; a second one ends the process at
    once, which loses no more than a kill does.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (a signal handler's arguments)
        if stop.is_set():
            os._exit(130)
        stop.set()
        # The main thread only waits, so it holds no lock that printing needs.
        say("stopping: what was read is being landed; Ctrl-C again to stop at once")

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="run") as pool:
            return pool.submit(work, stop).result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _set_up_logging(*, is_json: bool, is_quiet: bool, is_verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if is_json else logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.propagate = False
    level = logging.DEBUG if is_verbose else logging.INFO
    log.setLevel(logging.WARNING if is_quiet else level)
    # Without a handler Python prints warnings of libraries; ours say what matters.
    logging.getLogger().addHandler(handler if is_verbose else logging.NullHandler())
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "INFO" if is_verbose else "CRITICAL")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "level": record.levelname, "message": record.getMessage()})


def _rich(table: Rows) -> Table:
    made = Table(title=table.title or None, title_justify="left")
    for column in table.columns:
        made.add_column(column, overflow="fold")
    for row in table.rows:
        made.add_row(*("" if cell is None else _plain(cell) for cell in row))
    return made


def _plain(cell: str) -> str:
    """Text as it is: no markup, and no control characters that would move the cursor."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in cell))


def _account(row: RunRow, outcome: Outcome) -> dict[str, object]:
    return {**asdict(row), "seconds": round(outcome.seconds, 1), "limit_share": outcome.limit_share}


def _statement(outcome: Outcome, path: Path) -> Table:
    table = Table(
        title=f"Statement: HubSpot into {path}",
        title_justify="left",
        caption=(
            f"{outcome.archived:,} of the rows are archived in HubSpot; {outcome.seconds:.1f} "
            f"seconds; {outcome.limit_share:.0%} of HubSpot's 10-second limit used"
        ),
        caption_justify="left",
    )
    table.add_column("")
    for row in outcome.runs:
        table.add_column(row.object_type, justify="right")
    table.add_column("together", justify="right")
    for label, name in _LINES:
        counts = [getattr(row, name) for row in outcome.runs]
        cells = [f"{count:,}" for count in (*counts, sum(counts))]
        table.add_row(label, *cells, end_section=name in ("requested_ids", "unaccounted_ids"))
    table.add_row("ended", *(row.status for row in outcome.runs), "")
    return table


_LINES = (
    ("ids asked for", "requested_ids"),
    ("= rows landed", "loaded_rows"),
    ("+ merged into another row", "merged_ids"),
    ("+ rows in errors", "error_ids"),
    ("+ unaccounted for", "unaccounted_ids"),
    ("values rejected, in errors", "rejected_values"),
    ("requests", "requests"),
    ("of them repeated", "retries"),
    ("answered 429", "rate_limited"),
)
