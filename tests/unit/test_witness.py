"""What HubSpot lists, whatever its list looks like, and what its answers are taken for."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import parse_qs, urlsplit

import pyarrow.parquet as pq
import pytest
from hubspot_server import Reply, Request, served

from pipelines.accounting import Batch
from pipelines.errors import AuthError
from pipelines.findings import Answer, State
from pipelines.hubspot.retry import RetryPolicy
from pipelines.idpages import IdPage
from pipelines.ledger import ErrorRow
from pipelines.progress import Counters
from pipelines.settings import Settings
from pipelines.verdicts import answers_in, moment
from pipelines.witness import Listed, Witness

AT = "2026-03-01T10:00:00.123Z"
ONE = RetryPolicy(attempts=1)


def hubspot(live: list, archived: list = (), *, search: Reply | None = None):
    """Lists of one page each, in the order given; a record is an id, with `AT` for its moment."""

    def reply(request: Request) -> Reply:
        if urlsplit(request.target).path.endswith("/search"):
            return search or Reply(body={"total": len(live), "results": [{"id": "9"}]})
        is_archived = parse_qs(urlsplit(request.target).query).get("archived") == ["true"]
        ids = archived if is_archived else live
        return Reply(body={"results": [{"id": one, "updatedAt": AT} for one in ids]})

    return reply


def listed(tmp_path, reply) -> tuple[Listed, list[dict]]:
    async def run() -> Listed:
        async with served(reply) as server:
            settings = Settings(access_token="any", base_url=server.url)
            witness = Witness(settings, "contacts", "run", threading.Event(), ONE)
            into = tmp_path / "listed.parquet"
            return await asyncio.to_thread(witness.listed, into, Counters("contacts"))

    found = asyncio.run(run())
    return found, pq.read_table(tmp_path / "listed.parquet").to_pylist()


def test_both_lists_with_the_moments_they_give(tmp_path):
    found, rows = listed(tmp_path, hubspot(["1", "3"], ["2"]))

    assert rows == [
        {"id": 1, "archived": False, "updated_at": moment(AT)},
        {"id": 3, "archived": False, "updated_at": moment(AT)},
        {"id": 2, "archived": True, "updated_at": moment(AT)},
    ]
    assert (found.total, found.unnumbered) == (2, 0)


def test_a_list_in_no_order_is_read_all_the_same(tmp_path):
    """Without moments; ids that no BIGINT holds have no row and are counted."""
    found, rows = listed(tmp_path, hubspot(["5", "1", "x", str(2**63), "3"]))

    assert [(row["id"], row["updated_at"]) for row in rows] == [(5, None), (1, None), (3, None)]
    assert found.unnumbered == 2


def test_search_that_does_not_answer_is_a_witness_less(tmp_path):
    found, rows = listed(tmp_path, hubspot(["1"], search=Reply(500, {"message": "no"})))

    assert found.total is None
    assert len(rows) == 1


def test_a_token_that_is_refused_ends_it(tmp_path):
    with pytest.raises(AuthError):
        listed(tmp_path, hubspot(["1"], search=Reply(403, {"message": "no"})))


def error(object_id: str, category: str, *, is_retryable: bool = False) -> ErrorRow:
    return ErrorRow(
        object_type="contacts", stage="read", category=category, object_id=object_id,
        is_retryable=is_retryable,
    )  # fmt: skip


def test_only_hubspot_s_own_word_counts_as_gone():
    """An id that it does not answer, not yet, or not for this reason may be there."""
    body = (
        b'{"results": [{"id": "1", "updatedAt": "2026-03-01T10:00:00.123Z"}, {"id": "2", '
        b'"archived": true, "updatedAt": null, "archivedAt": "2026-03-01T10:00:00.123Z"}]}'
    )
    batch = Batch(
        page=IdPage(("1", "2", "3", "4", "5", "6"), None, is_fresh=True),
        answers=(body,),
        requests=(),
        unasked=frozenset(),
        loaded=frozenset({"1", "2"}),
        aliases={"3": "1"},
        errors=(
            error("4", "OBJECT_NOT_FOUND"),
            error("5", "NOT_RETURNED", is_retryable=True),
            error("6", "VALIDATION_ERROR"),
        ),
    )

    assert answers_in(batch) == {
        "1": Answer(State.LIVE, moment(AT), moment(AT)),
        "2": Answer(State.ARCHIVED, None, moment(AT)),
        "3": Answer(State.MERGED, current_id=1),
        "4": Answer(State.GONE),
        "5": Answer(State.UNKNOWN),
        "6": Answer(State.UNKNOWN),
    }
