"""The documents' own bodies, recorded ones, and whatever else may come."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hubspot import decode
from pipelines.hubspot.wire import BatchError, ErrorBody, ErrorDetail
from transforms.records import raw_records

RECORD = {
    "archived": False,
    "createdAt": "2019-10-30T03:30:17.883Z",
    "id": "512",
    "properties": {
        "property_checkbox": "false",
        "property_date": "1572480000000",
        "property_dropdown": "choice_b",
        "property_multiple_checkboxes": "chocolate;strawberry",
        "property_number": "17",
        "property_radio": "option_1",
        "property_string": "value",
    },
    "updatedAt": "2019-12-07T16:50:06.678Z",
}

# From HubSpot's reference page for POST /crm/v3/objects/contacts/batch/read.
REFERENCE = {
    "completedAt": "2023-11-07T05:31:56Z",
    "results": [RECORD],
    "startedAt": "2023-11-07T05:31:56Z",
    "status": "CANCELED",
    "errors": [
        {
            "category": "<string>",
            "context": {},
            "errors": [
                {
                    "message": "<string>",
                    "code": "<string>",
                    "context": "{missingScopes=[scope1, scope2]}",
                    "in": "<string>",
                    "subCategory": "<string>",
                }
            ],
            "links": {},
            "message": "<string>",
            "status": "<string>",
            "id": "<string>",
            "subCategory": {},
        }
    ],
    "links": {},
    "numErrors": 123,
    "requestedAt": "2023-11-07T05:31:56Z",
}

# Recorded: one entry for all ids that are not there.
PARTIAL = {
    "completedAt": "2025-11-04T20:29:54.897Z",
    "status": "COMPLETE",
    "startedAt": "2025-11-04T20:29:54.816Z",
    "results": [],
    "errors": [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some CONTACT objects, they may be deleted or not exist. "
            "Check that ids are valid.",
            "context": {"ids": ["999", "1000"]},
        }
    ],
    "numErrors": 1,
}


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "id", "errors", "context", "in", "status", "x"]), inner
        )
    ),
    max_leaves=12,
)


def body(value) -> bytes:
    return json.dumps(value).encode()


def test_reference_body_every_field():
    envelope = decode.batch_envelope(body(REFERENCE))

    assert envelope.status == "CANCELED"
    assert envelope.requested_at == "2023-11-07T05:31:56Z"
    assert envelope.started_at == "2023-11-07T05:31:56Z"
    assert envelope.completed_at == "2023-11-07T05:31:56Z"
    assert envelope.num_errors == 123
    assert envelope.links == {}
    assert [record.id for record in envelope.results] == [RECORD["id"]]
    assert envelope.errors == [
        BatchError(
            status="<string>",
            id="<string>",
            category="<string>",
            sub_category={},
            message="<string>",
            context={},
            links={},
            errors=[
                ErrorDetail(
                    message="<string>",
                    code="<string>",
                    in_="<string>",
                    sub_category="<string>",
                    context="{missingScopes=[scope1, scope2]}",
                )
            ],
        )
    ]
    assert envelope.errors[0].details() == {
        "id": "<string>",
        "errors": REFERENCE["errors"][0]["errors"],
    }


def test_partial_body():
    envelope = decode.batch_envelope(body(PARTIAL))

    assert envelope.results == []
    assert envelope.num_errors == 1
    assert envelope.errors[0].context == {"ids": ["999", "1000"]}
    assert envelope.errors[0].details() == {"context": {"ids": ["999", "1000"]}}


@pytest.mark.parametrize(
    "results", ["null", "{}", "[null]", '[{"properties":{}}]', '[{"id":null}]']
)
def test_an_answer_without_ids_is_unreadable(results):
    """Nobody could tell which of the ids asked for it accounts for."""
    with pytest.raises(decode.UnreadableError):
        decode.batch_envelope(b'{"results":%b}' % results.encode())


@pytest.mark.parametrize("properties", ["[]", '"x"', "7", "true", '["\\ud800"]'])
def test_properties_that_are_no_object_make_an_answer_unreadable(properties):
    """Taken for no properties at all, the record would overwrite a row with nulls."""
    with pytest.raises(decode.UnreadableError):
        decode.batch_envelope(b'{"results":[{"id":"1","properties":%b}]}' % properties.encode())


@pytest.mark.parametrize("record", ['{"id":"1"}', '{"id":"1","properties":null}'])
def test_a_record_may_be_without_properties(record):
    """HubSpot wants every field to be optional."""
    envelope = decode.batch_envelope(b'{"results":[%b]}' % record.encode())

    assert [one.id for one in envelope.results] == ["1"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.text(min_size=1) | st.integers()},
            optional={
                "properties": st.none() | st.dictionaries(st.sampled_from("ab"), ANY_JSON),
                "archived": ANY_JSON,
                "createdAt": ANY_JSON,
            },
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_every_record_of_a_readable_answer_has_a_row(records, is_ascii):
    """The rows are read by another parser: what the one counts the other may not lose."""
    raw = json.dumps({"results": records}, ensure_ascii=is_ascii).encode(errors="surrogatepass")
    try:
        envelope = decode.batch_envelope(raw)
    except decode.UnreadableError:
        return

    assert raw_records([raw], ["a", "b"])["@id"].to_list() == [
        str(record.id) for record in envelope.results
    ]


def test_a_byte_order_mark_is_refused_here_as_it_is_where_rows_are_made():
    """Accepted here and refused there, one odd answer would end a run with a traceback."""
    text = body(REFERENCE).decode()
    for raw in (text.encode("utf-8-sig"), text.encode("utf-16"), text.encode("utf-16-le")):
        with pytest.raises(decode.UnreadableError):
            decode.batch_envelope(raw)


def nested(depth: int, opener: str, *, records: int = 1) -> bytes:
    """An answer with one value so deep, among some records."""
    value = {"[": "[" * depth + "]" * depth, "{": '{"a":' * depth + "1" + "}" * depth}[opener]
    ones = [f'{{"id":"{n}","properties":{{"a":{value if n == 0 else 1}}}}}' for n in range(records)]
    return f'{{"results":[{",".join(ones)}]}}'.encode()


@pytest.mark.parametrize("opener", ["[", "{"])
@pytest.mark.parametrize("records", [1, 100])
@pytest.mark.parametrize("depth", [1, 40, 90, 163, 300, 600, 990, 100_000])
def test_a_deep_value_is_refused_here_or_read_where_rows_are_made(depth, records, opener):
    """Each reader of JSON gives up at a depth of its own."""
    raw = nested(depth, opener, records=records)
    try:
        decode.batch_envelope(raw)
    except decode.UnreadableError:
        assert depth > decode.MAX_DEPTH - 4  # of the answer itself
        return

    assert depth <= decode.MAX_DEPTH
    assert raw_records([raw], ["a"])["a"].str.len_chars()[0] >= 2 * depth


def test_brackets_inside_texts_are_no_nesting():
    """Calls hold HTML and code; a text of brackets is as flat as any."""
    text = "[{" * 500 + '\\"[' * 50
    raw = body({"results": [{"id": "1", "properties": {"a": text}}]})

    assert [record.id for record in decode.batch_envelope(raw).results] == ["1"]
    assert raw_records([raw], ["a"])["a"].to_list() == [text]


def test_a_deep_cause_of_an_error_is_not_kept():
    """It would be written as JSON into `errors`, and the writer gives up too."""
    deep = "[" * 600 + "]" * 600

    assert decode.error_body(f'{{"message":"no","context":{deep}}}'.encode()) is None
    with pytest.raises(decode.UnreadableError, match="deep"):
        decode.batch_envelope(f'{{"results":[],"errors":[{{"context":{deep}}}]}}'.encode())


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "1e400", '"' + "9" * 5000 + '"'])
def test_a_number_that_no_parser_takes_costs_no_record(number):
    envelope = decode.batch_envelope(
        f'{{"results":[{{"id":"1"}}],"numErrors":{number},"links":{number}}}'.encode()
    )

    assert [record.id for record in envelope.results] == ["1"]
    assert envelope.num_errors is None


def test_all_but_results_may_be_absent():
    envelope = decode.batch_envelope(b'{"results":[]}')

    assert (envelope.status, envelope.num_errors, envelope.errors) == (None, None, [])


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (None, []),
        ("went wrong", [BatchError(message="went wrong")]),
        ({"message": "one"}, [BatchError(message="one")]),
        (["text", 7], [BatchError(message="text"), BatchError(message="7")]),
        (
            [{"id": 7, "status": {"a": 1}, "errors": "nested"}],
            [BatchError(id="7", status='{"a":1}', errors=[ErrorDetail(message="nested")])],
        ),
        ([{"errors": [{"in": 1, "code": None}]}], [BatchError(errors=[ErrorDetail(in_="1")])]),
    ],
)
def test_odd_shapes_of_errors_are_kept_as_text(errors, expected):
    envelope = decode.batch_envelope(body({"results": [], "errors": errors, "numErrors": "2"}))

    assert envelope.errors == expected
    assert envelope.num_errors == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b"<html></html>",
        b"{}",
        b'{"results":{}}',
        b'{"results":null}',
        b'{"results":[],"status":',
        b'{"results":[{"id":"\xff"}]}',
        b'{"results":' + b"[" * 100_000,
        b'{"status":' + b"[" * 100_000,
        b'{"status":"\xff","results":[]}',
        b'{"results":[]} trailing',
    ],
    ids=range(14),
)
def test_unreadable_envelopes(raw):
    with pytest.raises(decode.UnreadableError):
        decode.batch_envelope(raw)


FIELDS = ["results", "status", "errors", "numErrors", "links", "startedAt", "total", "paging", "?"]
PARSERS = [
    decode.batch_envelope,
    decode.list_page,
    decode.search_page,
    decode.properties,
    decode.account,
    decode.daily_usage,
    decode.error_body,
]


@pytest.mark.parametrize("parse", PARSERS)
@given(
    raw=st.binary()
    | ANY_JSON.map(body)
    | st.dictionaries(st.sampled_from(FIELDS), ANY_JSON).map(body)
    | st.tuples(st.just(body(REFERENCE)), st.integers(0, 900)).map(lambda t: t[0][: t[1]])
)
def test_whatever_comes_only_our_error_leaves(parse, raw):
    with contextlib.suppress(decode.UnreadableError):
        parse(raw)


@given(
    st.fixed_dictionaries(
        {"results": st.lists(st.fixed_dictionaries({"id": st.text()}, optional={"x": ANY_JSON}))},
        optional=dict.fromkeys(
            ["status", "errors", "numErrors", "links", "startedAt", "completedAt", "requestedAt"],
            ANY_JSON,
        ),
    )
)
def test_good_results_survive_any_other_field(value):
    """Nothing that HubSpot may say beside the records can lose the records."""
    envelope = decode.batch_envelope(body(value))

    assert [record.id for record in envelope.results] == [
        record["id"] for record in value["results"]
    ]
    for error in envelope.errors:
        msgspec.json.encode(error.details())


def test_list_page():
    page = decode.list_page(
        b'{"results":[{"id":"1","properties":{}},{"id":2}],'
        b'"paging":{"next":{"after":"394","link":"https://api.hubapi.com/x"}}}'
    )

    assert (page.ids, page.after) == (["1", "2"], "394")


@pytest.mark.parametrize(
    "paging", ["", ',"paging":null', ',"paging":{}', ',"paging":{"next":null}']
)
def test_last_page(paging):
    assert decode.list_page(b'{"results":[]%s}' % paging.encode()).after is None


def test_a_listed_record_without_id_is_unreadable():
    """Left out in silence, it would be a record nobody ever asks for."""
    with pytest.raises(decode.UnreadableError):
        decode.list_page(b'{"results":[{"properties":{}}]}')


def test_search_page():
    page = decode.search_page(
        b'{"total":115,"results":[{"id":"7"}],"paging":{"next":{"after":"200"}}}'
    )

    assert (page.total, page.ids, page.after) == (115, ["7"], "200")


def test_account_details():
    details = decode.account(
        body(
            {
                "portalId": 12345678,
                "accountType": "STANDARD",
                "timeZone": "US/Eastern",
                "companyCurrency": "USD",
                "additionalCurrencies": [],
                "utcOffset": "-04:00",
                "utcOffsetMilliseconds": -14400000,
                "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "na1",
            }
        )
    )

    assert details.portal_id == 12345678
    assert details.time_zone == "US/Eastern"
    assert details.utc_offset_milliseconds == -14400000


def test_daily_usage():
    usage = decode.daily_usage(
        b'{"results":[{"name":"private-apps-api-calls-daily","usageLimit":625000,'
        b'"currentUsage":18450,"fetchStatus":"SUCCESS"}]}'
    )

    assert [(one.usage_limit, one.current_usage) for one in usage] == [(625000, 18450)]


@pytest.mark.parametrize(
    "said",
    [
        {"errors": [{"context": {"requiredGranularScopes": ["a", "b"]}}]},
        {"context": {"requiredGranularScopes": ["a", "b"], "links": ["https://x"]}},
        {"context": {"requiredScopes": ["a"], "requiredGranularScopes": "b"}},
    ],
)
def test_scopes_in_every_place(said):
    error = decode.error_body(body(said))

    assert sorted(error.required_scopes()) == ["a", "b"]


def test_html_is_no_error_body():
    assert decode.error_body(b"<html></html>") is None
    assert decode.error_body(b"{}") == ErrorBody()
