"""The floor: the same bytes, the fastest parser, plain casts, direct insert, and nothing else.

`python -m tests.bench.floor PORT WAREHOUSE [dlt]`: no retries, no limits, no accounting, no
checks. With `dlt` the frames land through one dlt load package (merge) instead.
"""

from __future__ import annotations

import http.client
import json
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json

CHUNK_PAGES = 200
OBJECT_TYPES = ("contacts", "calls")


class _Id(msgspec.Struct):
    id: str


class _Next(msgspec.Struct):
    after: str


class _Paging(msgspec.Struct):
    next: _Next


class _Page(msgspec.Struct):
    results: list[_Id]
    paging: _Paging | None = None


class _Answer(msgspec.Struct):
    results: msgspec.Raw


_PAGE = msgspec.json.Decoder(_Page)
_ANSWER = msgspec.json.Decoder(_Answer)


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    return connection.getresponse().read()


def fetch(
    port: int, object_type: str, names: list[str], out: queue.Queue[list[bytes] | None]
) -> None:
    """List and read everything over one connection, a chunk of bodies at a time."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    base = f"/crm/v3/objects/{object_type}"
    bodies: list[bytes] = []
    after: str | None = ""
    while after is not None:
        page = _PAGE.decode(
            _get(connection, f"{base}?limit=100" + (f"&after={after}" if after else ""))
        )
        after = page.paging.next.after if page.paging else None
        body = msgspec.json.encode({"inputs": page.results, "properties": names})
        connection.request("POST", f"{base}/batch/read", body)
        bodies.append(connection.getresponse().read())
        if len(bodies) == CHUNK_PAGES:
            out.put(bodies)
            bodies = []
    out.put(bodies)
    out.put(None)


def parsed(bodies: list[bytes], names: list[str]) -> pl.DataFrame:
    """One frame of text from the bodies of one chunk."""
    record = pa.struct(
        [
            ("id", pa.string()),
            ("createdAt", pa.string()),
            ("updatedAt", pa.string()),
            ("archived", pa.bool_()),
            ("properties", pa.struct([(name, pa.string()) for name in names])),
        ]
    )
    lines = b"\n".join(b'{"results":%b}' % bytes(_ANSWER.decode(body).results) for body in bodies)
    table = pa_json.read_json(
        pa.BufferReader(lines),
        read_options=pa_json.ReadOptions(block_size=1 << 20),
        parse_options=pa_json.ParseOptions(
            explicit_schema=pa.schema([("results", pa.list_(record))]),
            unexpected_field_behavior="ignore",
        ),
    )
    frames = []
    for chunk in table.column("results").iterchunks():
        flat = chunk.flatten()
        arrays = [flat.field(name) for name in ("id", "createdAt", "updatedAt", "archived")]
        arrays += flat.field("properties").flatten()
        envelope = ["@id", "@created", "@updated", "archived"]
        frames.append(pl.DataFrame(pa.Table.from_arrays(arrays, names=[*envelope, *names])))
    return pl.concat(frames)


def cast(raw: pl.DataFrame, types: dict[str, str]) -> pl.DataFrame:
    """The plain casts: what fits becomes typed, what does not becomes null in silence."""
    moment = pl.Datetime("us", "UTC")

    def datetime(name: str) -> pl.Expr:
        text = pl.col(name)
        iso = text.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
        epoch = (text.cast(pl.Int64, strict=False) * 1000).cast(moment)
        return pl.coalesce(iso, epoch)

    def typed(name: str, type_: str) -> pl.Expr:
        text = pl.col(name)
        match type_:
            case "number":
                return text.cast(pl.Float64, strict=False)
            case "datetime":
                return datetime(name)
            case "date":
                epoch = (
                    (text.cast(pl.Int64, strict=False) // 86_400_000).cast(pl.Int32).cast(pl.Date)
                )
                return pl.coalesce(text.str.to_date("%Y-%m-%d", strict=False), epoch)
            case "bool":
                return text == "true"
            case "list":
                return '["' + text.str.replace_all(";", '","', literal=True) + '"]'
            case _:
                return text

    return raw.select(
        pl.col("@id").cast(pl.Int64).alias("id"),
        datetime("@created").alias("created_at"),
        datetime("@updated").alias("updated_at"),
        "archived",
        *(typed(name, type_).alias(name) for name, type_ in types.items()),
    )


def frames(port: int, object_type: str) -> Iterator[pl.DataFrame]:
    """Typed frames of one object type, while the next bodies are fetched."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    answer = json.loads(_get(connection, f"/crm/v3/properties/{object_type}"))
    types = {
        item["name"]: "list" if item["fieldType"] == "checkbox" else item["type"]
        for item in answer["results"]
    }
    bodies: queue.Queue[list[bytes] | None] = queue.Queue(2)
    thread = threading.Thread(target=fetch, args=(port, object_type, list(types), bodies))
    thread.start()
    while (chunk := bodies.get()) is not None:
        if chunk:
            yield cast(parsed(chunk, list(types)), types)
    thread.join()


def into_duckdb(port: int, warehouse: Path) -> None:
    """Insert each frame as Arrow."""
    connection = duckdb.connect(str(warehouse))
    for object_type in OBJECT_TYPES:
        for number, frame in enumerate(frames(port, object_type)):
            rows = frame.to_arrow()  # noqa: F841  (found by name)
            verb = f"insert into {object_type}" if number else f"create table {object_type} as"
            connection.execute(f"{verb} from rows")
    connection.close()


def through_dlt(port: int, warehouse: Path) -> None:
    """All frames in one load package, merged on the key."""
    import dlt

    pipeline = dlt.pipeline(
        "floor",
        pipelines_dir=str(warehouse) + ".floor",
        destination=dlt.destinations.duckdb(str(warehouse)),
        dataset_name="crm",
    )

    @dlt.source
    def portal() -> list[object]:
        return [
            dlt.resource(
                lambda object_type=object_type: (
                    frame.to_arrow() for frame in frames(port, object_type)
                ),
                name=object_type,
                primary_key="id",
                write_disposition="merge",
            )
            for object_type in OBJECT_TYPES
        ]

    pipeline.run(portal())


if __name__ == "__main__":
    land = through_dlt if sys.argv[3:] == ["dlt"] else into_duckdb
    land(int(sys.argv[1]), Path(sys.argv[2]))
