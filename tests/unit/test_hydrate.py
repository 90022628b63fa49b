"""Every id asked for is a row, merged into a row, or an error with HubSpot's own words."""

from __future__ import annotations

import asyncio

import pytest
from hubspot_server import Clock, Reply, client_for, served
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.accounting import Batch
from pipelines.errors import AuthError, DailyLimitError, HubSpotError, TransientError
from pipelines.hydrate import Hydrator
from pipelines.idpages import IdPage
from pipelines.stream import in_order
from transforms.records import raw_records

NOT_FOUND = "Could not get some CONTACT objects, they may be deleted or not exist."


def record(record_id: object, **properties: str) -> dict:
    return {
        "id": str(record_id),
        "properties": {"hs_object_id": str(record_id), **properties},
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
        "archived": False,
    }


def answer(*ids: object, status: str = "COMPLETE", missing: tuple[str, ...] = (), **more) -> Reply:
    """An answer with these records (or ids of records), and these ids as not found."""
    results = [one if isinstance(one, dict) else record(one) for one in ids]
    body = {
        "completedAt": "2026-01-01T00:00:01.500Z",
        "startedAt": "2026-01-01T00:00:01Z",
        "status": status,
        "results": results,
        **more,
    }
    if missing:
        entry = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": NOT_FOUND}
        body |= {"errors": [{**entry, "context": {"ids": list(missing)}}], "numErrors": 1}
    return Reply(207 if missing else 200, body, {"X-HubSpot-Correlation-Id": "corr-1"})


def refused(message: str = "Invalid input") -> Reply:
    return Reply(
        400,
        {
            "status": "error",
            "message": message,
            "category": "VALIDATION_ERROR",
            "correlationId": "corr-400",
            "errors": [
                {"message": message, "code": "INVALID", "in": "id", "context": {"id": ["x"]}}
            ],
        },
    )


def read(
    *script: Reply, ids: tuple[str, ...], archived: bool = False, clock: Clock | None = None
) -> tuple[Batch, list[tuple[list[str], bool]]]:
    """The batch, and what was asked for: ids, and whether among the archived ones."""

    async def run():
        async with served(*script) as server, client_for(server.url, clock=clock) as client:
            hydrator = Hydrator(client, run_id="r", object_type="contacts", properties=("email",))
            batch = await hydrator.read(IdPage(ids, None, is_fresh=True), archived=archived)
            return batch, [
                ([one["id"] for one in request.json["inputs"]], "archived=true" in request.target)
                for request in server.requests
            ]

    return asyncio.run(run())


def failures(batch: Batch) -> list[tuple[object, ...]]:
    return [
        (row.object_id, row.category, row.http_status, row.is_retryable) for row in batch.errors
    ]


MALFORMED = Reply(200, {"results": "none"})
UNAVAILABLE = Reply(503, b"<html>")
GATEWAY = Reply(502, {"status": "error", "category": "BAD_GATEWAY", "message": "no"})


class Answers(list):
    """A script that answers by the ids asked for, the number of the request, and nothing else."""

    def __init__(self, server, reply_to) -> None:
        super().__init__([None])
        self._server, self._reply_to = server, reply_to

    def __getitem__(self, _: object) -> Reply:
        ids = [one["id"] for one in self._server.requests[-1].json["inputs"]]
        return self._reply_to(ids, len(self._server.requests))


def read_by_ids(ids: tuple[str, ...], reply_to) -> Batch:
    async def run():
        async with served(Reply(200, {})) as server, client_for(server.url) as client:
            server.script = Answers(server, reply_to)
            hydrator = Hydrator(client, run_id="r", object_type="contacts", properties=())
            return await hydrator.read(IdPage(ids, None, is_fresh=True))

    return asyncio.run(run())


def test_records_that_come_are_loaded_with_one_request():
    """The usual case costs nothing more."""
    batch, asked = read(answer(1, 2, 3), ids=("1", "2", "3"))

    assert (batch.loaded, batch.aliases, batch.errors, batch.unasked) == (
        {"1", "2", "3"}, {}, (), frozenset()
    )  # fmt: skip
    assert asked == [(["1", "2", "3"], False)]
    (request,) = batch.requests
    assert (request.http_status, request.status, request.inputs, request.results) == (
        200, "COMPLETE", 3, 3
    )  # fmt: skip
    assert request.correlation_id == "corr-1"
    assert request.started_at.isoformat() == "2026-01-01T00:00:01+00:00"


def test_results_in_another_order_are_matched_by_id():
    """HubSpot answers in its own order; zipping would give people each other's values."""
    batch, _ = read(answer(3, 1, 2), ids=("1", "2", "3"))

    assert batch.loaded == {"1", "2", "3"}


def test_missing_ids_are_looked_for_among_the_archived_ones():
    """An archived contact is not an error; only what was missing is asked for again."""
    batch, asked = read(
        answer(1, missing=("2", "3")), answer(3, missing=("2",)), ids=("1", "2", "3")
    )

    assert batch.loaded == {"1", "3"}
    assert asked == [(["1", "2", "3"], False), (["2", "3"], True)]
    assert failures(batch) == [("2", "OBJECT_NOT_FOUND", 207, False)]


def test_ids_missing_from_the_archived_ones_are_looked_for_among_the_live_ones():
    """A record may be restored between the list and the read."""
    batch, asked = read(answer(missing=("1",)), answer(1), ids=("1",), archived=True)

    assert batch.loaded == {"1"}
    assert asked == [(["1"], True), (["1"], False)]


def test_error_rows_hold_hubspots_own_words():
    """Message, category, correlation id and context are what its support asks for."""
    batch, _ = read(answer(missing=("9",)), answer(missing=("9",)), ids=("9",))

    (row,) = batch.errors
    assert (row.object_type, row.object_id, row.stage) == ("contacts", "9", "read")
    assert (row.message, row.correlation_id) == (NOT_FOUND, "corr-1")
    assert row.context == {"context": {"ids": ["9"]}}


def test_an_error_row_does_not_depend_on_what_else_was_in_the_request():
    """HubSpot has one entry for all ids a request misses: which those are is chance."""
    both = answer(missing=("8", "9"))

    batch, _ = read(both, both, ids=("8", "9"))

    assert [(row.object_id, row.context) for row in batch.errors] == [
        ("8", {"context": {"ids": ["8"]}}),
        ("9", {"context": {"ids": ["9"]}}),
    ]


def test_old_and_new_id_of_a_merge_in_one_batch():
    """One record answers both: one row, one alias, no error."""
    batch, asked = read(answer(record(2, hs_merged_object_ids="1")), ids=("1", "2"))

    assert (batch.loaded, batch.aliases, batch.errors) == ({"2"}, {"1": "2"}, ())
    assert len(asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"hs_merged_object_ids": "1;2"},
        {"hs_calculated_merged_vids": "1:1690000000000;2:1690000000001"},
        {"hs_all_contact_vids": "7;1;2"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_a_chain_of_merges_ends_at_the_record_that_answers(said):
    """Both old ids are aliases of the winner, wherever it lists them."""
    batch, _ = read(answer(record(7, **said)), ids=("1", "2"))

    assert (batch.aliases, batch.loaded, batch.unasked) == ({"1": "7", "2": "7"}, set(), {"7"})


def test_an_id_answered_under_another_id_that_does_not_say_so_is_asked_for_alone():
    """Asked alone and answered under another id: that is an alias."""
    batch, asked = read(
        answer(1, 99),
        answer(99),
        ids=("1", "2"),
    )

    assert (batch.loaded, batch.aliases, batch.errors) == ({"1"}, {"2": "99"}, ())
    assert asked == [(["1", "2"], False), (["2"], False), (["2"], False)]


def test_an_old_id_in_a_batch_with_the_record_that_answers_it():
    """The record comes once and does not name it; only the id asked for alone tells."""

    def reply_to(asked: list[str], _: int) -> Reply:
        return answer(*dict.fromkeys("7" if one == "2" else one for one in asked))

    batch = read_by_ids(("1", "2", "7", "3"), reply_to)

    assert (batch.loaded, batch.aliases, batch.errors) == ({"1", "3", "7"}, {"2": "7"}, ())


def test_an_alias_that_cannot_be_asked_for_again_is_an_error_and_stops_nothing():
    """HubSpot answers other ids, so a run that ended here would end here each time."""

    def reply_to(asked: list[str], number: int) -> Reply:
        if asked == ["2"] and number in (3, 7):
            return refused()
        return answer(*("99" if one == "2" else one for one in asked))

    batch = read_by_ids(("1", "2"), reply_to)

    assert (batch.loaded, batch.aliases) == ({"1"}, {})
    assert [row.object_id for row in batch.errors] == ["2"]
    assert 400 in [row.http_status for row in batch.requests]


def test_a_stranger_that_comes_once_is_no_alias():
    """Told that two records are one, people would delete one of them."""
    batch, _ = read(
        answer(1, 99), answer(99), answer(), ids=("1", "2"),
    )  # fmt: skip

    assert batch.aliases == {}
    assert failures(batch) == [("2", "NOT_RETURNED", 200, True)]


def test_an_id_that_hubspot_says_is_not_there_is_not_taken_for_an_alias():
    """It may be archived; the stranger has nothing to do with it."""

    def reply_to(asked: list[str], number: int) -> Reply:
        return answer(1, 99, missing=("2",)) if number == 1 else answer(*asked)

    batch = read_by_ids(("1", "2"), reply_to)

    assert (batch.aliases, batch.loaded) == ({}, {"1", "2"})
    assert len(batch.requests) == 2


def test_many_missing_ids_and_one_stranger_cost_a_logarithm_of_requests():
    """Each asked for alone, they would cost a hundred."""
    ids = tuple(str(n) for n in range(1, 101))

    def reply_to(asked: list[str], _: int) -> Reply:
        return answer(*(["500"] if "42" in asked else []))

    batch = read_by_ids(ids, reply_to)

    assert batch.aliases == {"42": "500"}
    assert len(batch.errors) == 99
    assert len(batch.requests) <= 2 * 7 + 5


def test_two_such_ids_are_told_apart():
    """Each of two strangers belongs to one of two missing ids."""
    answers = {"1": "99", "2": "98"}
    batch = read_by_ids(("1", "2"), lambda asked, _: answer(*sorted(answers[one] for one in asked)))

    assert batch.aliases == {"1": "99", "2": "98"}


def test_a_record_that_was_not_asked_for_is_not_loaded():
    """It may be somebody else's batch; `unasked` keeps it out of the table."""
    batch, asked = read(answer(1, 2, 77), ids=("1", "2"))

    assert (batch.loaded, batch.unasked, batch.aliases) == ({"1", "2"}, {"77"}, {})
    assert len(asked) == 1


def test_a_stranger_does_not_explain_a_missing_id():
    """A record nobody asked for and an id that is nowhere have nothing to do with each other."""
    batch, _ = read(
        answer(1, 77, missing=("2",)),
        answer(missing=("2",)),
        answer(missing=("2",)),
        ids=("1", "2"),
    )

    assert batch.aliases == {}
    assert failures(batch) == [("2", "OBJECT_NOT_FOUND", 207, False)]


def test_the_same_record_twice_is_loaded_once():
    """Sums are of ids, not of results."""
    batch, _ = read(answer(1, 1, 2), ids=("1", "2"))

    assert batch.loaded == {"1", "2"}
    assert batch.requests[0].results == 2


def test_a_record_in_neither_results_nor_errors_is_asked_for_again():
    """The silent hole that peers lose rows through."""
    batch, asked = read(answer(1), answer(), answer(2), ids=("1", "2"))

    assert (batch.loaded, batch.errors) == ({"1", "2"}, ())
    assert asked == [(["1", "2"], False), (["2"], True), (["2"], False)]


def test_a_record_that_never_comes_is_not_returned():
    """Trying again in a later run may help."""
    batch, asked = read(answer(1), answer(), ids=("1", "2"))

    assert failures(batch) == [("2", "NOT_RETURNED", 200, True)]
    assert len(asked) == 3


def test_a_batch_of_which_nothing_came_is_asked_for_again():
    """HubSpot may say for once that it has none of them; it is not believed at once."""
    nothing = answer(missing=("1", "2"))

    batch, asked = read(nothing, nothing, answer(1, missing=("2",)), ids=("1", "2"))

    assert batch.loaded == {"1"}
    assert failures(batch) == [("2", "OBJECT_NOT_FOUND", 207, False)]
    assert len(asked) == 3


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "CANCELED"])
def test_the_rest_of_an_unfinished_batch_is_asked_for_again(status):
    """Its good half is kept; the waits are HubSpot's time to finish."""
    clock = Clock()

    batch, asked = read(
        answer(1, status=status), answer(2, status=status), answer(3), ids=("1", "2", "3"),
        clock=clock,
    )  # fmt: skip

    assert (batch.loaded, batch.errors) == ({"1", "2", "3"}, ())
    assert [ids for ids, _ in asked] == [["1", "2", "3"], ["2", "3"], ["3"]]
    assert clock.sleeps == [1.0, 2.0]
    assert [row.status for row in batch.requests] == [status, status, "COMPLETE"]


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "CANCELED"])
def test_a_batch_that_never_finishes_says_so_in_the_error_rows(status):
    """Some other run may have more luck; how often it was asked for is in `batches`."""
    batch, asked = read(answer(1, status=status), answer(status=status), ids=("1", "2"))

    assert batch.loaded == {"1"}
    assert failures(batch) == [("2", "BATCH_NOT_COMPLETE", 200, True)]
    assert len(asked) == len(batch.requests) == 2 * (1 + 4)  # live, then archived


def test_an_id_is_not_given_up_while_the_archived_ones_are_not_finished():
    """That it is not among the live ones is not the last word."""

    def reply_to(_: list[str], number: int) -> Reply:
        return answer(missing=("2",)) if number == 1 else answer(status="PENDING")

    batch = read_by_ids(("2",), reply_to)

    assert failures(batch) == [("2", "BATCH_NOT_COMPLETE", 200, True)]


@pytest.mark.parametrize("archived", [False, True])
def test_an_id_is_not_given_up_while_one_of_the_two_answers_is_silent_about_it(archived):
    """An archived record is not among the live ones, as HubSpot says; that is not all."""
    said, silent = answer(missing=("2",)), answer()
    script = (silent, said, silent) if archived else (said, silent)

    batch, _ = read(*script, ids=("2",))

    assert [(row[1], row[3]) for row in failures(batch)] == [("NOT_RETURNED", True)]


def test_an_answer_without_a_status_is_complete():
    """HubSpot wants every field to be optional."""
    batch, asked = read(
        answer(1, status=None, missing=("2",)), answer(status=None, missing=("2",)), ids=("1", "2")
    )

    assert failures(batch) == [("2", "OBJECT_NOT_FOUND", 207, False)]
    assert len(asked) == 2


def test_errors_of_an_id_that_came_all_the_same_are_no_error_rows():
    """Each id is in exactly one place; `numErrors` counts entries and is not believed."""
    entry = {"category": "OBJECT_NOT_FOUND", "message": NOT_FOUND, "context": {"ids": ["1"]}}

    batch, _ = read(answer(1, errors=[entry], numErrors=5), ids=("1",))

    assert (batch.loaded, batch.errors) == ({"1"}, ())
    assert batch.requests[0].num_errors == 5


def test_an_id_that_makes_the_whole_batch_fail_is_isolated():
    """Halving finds it; all others land, and every request is in `batches`."""
    batch, asked = read(
        refused(), answer(), answer(1, 2), refused(), refused("66 is not allowed"), answer(1),
        answer(4),
        ids=("1", "2", "66", "4"),
    )  # fmt: skip

    assert batch.loaded == {"1", "2", "4"}
    assert failures(batch) == [("66", "VALIDATION_ERROR", 400, False)]
    assert [ids for ids, _ in asked] == [
        ["1", "2", "66", "4"],
        ["9007199254740991"],  # of no record: only to see whether it is the ids
        ["1", "2"],
        ["66", "4"],
        ["66"],
        ["1"],  # as a witness again: no id is blamed for what fails whatever the ids
        ["4"],
    ]
    assert [(r.http_status, r.inputs) for r in batch.requests] == [
        (400, 4), (200, 1), (200, 2), (400, 2), (400, 1), (200, 1), (200, 1)
    ]  # fmt: skip
    (row,) = batch.errors
    assert "66 is not allowed" in row.message
    assert row.correlation_id == "corr-400"
    assert row.context["errors"][0]["code"] == "INVALID"


@pytest.mark.parametrize(
    ("reply", "category", "status", "is_retryable"),
    [
        pytest.param(refused(), "VALIDATION_ERROR", 400, False, id="400"),
        pytest.param(UNAVAILABLE, "HTTP_503", 503, True, id="503"),
        pytest.param(GATEWAY, "BAD_GATEWAY", 502, True, id="502 in JSON"),
        pytest.param(MALFORMED, "MALFORMED_RESPONSE", 200, True, id="another shape"),
    ],
)
@pytest.mark.parametrize(
    "bad", [{"17"}, {"17", "83"}, {"1", "2"}, {"100"}], ids=lambda ids: "+".join(sorted(ids))
)
def test_bad_ids_in_a_full_batch_cost_a_logarithm_of_requests(
    reply, category, status, is_retryable, bad
):
    """However HubSpot fails at an id, all others land, and it is blamed in HubSpot's words."""
    ids = tuple(str(n) for n in range(1, 101))

    batch = read_by_ids(ids, lambda asked, _: reply if bad & set(asked) else answer(*asked))

    assert batch.loaded == set(ids) - bad
    assert {row[0] for row in failures(batch)} == bad
    assert {row[1:] for row in failures(batch)} == {(category, status, is_retryable)}
    assert len(batch.requests) <= len(bad) * (2 * 7 + 1) + 2
    assert len({request.batch_id for request in batch.requests}) == len(batch.requests)


def test_a_batch_of_bad_ids_only_is_blamed_on_them():
    """A file of ids may be wrong from the first to the last line."""
    ids = ("66", "67", "68")

    batch = read_by_ids(ids, lambda asked, _: refused() if set(ids) & set(asked) else answer())

    assert [row.object_id for row in batch.errors] == ["66", "67", "68"]


@pytest.mark.parametrize(
    "reply", [UNAVAILABLE, Reply(404, b"<html>")], ids=["unavailable", "a page"]
)
def test_no_id_is_blamed_for_an_outage_that_begins_while_a_batch_is_split(reply):
    """Every part would fail, down to ids that are as good as any."""

    def reply_to(asked: list[str], number: int) -> Reply:
        if number == 1:
            return refused()
        return answer(*asked) if number in {2, 3} else reply

    with pytest.raises(HubSpotError):
        read_by_ids(("1", "2", "3", "4"), reply_to)


def test_requests_that_failed_for_good_tell_how_often_they_were_sent():
    """`batches` is what shows that an id costs too much."""
    batch = read_by_ids(
        ("1", "2"), lambda asked, _: UNAVAILABLE if "2" in asked else answer(*asked)
    )

    assert [(row.inputs, row.http_status, row.attempts) for row in batch.requests] == [
        (2, 503, 8),
        (1, 200, 1),
        (1, 200, 1),
        (1, 503, 4),
        (1, 200, 1),
    ]
    assert batch.requests[0].duration_ms > 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(Reply(401, {"message": "expired"}), AuthError, id="401"),
        pytest.param(Reply(403, {"category": "MISSING_SCOPES"}), AuthError, id="403"),
        pytest.param(Reply(429, {"policyName": "DAILY"}), DailyLimitError, id="daily limit"),
        pytest.param(Reply(503, b"<html>"), TransientError, id="503 for good"),
    ],
)
def test_what_fails_for_every_id_is_raised_and_not_split(reply, error):
    """Halving a batch that nobody may read would only spend requests."""
    with pytest.raises(error):
        read(reply, ids=("1", "2", "3", "4"))


IDS = ("1", "2", "3", "4")
SAID = st.fixed_dictionaries(
    {
        "results": st.lists(
            st.builds(
                record,
                st.sampled_from([*IDS, "77", "78"]),
                hs_merged_object_ids=st.sampled_from(["", "1", "2;3", "1:1690000000000", ";4;"]),
            ),
            max_size=6,
        )
    },
    optional={
        "status": st.sampled_from(["COMPLETE", "PENDING", "CANCELED", None, 7]),
        "numErrors": st.integers() | st.text(),
        "errors": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "id": st.sampled_from([*IDS, None]),
                    "category": st.sampled_from(["OBJECT_NOT_FOUND", None, 5]),
                    "context": st.sampled_from([{"ids": ["1", "2"]}, {"ids": [3]}, "text", None]),
                },
            )
            | st.text(),
            max_size=3,
        ),
    },
)
REPLIES = st.builds(Reply, st.sampled_from([200, 207]), SAID) | st.sampled_from(
    [refused(), UNAVAILABLE, MALFORMED, Reply(429, {"category": "RATE_LIMITS"}), Reply(200, b"")]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(REPLIES, min_size=1, max_size=6))
def test_whatever_hubspot_answers_no_id_is_lost(script):
    """Each id is loaded, merged or an error; or nothing of the page counts as read."""
    try:
        batch, _ = read(*script, ids=IDS)
    except HubSpotError:
        return

    failed = {row.object_id for row in batch.errors}
    assert batch.loaded | batch.aliases.keys() | failed == set(IDS)
    assert len(batch.loaded) + len(batch.aliases) + len(failed) == len(IDS)
    rows = raw_records(batch.answers, ["hs_object_id"])["@id"].to_list()
    assert batch.loaded | set(batch.aliases.values()) <= set(rows)


def test_an_empty_page_asks_nothing():
    """The last page of a list may be empty."""
    batch, asked = read(answer(), ids=())

    assert (asked, batch.loaded, batch.requests) == ([], set(), ())


# ---------------------------------------------------------------- in order, several at a time


async def pages(*names: str):
    for name in names:
        yield IdPage((name,), name, is_fresh=True)


def test_batches_come_in_the_order_of_the_pages():
    """The checkpoint is an id: what is before it must all have landed."""

    async def run():
        first_may_end = asyncio.Event()
        under_way, most = 0, 0

        async def reading(page: IdPage) -> str:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            if page.after == "1":
                await first_may_end.wait()
            if page.after == "3":
                first_may_end.set()
            await asyncio.sleep(0)
            under_way -= 1
            return page.after

        found = [one async for one in in_order(pages(*"12345"), reading, concurrency=3)]
        return found, most

    found, most = asyncio.run(run())

    assert found == list("12345")
    assert most == 3


def test_a_failure_cancels_what_is_under_way():
    """After an error no more requests are sent for nothing."""

    async def run():
        cancelled = []

        async def reading(page: IdPage) -> str:
            if page.after == "2":
                raise AuthError("no")
            if page.after == "1":
                return "1"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(page.after)
                raise

        found = []

        async def collect() -> None:
            async for one in in_order(pages(*"1234"), reading, concurrency=4):
                found.append(one)  # noqa: PERF401  (kept when the stream fails)

        with pytest.raises(AuthError):
            await collect()
        return found, cancelled

    assert asyncio.run(run()) == (["1"], ["3", "4"])
