"""A server of canned HubSpot answers: no latency, no limit, and as little work as possible.

Run as a process of its own: `python -m tests.bench.canned CONTACTS CALLS` prints its port.
Ids and 200 bodies of values are made before the first request; an answer only joins them.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from typing import ClassVar

import msgspec

FIRST_ID = 100_000_000_000
PAGE = 100
BODIES = 40

# type, field type, sample values; repeated until the object has its number of properties
_KINDS = (
    ("string", "text", ("Ada Lovelace", "12 Analytical Row, London", "engine", "été")),
    ("datetime", "date", ("2024-11-20T20:12:03.054Z", "2025-01-02T03:04:05Z", "1743685150726")),
    ("number", "number", ("17", "0.0", "-3.5", "1245000", "98.25")),
    ("string", "text", ("x" * 40, "a somewhat longer line of text for a record")),
    ("enumeration", "select", ("lead", "customer", "opportunity")),
    ("bool", "booleancheckbox", ("true", "false")),
    ("enumeration", "checkbox", ("a;b;c", "chocolate;strawberry", "a")),
    ("date", "date", ("2024-05-31", "1653696000000")),
    ("string", "text", ("(800) 555-0100", "https://example.com/path?q=1")),
    ("number", "number", ("3800", "1", "2500.5")),
)
_ALWAYS = {
    "contacts": ("createdate", "lastmodifieddate"),
    "calls": ("hs_createdate", "hs_lastmodifieddate"),
}
PROPERTIES = {"contacts": 60, "calls": 30}


def definitions(object_type: str) -> list[dict[str, object]]:
    """Property definitions in HubSpot's shape."""
    made = [_definition("hs_object_id", "number", "number")]
    made += [_definition(name, "datetime", "date") for name in _ALWAYS[object_type]]
    for position in range(PROPERTIES[object_type] - len(made)):
        type_, field_type, _ = _KINDS[position % len(_KINDS)]
        made.append(_definition(f"{type_}_{field_type}_{position:02d}", type_, field_type))
    return made


def _definition(name: str, type_: str, field_type: str) -> dict[str, object]:
    return {
        "name": name, "label": name.replace("_", " ").title(), "type": type_,
        "fieldType": field_type, "description": "", "groupName": "bench", "options": [],
    }  # fmt: skip


def _templates(object_type: str) -> list[list[bytes]]:
    """Bodies cut where ids go: id, hs_object_id, id, hs_object_id, …"""
    rng = random.Random(object_type)
    names = [str(definition["name"]) for definition in definitions(object_type)]
    made = []
    for _ in range(BODIES):
        records = [_record(names, object_type, rng) for _ in range(PAGE)]
        body = {
            "completedAt": "2026-11-04T20:29:54.897Z",
            "requestedAt": "2026-11-04T20:29:54.810Z",
            "startedAt": "2026-11-04T20:29:54.816Z",
            "status": "COMPLETE",
            "results": records,
        }
        made.append(
            json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode().split(b"@")
        )
    return made


def _record(names: list[str], object_type: str, rng: random.Random) -> dict[str, object]:
    values: dict[str, str | None] = {}
    for name in sorted(names):
        if name == "hs_object_id":
            values[name] = "@"
        elif name in _ALWAYS[object_type]:
            values[name] = f"2025-11-{rng.randint(10, 28)}T12:10:35.{rng.randint(100, 999)}Z"
        else:
            samples = _KINDS[int(name[-2:]) % len(_KINDS)][2]
            values[name] = None if rng.random() < 0.5 else rng.choice(samples)
    return {
        "id": "@", "properties": values, "createdAt": "2025-11-04T03:44:52.657Z",
        "updatedAt": "2025-11-04T12:10:35.352Z", "archived": False,
        "url": "https://app.hubspot.com/contacts/44237313/record/0-1/171591000199",
    }  # fmt: skip


class _Id(msgspec.Struct):
    id: str


class _Inputs(msgspec.Struct):
    inputs: list[_Id]


_INPUTS = msgspec.json.Decoder(_Inputs)


class _Filter(msgspec.Struct):
    propertyName: str  # noqa: N815  (HubSpot's name)
    value: str


class _Filters(msgspec.Struct):
    filters: list[_Filter]


class _Search(msgspec.Struct):
    filterGroups: list[_Filters] = []  # noqa: N815  (HubSpot's name)
    limit: int = 1


_SEARCH = msgspec.json.Decoder(_Search)


class Canned(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, for the requests of one run."""

    changed: ClassVar[dict[str, int]] = {}

    def __init__(self, counts: dict[str, int], templates: dict[str, list[list[bytes]]]) -> None:
        self._counts = counts
        self._templates = templates
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        transport.set_write_buffer_limits(high=1 << 24)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = 0
            if (at := head.lower().find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head.split(b" ", 2)[1].decode(), body)

    def _answer(self, target: str, body: bytes) -> None:
        path, _, query = target.partition("?")
        if path.startswith("/bench/changed/"):  # so many of the first contacts are modified now
            self.changed["contacts"] = int(path.rsplit("/", 1)[1])
        answer = b"" if path.startswith("/bench/") else self._made(path, query, body)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8\r\n"
            b"X-HubSpot-RateLimit-Max: 1000000\r\nX-HubSpot-RateLimit-Remaining: 999999\r\n"
            b"X-HubSpot-RateLimit-Interval-Milliseconds: 10000\r\n"
            b"X-HubSpot-RateLimit-Daily: 1000000\r\n"
            b"X-HubSpot-RateLimit-Daily-Remaining: 999999\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
        )

    def _made(self, path: str, query: str, body: bytes) -> bytes:
        object_type = path.split("/")[4]
        if path.endswith("/batch/read"):
            return self._records(object_type, [item.id for item in _INPUTS.decode(body).inputs])
        if path.endswith("/search"):
            return self._search(object_type, body)
        if "/properties/" in path:
            archived = "archived=true" in query
            return msgspec.json.encode({"results": [] if archived else definitions(object_type)})
        if "archived=true" in query:
            return b'{"results":[]}'
        parts = dict(item.split("=") for item in query.split("&") if "=" in item)
        return self._page(object_type, int(parts.get("after", FIRST_ID)))

    def _search(self, object_type: str, body: bytes) -> bytes:
        """All records without a word of which, or those that are modified, by ascending id."""
        asked = _SEARCH.decode(body)
        conditions = [one for group in asked.filterGroups for one in group.filters]
        if not any(one.propertyName != "hs_object_id" for one in conditions):
            return b'{"total":%d,"results":[]}' % self._counts[object_type]
        low = max((int(c.value) for c in conditions if c.propertyName == "hs_object_id"), default=0)
        end = FIRST_ID + self.changed.get(object_type, 0)
        ids = range(max(low, FIRST_ID), end)
        results = b",".join(
            b'{"id":"%d","properties":{},"updatedAt":"2026-11-22T12:10:35.352Z"}' % record_id
            for record_id in ids[: asked.limit]
        )
        paging = b',"paging":{"next":{"after":"x"}}' if len(ids) > asked.limit else b""
        return b'{"total":%d,"results":[%b]%b}' % (len(ids), results, paging)

    def _records(self, object_type: str, ids: list[str]) -> bytes:
        parts = self._templates[object_type][(int(ids[0]) // PAGE) % BODIES]
        if len(ids) != PAGE:
            raise ValueError("this server knows whole pages only")
        encoded = [record_id.encode() for record_id in ids for _ in range(2)]
        joined = [b""] * (2 * len(parts) - 1)
        joined[0::2] = parts
        joined[1::2] = encoded
        return b"".join(joined)

    def _page(self, object_type: str, after: int) -> bytes:
        end = FIRST_ID + self._counts[object_type]
        results = b",".join(
            b'{"id":"%d","properties":{"createdate":"2025-11-04T03:44:52.657Z",'
            b'"hs_object_id":"%d","lastmodifieddate":"2025-11-04T12:10:35.352Z"},'
            b'"createdAt":"2025-11-04T03:44:52.657Z","updatedAt":"2025-11-04T12:10:35.352Z",'
            b'"archived":false}' % (record_id, record_id)
            for record_id in range(after, min(after + PAGE, end))
        )
        paging = (
            b',"paging":{"next":{"after":"%d"}}' % (after + PAGE) if after + PAGE < end else b""
        )
        return b'{"results":[' + results + b"]" + paging + b"}"


async def _serve(counts: dict[str, int]) -> None:
    templates = {object_type: _templates(object_type) for object_type in counts}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Canned(counts, templates), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve({"contacts": int(sys.argv[1]), "calls": int(sys.argv[2])}))
