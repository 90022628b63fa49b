"""Where rows land: the DuckDB file and its dlt pipeline, open for one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.exceptions import DltException

from pipelines.duckdb_file import (
    DATASET,
    DEFAULT_LOCK_WAIT_S,
    HAS_TABLE,
    all_or_none,
    check_name,
    connect,
    memory_limit,
    named_failures,
    quoted,
    will_pass,
)
from pipelines.errors import WarehouseError
from pipelines.landing import KEYS, Landing
from pipelines.source import SCHEMA_NAME, package
from pipelines.turn import Turn
from pipelines.workfolder import PIPELINE, WorkFolder, pending_bytes, unnoted_files

CHECKPOINT_BYTES = 28 << 20
"""What may wait in DuckDB's log, and so in its memory. Each checkpoint writes the last row group
of 122,880 rows anew, so many small ones are slow."""

_UNLOADABLE = "what an earlier run had left cannot be loaded, so it is read again"


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
        self._wal = self.path.with_name(self.path.name + ".wal")
        self._work = WorkFolder(self.path)
        self._turn = Turn(
            self.path,
            self._work.path,
            wait_s=lock_wait_s if turn_wait_s is None else turn_wait_s,
            tell=tell,
        )
        self._lock_wait_s, self._tell = lock_wait_s, tell
        self._held: duckdb.DuckDBPyConnection | None = None
        self._is_loaded = False  # something pending was loaded
        self._is_fetched = False  # something is on disk that is not in the warehouse yet
        self._pipeline: dlt.Pipeline | None = None

    def __enter__(self) -> Warehouse:
        with self._named_failures():
            self._work.path.mkdir(exist_ok=True)
        self._turn.take()
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
        self._turn.end()

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
        # dlt notes each setting that it looks up, some thousands for a package, and forgets none.
        get_resolved_traces().logging_enabled = False
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
            self._held.execute(f"{memory_limit(self._widest())}; set TimeZone = 'UTC'")
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
            all_or_none(connection, statements)

    def has_table(self, table: str, schema: str = DATASET) -> bool:
        """Whether `crm`, or another schema, has this table."""
        return bool(self.query(HAS_TABLE, schema, table).num_rows)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder beside the file for what need not be kept; one left by a kill goes later.

        What goes wrong with the files in it, such as a full disk, is a `WarehouseError`.
        """
        with self._named_failures(), self._work.scratch() as folder:
            yield Path(folder)

    def is_wanted(self) -> bool:
        """Whether another `crm` waits for its turn at this warehouse."""
        return self._turn.is_wanted()

    def _open(self) -> None:
        self._work.delete_leftovers()
        if not self.path.exists():
            self._discard()  # it belonged to a file that is gone
        self._connect().close()
        if not self._is_taken_up():
            # The warehouse knows what it holds; a folder left from another time may not.
            if self._pipeline is not None:
                self._pipeline.deactivate()
            self._discard()
            with self._named_failures():
                self._pipeline = self._attach()
                if self.has_table("_dlt_pipeline_state"):
                    self._pipeline.sync_destination()

    def _is_taken_up(self) -> bool:
        """Load what is pending in dlt's folder; whether that was all, and the folder may stay."""
        try:
            self._pipeline = self._attach()
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

    def _attach(self) -> dlt.Pipeline:
        return dlt.pipeline(
            PIPELINE,
            pipelines_dir=str(self._work.of_dlt),
            destination=dlt.destinations.duckdb(str(self.path)),
            dataset_name=DATASET,
        )

    def _discard(self) -> None:
        with self._named_failures():
            self._work.discard()

    def _try_pending(self) -> None:
        """Load what is pending; what nothing can load is fetched again, from the checkpoint."""
        self._work.tidy()
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
            self._forget_half_loaded()
        self._load()
        self._is_loaded = True

    def _forget_half_loaded(self) -> None:
        """Delete the rows that pending files are about to bring, in case they brought them already.

        A process killed between a commit and dlt's note of it would append them twice.
        """
        for table, file in unnoted_files(self.pipeline):
            if not self.has_table(table):
                continue
            key = ", ".join(quoted(column) for column in KEYS.get(table, ("id",)))
            self.execute(
                f"delete from {DATASET}.{quoted(table)} "  # noqa: S608  (names of our own)
                f"where ({key}) in (select ({key}) from read_parquet(?))",
                file,
            )

    def _load(self) -> None:
        widest = self._widest()
        with self._named_failures():
            size = pending_bytes(self.pipeline)
        self.execute(memory_limit(widest, load_bytes=size))
        with self._named_failures():
            self.pipeline.load()
            self._is_fetched = False
            if self._wal.exists() and self._wal.stat().st_size > CHECKPOINT_BYTES:
                self.execute("checkpoint")
        self.execute(memory_limit(widest))

    def _widest(self) -> int:
        """Columns of the widest table, as far as dlt knows it."""
        if self._pipeline is None or not self._pipeline.default_schema_name:
            return 0
        tables = self._pipeline.default_schema.tables.values()
        return max((len(table["columns"]) for table in tables), default=0)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        with self._named_failures():
            return connect(self.path, lock_wait_s=self._lock_wait_s, tell=self._tell)

    def _named_failures(self) -> AbstractContextManager[None]:
        return named_failures(self.path, is_fetched=self._is_fetched)
