"""Where rows land: the DuckDB file, its dlt pipeline, who may write, and what is left to load.

The only module that knows that the destination is a DuckDB file.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # read when dlt is imported

import dlt
import duckdb
import filelock
import pyarrow as pa
import stamina
from dlt.common.exceptions import DltException
from dlt.common.pipeline import LoadPackageInfo

from pipelines.errors import CrmError, WarehouseError
from pipelines.landing import KEYS, Landing
from pipelines.source import SCHEMA_NAME, package

DATASET = "crm"
PIPELINE = "crm"
STORAGE_VERSION = "v1.2.0"
"""Files in this format open in DuckDB 1.2 and later; DuckDB 2 would write one that 1.x refuses."""
DEFAULT_LOCK_WAIT_S = 60.0
MEMORY_LIMIT = "256MB"
"""For DuckDB's buffers; what does not fit goes to disk, so a load's memory is bounded."""

_WORK_SUFFIX = ".work"
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


class Warehouse:
    """One warehouse file, open for one run; use as a context manager.

    What an earlier run fetched and could not load is loaded first. State and
    schema come from the warehouse itself, so the working folder beside the file
    may be deleted, and the file replaced by an older copy, at any time.

    Args:
        path: The DuckDB file; made when it does not exist.
        lock_wait_s: How long to wait while another program has the file open.
        tell: Gets one line for everything a person should know, such as a wait.

    Raises:
        WarehouseError: The file is locked, unreadable or unwritable.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock_wait_s: float = DEFAULT_LOCK_WAIT_S,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path = path.absolute()
        self._work = self.path.with_name(self.path.name + _WORK_SUFFIX)
        self._lock = filelock.FileLock(self._work / "lock", timeout=0)
        self._lock_wait_s = lock_wait_s
        self._tell = tell
        self._held: duckdb.DuckDBPyConnection | None = None
        self._pipeline: dlt.Pipeline | None = None

    def __enter__(self) -> Warehouse:
        with self._named_failures():
            self._work.mkdir(exist_ok=True)
        self._acquire()
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
        if self._pipeline is not None:
            self._pipeline.deactivate()
        self._lock.release()

    @property
    def pipeline(self) -> dlt.Pipeline:
        """The dlt pipeline that loads this warehouse."""
        if self._pipeline is None:
            raise RuntimeError("the warehouse is not open")
        return self._pipeline

    @property
    def state(self) -> Mapping[str, Any]:
        """What runs remember: the state of dlt's source, as of the last package landed."""
        sources: Mapping[str, Any] = self.pipeline.state.get("sources", {})
        found: Mapping[str, Any] = sources.get(SCHEMA_NAME, {})
        return found

    def land(
        self,
        landings: Sequence[Landing],
        *,
        state: Mapping[str, Any] | None = None,
        on_disk: Callable[[], None] = lambda: None,
    ) -> None:
        """Land rows and state together: one load package, one checkpoint.

        Args:
            landings: Rows for tables.
            state: Merged into `state`, in the same package.
            on_disk: Called once a killed process would no longer lose the rows.

        Raises:
            WarehouseError: The rows stay on disk, and the next run loads them first.
        """
        with self._named_failures():
            self.pipeline.extract(package(landings, state))
            self.pipeline.normalize()
        on_disk()
        self._load()

    def hold(self) -> duckdb.DuckDBPyConnection:
        """Have the file open between loads, so that each is spared a checkpoint of the file.

        Waits while another program has it open, even to read.

        Raises:
            WarehouseError: It is still open there after `lock_wait_s`, or cannot be opened.
        """
        if self._held is None:
            self._held = self._connect()
            self._held.execute(f"set global memory_limit = '{MEMORY_LIMIT}'; set TimeZone = 'UTC'")
        return self._held

    def release(self) -> None:
        """Let other programs open the file."""
        if self._held is not None:
            held, self._held = self._held, None
            with self._named_failures():
                held.close()

    def query(self, sql: str, *parameters: object) -> pa.Table:
        """Rows as Arrow; `?` stands for a parameter."""
        with self._named_failures():
            return self.hold().sql(sql, params=parameters).to_arrow_table()

    def execute(self, sql: str, *parameters: object) -> None:
        """One statement, or several without parameters."""
        with self._named_failures():
            self.hold().execute(sql, parameters or None)

    def has_table(self, table: str) -> bool:
        """Whether `crm` has this table."""
        found = self.query(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
            DATASET, table,
        )  # fmt: skip
        return found.num_rows > 0

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except filelock.Timeout as exc:
            raise WarehouseError(
                f"another crm is at work on {self.path}: wait until it has ended, "
                "then run the same command again"
            ) from exc
        except OSError as exc:
            raise self._failure(exc) from exc

    def _open(self) -> None:
        folder = self._work / "dlt"
        if not self.path.exists():
            shutil.rmtree(folder, ignore_errors=True)  # it belonged to a file that is gone
        self._connect().close()
        self._pipeline = self._attach(folder)
        if self._pipeline.has_pending_data:
            self._load_pending()
        else:
            # The warehouse knows what it holds; a folder left from another time may not.
            self._pipeline.deactivate()
            shutil.rmtree(folder, ignore_errors=True)
            self._pipeline = self._attach(folder)
            if self.has_table("_dlt_pipeline_state"):
                with self._named_failures():
                    self._pipeline.sync_destination()

    def _attach(self, folder: Path) -> dlt.Pipeline:
        with self._named_failures():
            return dlt.pipeline(
                PIPELINE,
                pipelines_dir=str(folder),
                destination=dlt.destinations.duckdb(str(self.path)),
                dataset_name=DATASET,
            )

    def _load_pending(self) -> None:
        self._tell("loading what an earlier run had fetched")
        with self._named_failures():
            self.pipeline.normalize()
            for load_id in self.pipeline.list_normalized_load_packages():
                self._forget_half_loaded(self.pipeline.get_load_package_info(load_id))
        self._load()

    def _forget_half_loaded(self, half: LoadPackageInfo) -> None:
        """Delete the rows that a package is about to bring, in case it brought them already.

        A process killed between a commit and dlt's note of it would append them twice.
        """
        jobs = [*half.jobs["new_jobs"], *half.jobs["started_jobs"]]
        for job in jobs:
            table = job.job_file_info.table_name
            if job.job_file_info.file_format != "parquet" or table.startswith("_dlt"):
                continue
            if self.has_table(table):
                key = ", ".join(quoted(name) for name in KEYS.get(table, ("id",)))
                self.execute(
                    f"delete from {DATASET}.{quoted(table)} "  # noqa: S608  (names of our own)
                    f"where ({key}) in (select ({key}) from read_parquet(?))",
                    job.file_path,
                )

    def _load(self) -> None:
        self.hold()
        with self._named_failures():
            self.pipeline.load()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        config = {} if self.path.exists() else {"storage_compatibility_version": STORAGE_VERSION}
        is_told = False
        for attempt in stamina.retry_context(
            on=is_locked, timeout=self._lock_wait_s, attempts=None, wait_initial=0.1, wait_max=1.0
        ):
            with attempt, self._named_failures():
                if attempt.num > 1 and not is_told:
                    self._tell(f"waiting for {self.path}, which another program has open")
                    is_told = True
                return duckdb.connect(str(self.path), config=config)
        raise AssertionError("stamina either returns or raises")

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        """Turn what DuckDB, dlt and the file system raise into one line that says what to do."""
        try:
            yield
        except CrmError:
            raise
        except (duckdb.Error, OSError, DltException) as exc:
            raise self._failure(exc) from exc

    def _failure(self, exc: BaseException) -> WarehouseError:
        return WarehouseError(explained(self.path, exc))


def is_locked(exc: Exception) -> bool:
    """Whether the failure is that another process has the file open."""
    return "lock on file" in str(_root(exc))


def explained(path: Path, exc: BaseException) -> str:
    """One line: what is wrong with the warehouse, and what would help."""
    cause = _root(exc)
    text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if holder := _HOLDER.search(str(cause)):
        program = Path(holder["program"]).name
        return (
            f"{path} is open in {program} (process {holder['pid']}): close it there, "
            "then run the same command again; what was fetched is kept"
        )
    return f"the warehouse {path} cannot be used: {text}; what was fetched is kept"


def quoted(identifier: str) -> str:
    """A SQL identifier, whatever characters are in it."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL text literal, for the statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def _root(exc: BaseException) -> BaseException:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc
