"""Where rows land: the DuckDB file, its dlt pipeline, who may write, and what is left to load.

The only module that knows that the destination is a DuckDB file.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from dlt.common.versioned_state import decompress_state

from pipelines.errors import ConfigError, CrmError, WarehouseError
from pipelines.landing import KEYS, Landing
from pipelines.output import Rows
from pipelines.source import SCHEMA_NAME, package

DATASET = "crm"
PIPELINE = "crm"
STORAGE_VERSION = "v1.2.0"
"""Files in this format open in DuckDB 1.2 and later; DuckDB 2 would write one that 1.x refuses."""
DEFAULT_LOCK_WAIT_S = 60.0
MEMORY_LIMIT = "256MB"
"""For DuckDB's buffers; what does not fit goes to disk, so a load's memory is bounded."""

_WORK_SUFFIX = ".work"
_HAS_TABLE = (
    "select 1 from information_schema.tables where table_schema = ? and table_name = ?"
)
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
        self._work = _work_folder(self.path)
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
        return self.query(_HAS_TABLE, DATASET, table).num_rows > 0

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except filelock.Timeout as exc:
            raise WarehouseError(
                f"another crm is at work on {self.path}: wait until it has ended, "
                "then run the same command again"
            ) from exc
        except OSError as exc:
            raise WarehouseError(explained(self.path, exc)) from exc

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
        return _connect(self.path, lock_wait_s=self._lock_wait_s, tell=self._tell)

    def _named_failures(self) -> AbstractContextManager[None]:
        return _named_failures(self.path)


class Reader:
    """The warehouse opened to read only, for as long as the context lasts.

    Args:
        path: The DuckDB file.
        lock_wait_s: How long to wait while another process writes it.

    Raises:
        WarehouseError: There is none, or it stays locked, or it is no DuckDB file.
    """

    def __init__(self, path: Path, *, lock_wait_s: float = DEFAULT_LOCK_WAIT_S) -> None:
        self._path = path.absolute()
        self._lock_wait_s = lock_wait_s

    def __enter__(self) -> Reader:
        if not self._path.is_file():
            raise WarehouseError(f"no warehouse at {self._path}: run `crm sync` or `crm demo` first")
        self._connection = _connect(self._path, lock_wait_s=self._lock_wait_s, read_only=True)
        self._connection.execute("set TimeZone = 'UTC'")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def rows(self, title: str, sql: str, *parameters: object, empty: str = "none") -> Rows:
        """The rows as text, as DuckDB prints them; every type, every year.

        Raises:
            ConfigError: DuckDB does not accept the statement.
        """
        try:
            relation = self._connection.sql(sql, params=list(parameters))
            if relation is None:
                raise ConfigError("this statement returns no rows; write one that reads")
            cells = relation.project("columns(*)::varchar").fetchall()
        except duckdb.Error as exc:
            raise ConfigError(f"DuckDB does not accept this: {_first_line(exc)}") from exc
        return Rows(title, relation.columns, cells, empty=empty)

    def has_table(self, schema: str, table: str) -> bool:
        """Whether there is such a table or view."""
        return bool(self._connection.execute(_HAS_TABLE, (schema, table)).fetchall())

    def saved_state(self) -> Mapping[str, Any]:
        """What the last run remembered, by object type; empty before the first."""
        if not self.has_table(DATASET, "_dlt_pipeline_state"):
            return {}
        row = self._connection.execute(
            "select s.state from crm._dlt_pipeline_state as s "
            "inner join crm._dlt_loads as l on l.load_id = s._dlt_load_id "
            "where l.status = 0 order by l.load_id desc limit 1"
        ).fetchone()
        state = decompress_state(row[0]) if row else {}
        found: Mapping[str, Any] = state.get("sources", {}).get(SCHEMA_NAME, {})
        return found


def is_package_pending(path: Path) -> bool:
    """Whether an earlier run fetched something that it could not load."""
    folder = _work_folder(path.absolute()) / "dlt" / PIPELINE
    return any((folder / "load" / "normalized").glob("*/")) or any(
        (folder / "normalize" / "extracted").glob("*/")
    )


def _work_folder(path: Path) -> Path:
    return path.with_name(path.name + _WORK_SUFFIX)


def _connect(
    path: Path,
    *,
    lock_wait_s: float,
    read_only: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> duckdb.DuckDBPyConnection:
    """The file opened, once no other process has it open for writing.

    Raises:
        WarehouseError: That takes longer than `lock_wait_s`, or it cannot be opened.
    """
    config = {} if path.exists() else {"storage_compatibility_version": STORAGE_VERSION}
    is_told = False
    with _named_failures(path):
        for attempt in stamina.retry_context(
            on=is_locked, timeout=lock_wait_s, attempts=None, wait_initial=0.1, wait_max=1.0
        ):
            with attempt:
                if attempt.num > 1 and not is_told:
                    tell(f"waiting for {path}, which another program has open")
                    is_told = True
                return duckdb.connect(str(path), read_only=read_only, config=config)
    raise AssertionError("stamina either returns or raises")


@contextmanager
def _named_failures(path: Path) -> Iterator[None]:
    """Turn what DuckDB, dlt and the file system raise into one line that says what to do."""
    try:
        yield
    except CrmError:
        raise
    except (duckdb.Error, OSError, DltException) as exc:
        raise WarehouseError(explained(path, exc)) from exc


def is_locked(exc: Exception) -> bool:
    """Whether the failure is that another process has the file open."""
    return "lock on file" in str(_root(exc))


def explained(path: Path, exc: BaseException) -> str:
    """One line: what is wrong with the warehouse, and what would help."""
    cause = _root(exc)
    if holder := _HOLDER.search(str(cause)):
        program = Path(holder["program"]).name
        return (
            f"{path} is open in {program} (process {holder['pid']}): close it there, "
            "then run the same command again; what was fetched is kept"
        )
    return f"the warehouse {path} cannot be used: {_first_line(cause)}; what was fetched is kept"


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


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0] if lines else type(exc).__name__
