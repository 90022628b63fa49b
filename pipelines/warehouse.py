"""Where rows land: the DuckDB file, its dlt pipeline, who may write, and what is left to load."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import filelock
import pyarrow as pa
from dlt.common.exceptions import DltException
from dlt.common.storages.load_package import LoadPackageInfo

from pipelines.duckdb_file import (
    DATASET,
    DEFAULT_LOCK_WAIT_S,
    HAS_TABLE,
    check_name,
    connect,
    explained,
    named_failures,
    quoted,
    will_pass,
)
from pipelines.errors import WarehouseError
from pipelines.landing import KEYS, Landing
from pipelines.source import SCHEMA_NAME, package

PIPELINE = "crm"
MEMORY_LIMIT = "192MB"
"""For DuckDB's buffers; what does not fit goes to disk, so a load's memory is bounded."""

CHECKPOINT_BYTES = 40 << 20
"""What may wait in DuckDB's log, and so in its memory. Each checkpoint writes the last row group
of 122,880 rows anew, so many small ones are slow."""

_WORK_SUFFIX = ".work"
_UNLOADABLE = "what an earlier run had left cannot be loaded, so it is read again"
_DISCARDED = "discarded-"  # what folders are called that are being deleted


class Warehouse:
    """One warehouse file, open for one run; use as a context manager.

    What an earlier run fetched and could not load is loaded first. State and
    schema come from the warehouse itself, so the working folder beside the file
    may be deleted, and the file replaced by an older copy, at any time.

    Args:
        path: The DuckDB file; made when it does not exist.
        lock_wait_s: How long to wait while another program has the file open.
        turn_wait_s: How long to wait while another `crm` is at work here; None: as long.
        tell: Gets one line for everything a person should know, such as a wait.

    Raises:
        ConfigError: DuckDB cannot work with a file of this name.
        WarehouseError: The file is locked, unreadable or unwritable.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock_wait_s: float = DEFAULT_LOCK_WAIT_S,
        turn_wait_s: float | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        check_name(path)
        self.path = path.absolute()
        self._work = _work_folder(self.path)
        self._wal = self.path.with_name(self.path.name + ".wal")
        self._lock = filelock.FileLock(self._work / "lock")
        self._turn = filelock.FileLock(self._work / "turn")  # whose turn is next at the lock
        self._lock_wait_s = lock_wait_s
        self._turn_wait_s = lock_wait_s if turn_wait_s is None else turn_wait_s
        self._tell = tell
        self._held: duckdb.DuckDBPyConnection | None = None
        self._is_loaded = False  # something pending was loaded
        self._is_fetched = False  # something is on disk that is not in the warehouse yet
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

    def __exit__(self, *_: object) -> None:
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
        landings: list[Landing],
        *,
        state: Mapping[str, Any] | None = None,
        on_disk: Callable[[], None] = lambda: None,
    ) -> None:
        """Land rows and state together: one load package, one checkpoint.

        Args:
            landings: Rows for tables; emptied once they are on disk, to free their memory.
            state: Merged into `state`, in the same package.
            on_disk: Called once a killed process would no longer lose the rows.

        Raises:
            WarehouseError: The rows stay on disk, and the next run loads them first.
        """
        self.keep(landings, state=state)
        on_disk()
        with self._named_failures():
            self.pipeline.normalize()
        self._load()

    def keep(self, landings: list[Landing], *, state: Mapping[str, Any] | None = None) -> None:
        """Put rows on disk, for the next `land` or the next run to load; `landings` is emptied."""
        with self._named_failures():
            self.pipeline.extract(package(landings, state))
        self._is_fetched = True
        landings.clear()

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
        connection = self.hold()
        with self._named_failures():
            return connection.sql(sql, params=parameters).to_arrow_table()

    def execute(self, sql: str, *parameters: object) -> None:
        """One statement, or several without parameters."""
        connection = self.hold()
        with self._named_failures():
            connection.execute(sql, parameters or None)

    def execute_together(self, statements: Iterable[str]) -> None:
        """All of the statements, or none."""
        connection = self.hold()
        with self._named_failures():
            connection.begin()
            try:
                for statement in statements:
                    connection.execute(statement)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def has_table(self, table: str, schema: str = DATASET) -> bool:
        """Whether `crm`, or another schema, has this table."""
        return bool(self.query(HAS_TABLE, schema, table).num_rows)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder beside the file for what need not be kept; one left by a kill goes later.

        What goes wrong with the files in it, such as a full disk, is a `WarehouseError`.
        """
        with (
            self._named_failures(),
            tempfile.TemporaryDirectory(prefix=_DISCARDED, dir=self._work) as folder,
        ):
            yield Path(folder)

    def is_wanted(self) -> bool:
        """Whether another `crm` waits for its turn at this warehouse."""
        try:
            self._turn.acquire(timeout=0)
        except filelock.Timeout:
            return True
        self._turn.release()
        return False

    def _acquire(self) -> None:
        """Wait for our turn, and no longer than that keep others from waiting for theirs."""
        until = time.monotonic() + self._turn_wait_s
        try:
            if not self._is_free():
                if self._turn_wait_s:
                    self._tell(f"waiting for {self.path}, on which another crm is at work")
                with self._turn.acquire(timeout=self._turn_wait_s):
                    self._lock.acquire(timeout=max(until - time.monotonic(), 0))
        except filelock.Timeout as exc:
            raise WarehouseError(
                f"another crm is at work on {self.path}: wait until it has ended, "
                "then run the same command again"
            ) from exc
        except OSError as exc:
            raise WarehouseError(explained(self.path, exc)) from exc

    def _is_free(self) -> bool:
        """Take the warehouse if nobody is at work here, and nobody waits."""
        try:
            with self._turn.acquire(timeout=0):
                self._lock.acquire(timeout=0)
        except filelock.Timeout:
            return False
        return True

    def _open(self) -> None:
        folder = self._work / "dlt"
        for left in self._work.glob(f"{_DISCARDED}*"):  # by a process killed while it deleted
            shutil.rmtree(left, ignore_errors=True)
        if not self.path.exists():
            self._discard(folder)  # it belonged to a file that is gone
        self._connect().close()
        if not self._is_taken_up(folder):
            # The warehouse knows what it holds; a folder left from another time may not.
            if self._pipeline is not None:
                self._pipeline.deactivate()
            self._discard(folder)
            with self._named_failures():
                self._pipeline = self._attach(folder)
                if self.has_table("_dlt_pipeline_state"):
                    self._pipeline.sync_destination()

    def _is_taken_up(self, folder: Path) -> bool:
        """Load what is pending in dlt's folder; whether that was all, and the folder may stay."""
        try:
            self._pipeline = self._attach(folder)
            # Without a schema nothing can be loaded: the first run was killed in its first moment.
            if self._pipeline.has_pending_data and self._pipeline.default_schema_name:
                self._try_pending()
            is_done = self._is_loaded and not self._pipeline.has_pending_data
        except (OSError, ValueError, DltException) as broken:  # files of dlt's are gone, or cut off
            if will_pass(broken):
                with self._named_failures():
                    raise
            self._tell(_UNLOADABLE)
            is_done = self._is_fetched = False
        return is_done

    def _attach(self, folder: Path) -> dlt.Pipeline:
        return dlt.pipeline(
            PIPELINE,
            pipelines_dir=str(folder),
            destination=dlt.destinations.duckdb(str(self.path)),
            dataset_name=DATASET,
        )

    def _discard(self, folder: Path) -> None:
        """Delete a folder so that it is never there by half, wherever the process is killed."""
        if folder.exists():
            with self._named_failures():
                aside = Path(tempfile.mkdtemp(prefix=_DISCARDED, dir=self._work))
                folder.rename(aside / folder.name)
            shutil.rmtree(aside, ignore_errors=True)

    def _try_pending(self) -> None:
        """Load what is pending; what nothing can load is fetched again, from the checkpoint."""
        _tidy(self._work / "dlt" / PIPELINE)
        try:
            self._load_pending()
        except WarehouseError as failure:
            if will_pass(failure):
                raise
            self._tell(_UNLOADABLE)
            self._is_fetched = False

    def _load_pending(self) -> None:
        self._tell("loading what an earlier run had fetched")
        self._is_fetched = True
        with self._named_failures():
            self.pipeline.normalize()
            packages = [
                self.pipeline.get_load_package_info(load_id)
                for load_id in self.pipeline.list_normalized_load_packages()
            ]
            for package_ in packages:
                self._forget_half_loaded(package_)
        self._load()
        self._is_loaded = True

    def _forget_half_loaded(self, half: LoadPackageInfo) -> None:
        """Delete the rows that a package is about to bring, in case it brought them already.

        A process killed between a commit and dlt's note of it would append them twice. Where
        there is such a note dlt does not run the job again, so its rows stay.
        """
        noted = self.pipeline._get_load_storage().normalized_packages  # noqa: SLF001  (no other way)
        for job in (*half.jobs["new_jobs"], *half.jobs["started_jobs"]):
            table, name = job.job_file_info.table_name, job.job_file_info.file_name()
            if job.job_file_info.file_format != "parquet" or not self.has_table(table):
                continue
            if table.startswith("_dlt") or noted.load_pending_transition(half.load_id, name):
                continue
            key = ", ".join(quoted(column) for column in KEYS.get(table, ("id",)))
            self.execute(
                f"delete from {DATASET}.{quoted(table)} "  # noqa: S608  (names of our own)
                f"where ({key}) in (select ({key}) from read_parquet(?))",
                job.file_path,
            )

    def _load(self) -> None:
        self.hold()
        with self._named_failures():
            self.pipeline.load()
            self._is_fetched = False
            if self._wal.exists() and self._wal.stat().st_size > CHECKPOINT_BYTES:
                self.execute("checkpoint")

    def _connect(self) -> duckdb.DuckDBPyConnection:
        with self._named_failures():
            return connect(self.path, lock_wait_s=self._lock_wait_s, tell=self._tell)

    def _named_failures(self) -> AbstractContextManager[None]:
        return named_failures(self.path, is_fetched=self._is_fetched)


def is_package_pending(path: Path) -> bool:
    """Whether an earlier run fetched something that it could not load."""
    folder = _work_folder(path.absolute()) / "dlt" / PIPELINE
    return any((folder / "load" / "normalized").glob("*/")) or any(
        (folder / "normalize" / "extracted").glob("*/")
    )


def _tidy(folder: Path) -> None:
    """Remove what dlt would have, had it not been killed between two steps.

    It deletes an extracted package after it has committed the normalized one, and trips over
    both; what it was about to make, it makes again.
    """
    load = folder / "load"
    shutil.rmtree(load / "new", ignore_errors=True)
    (load / "new").mkdir(parents=True, exist_ok=True)
    for package_ in (folder / "normalize" / "extracted").glob("*"):
        if any((load / step / package_.name).exists() for step in ("normalized", "loaded")):
            shutil.rmtree(package_, ignore_errors=True)


def _work_folder(path: Path) -> Path:
    return path.with_name(path.name + _WORK_SUFFIX)
