"""The dlt source: contacts and calls as typed tables, with what went wrong beside them.

It stands on its own, in anybody's project and for any destination:

    import dlt
    from pipelines.source import hubspot

    pipeline = dlt.pipeline("hubspot", destination="duckdb", dataset_name="crm")
    pipeline.run(hubspot())

`crm sync` lands the same tables, chunk by chunk, with a checkpoint after each.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dlt
import pyarrow as pa
from dlt.extract import DltResource, DltSource

from pipelines import ledger
from pipelines.errand import Errand
from pipelines.errors import ConfigError
from pipelines.fetching import Fetcher, limits_of
from pipelines.hubspot.limits import Limits
from pipelines.idpages import IdSequence
from pipelines.landing import Chunk, Landing
from pipelines.ledger import RunRow
from pipelines.progress import Counters
from pipelines.reading import KnownColumns, Reading
from pipelines.settings import Settings, known_object_types, load_settings
from pipelines.steps import ARCHIVED, IDS, LIVE, Step
from pipelines.stream import AT_RISK_RECORDS
from pipelines.thread import Fetch, SharedLoop
from transforms.definitions import Kind

SCHEMA_NAME = "hubspot"


@dataclass(frozen=True, slots=True)
class _Together:
    """What the resources of one source share, for dlt takes turns with them."""

    limits: Limits
    loop: SharedLoop


def hubspot(
    object_types: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    ids: Mapping[str, Sequence[str]] | None = None,
) -> DltSource:
    """A dlt source with a resource for each object type, each merged on `id`.

    Each run reads everything HubSpot lists, or the ids given. Every id asked for is a row, or
    in `id_aliases`, or a row in `errors`; `runs` has the sums. A repeated error is one row,
    whose `first_seen_at` is that of the latest run (`crm sync` keeps the first).

    Args:
        object_types: "contacts", "calls"; both when none is named.
        settings: What to read and how; from dlt's configuration when left out.
        ids: Read these records only, by object type.

    Raises:
        ConfigError: A setting or an object type cannot work.
    """
    names = known_object_types(object_types or tuple(ids or ()))
    settings = settings or load_settings()
    if unread := set(ids or ()) - set(names):
        raise ConfigError(f"ids of {', '.join(sorted(unread))} are given, which is not read")
    quiet_about_hints()
    together = _Together(limits_of(settings), SharedLoop())

    @dlt.source(schema=schema(), max_table_nesting=0)
    def _hubspot() -> list[DltResource]:
        return [
            dlt.resource(_records, name=name, primary_key="id", write_disposition="merge")(
                name, settings, ids, together
            )
            for name in names
        ]

    source: DltSource = _hubspot()
    return source


def package(landings: Sequence[Landing], state: Mapping[str, object] | None = None) -> DltSource:
    """A dlt source that is one load package: these rows, and this state beside them.

    What is None in `state` is forgotten.
    """

    def remember(rows: list[pa.Table]) -> Iterator[pa.Table]:
        if state is not None:
            kept = dlt.current.source_state()
            kept.update(state)
            for name in [name for name, value in kept.items() if value is None]:
                del kept[name]
        yield rows.pop()  # dlt keeps what a resource was given until a collection of cycles

    @dlt.source(schema=schema(), max_table_nesting=0)
    def _package() -> list[DltResource]:
        return [
            dlt.resource(remember, name=landing.table, **landing.hints())([landing.rows])
            for landing in landings
        ]

    quiet_about_hints()
    source: DltSource = _package()
    return source


def schema() -> dlt.Schema:
    """A schema that takes names as they are: HubSpot's property names are the column names."""
    return dlt.Schema(
        SCHEMA_NAME,
        normalizers={
            "names": "direct",
            "json": {"module": "dlt.common.normalizers.json.relational"},
        },
    )


def _records(
    object_type: str,
    settings: Settings,
    ids: Mapping[str, Sequence[str]] | None,
    together: _Together,
) -> Iterator[object]:
    """The tables of one object type, a chunk at a time."""
    now = datetime.now(UTC)
    row = RunRow(
        run_id=f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}-{object_type}",
        command="source",
        object_type=object_type,
        started_at=now,
        as_of=now,
    )
    state = dlt.current.source_state()
    given = (ids or {}).get(object_type)
    errand = Errand(
        row.run_id,
        (Step(LIVE), Step(ARCHIVED)) if given is None else (Step(IDS, ids=IdSequence(given)),),
        known=_known(state.get(object_type, {})),
        counters=Counters(object_type),
    )
    fetcher = Fetcher(
        settings,
        errands={object_type: errand},
        stop=threading.Event(),
        limits=together.limits,
    )
    with Fetch(fetcher.stream, room=AT_RISK_RECORDS, shared=together.loop) as fetch:
        for fetched in fetch:
            row.note(fetched.usage)
            if fetched.chunk is not None:
                fetch.taken(fetched.chunk.room)
                is_first = row.requested_ids == 0
                yield from _marked(_tables(fetched.chunk, row, is_first=is_first))
                state[object_type] = _remembered(fetched.chunk.reading)
    row.check()
    row.status, row.finished_at = "complete", datetime.now(UTC)
    yield from _marked([Landing("runs", ledger.table_of([row], ledger.RUNS))])


def _tables(chunk: Chunk, row: RunRow, *, is_first: bool) -> list[Landing]:
    for part in chunk.parts:
        part.book(row)
    made = chunk.landings(run_id=row.run_id, seen_at=datetime.now(UTC), is_first=is_first)
    if is_first:
        made.append(Landing("properties", chunk.reading.properties_table()))
        made.append(Landing("property_options", chunk.reading.options_table()))
    return made


def _marked(landings: Sequence[Landing]) -> Iterator[object]:
    """Rows that say which table they are for."""
    for landing in landings:
        hints = dlt.mark.make_hints(table_name=landing.table, **landing.hints())
        yield dlt.mark.with_hints(landing.rows, hints, create_table_variant=True)


def _remembered(reading: Reading) -> dict[str, list[list[str]]]:
    """Column and kind of each property, the one in use last: a column never changes its type."""
    remembered = {}
    for column in reading.columns:
        by_kind = {**reading.known.get(column.property, {})}
        by_kind.pop(column.kind, None)
        by_kind[column.kind] = column.name
        remembered[column.property] = [[kind.value, name] for kind, name in by_kind.items()]
    return remembered


def _known(remembered: Mapping[str, Sequence[Sequence[str]]]) -> KnownColumns:
    return {
        name: {Kind(kind): column for kind, column in by_kind}
        for name, by_kind in remembered.items()
    }


class _HintsFilter(logging.Filter):
    """Drops one warning of dlt's, given for every table with a JSON column.

    Arrow has no JSON type, so the hint "json" differs from "text", on purpose.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "several column hints were different" not in record.getMessage()


def quiet_about_hints() -> None:
    """Keep that warning out of the log; once is enough, more do no harm."""
    logger = logging.getLogger("dlt")
    if not any(isinstance(known, _HintsFilter) for known in logger.filters):
        logger.addFilter(_HintsFilter())
