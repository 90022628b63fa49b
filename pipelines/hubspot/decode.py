"""From the bytes of an answer to the structs in `wire`.

An optional field of another type than documented never fails an answer: a
second, slower reading keeps what it can, numbers and objects as text. What an
answer is useless without is required: a batch has a list of results, a listed
record has an id.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from pipelines.hubspot.wire import (
    AccountDetails,
    BatchEnvelope,
    DailyUsage,
    ErrorBody,
    IssuedToken,
    ListedRecord,
    ListPage,
    SearchPage,
)


class UnreadableError(ValueError):
    """The body is not what the endpoint answers with. The text says why, and quotes nothing."""


class _Next(msgspec.Struct, frozen=True, gc=False):
    after: str | int | None = None


class _Paging(msgspec.Struct, frozen=True):
    next: _Next | None = None


class _Page(msgspec.Struct, frozen=True):
    results: list[ListedRecord]
    paging: _Paging | None = None
    total: int | None = None

    def after(self) -> str | None:
        following = self.paging.next if self.paging else None
        return str(following.after) if following and following.after is not None else None


class _Results(msgspec.Struct, frozen=True):
    results: list[dict[str, Any]]


S = TypeVar("S", bound=msgspec.Struct)

_ENVELOPE = msgspec.json.Decoder(BatchEnvelope)
_PAGE = msgspec.json.Decoder(_Page)
_RESULTS = msgspec.json.Decoder(_Results)
_OBJECT_OR_NULL = (b"{", b"n")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()
MAX_DEPTH = 64
"""So many objects and lists inside one another are always read. What is far deeper is refused, for
each reader and writer of JSON gives up at a depth of its own."""
_USUAL_RECORDS = 100
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
# RecursionError: thousands of nested brackets.
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def batch_envelope(body: bytes) -> BatchEnvelope:
    """The envelope of a batch answer, 200 and 207 alike.

    Raises:
        UnreadableError: Not UTF-8, not a JSON object, nested too deeply, or without a list of
            records with ids; or the properties of a record are neither an object nor left out.
    """
    if not _is_utf8(body):  # the values stay undecoded, so nothing else would look
        raise UnreadableError("not UTF-8")
    try:
        envelope = _tolerant(_ENVELOPE, BatchEnvelope, body)
    except UnreadableError as exc:
        envelope = _tolerant(_ENVELOPE, BatchEnvelope, _readable(body, exc))
    _check_depth(body, records=len(envelope.results))
    if not all(memoryview(record.properties)[:1] in _OBJECT_OR_NULL for record in envelope.results):
        raise UnreadableError("the `properties` of a record are no object")
    return envelope


def _readable(body: bytes, why: UnreadableError) -> bytes:
    """The envelope of a body that Python's reader accepts and the strict one does not.

    Half of a surrogate pair and NaN are what HubSpot's own writer may let through; one such
    value must not cost a whole batch.
    """
    try:
        answer = json.loads(body.decode())  # bytes could be UTF-16 or begin with a mark
        if not isinstance(answer["results"], list):
            raise why
        ids = [_without_values(record) for record in answer["results"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise why from None
    kept = {**answer, "results": ids}
    return json.dumps(kept, ensure_ascii=False).encode(errors="backslashreplace")


def _without_values(record: dict[str, Any]) -> dict[str, Any]:
    properties = record.get("properties")
    return {"id": record["id"], "properties": {} if isinstance(properties, dict) else properties}


def list_page(body: bytes) -> ListPage:
    """Ids and next page of a list of records."""
    page = _strict(_PAGE, body)
    return ListPage(records=page.results, after=page.after())


def search_page(body: bytes) -> SearchPage:
    """Total, ids and next page of a search."""
    page = _strict(_PAGE, body)
    if page.total is None:
        raise UnreadableError("`total` is missing")
    return SearchPage(records=page.results, after=page.after(), total=page.total)


def properties(body: bytes) -> list[dict[str, Any]]:
    """Property definitions, as HubSpot sends them."""
    return _strict(_RESULTS, body).results


def account(body: bytes) -> AccountDetails:
    """Account details."""
    return _tolerant(msgspec.json.Decoder(AccountDetails), AccountDetails, body)


def issued_token(body: bytes) -> IssuedToken:
    """An access token by OAuth."""
    issued = _tolerant(msgspec.json.Decoder(IssuedToken), IssuedToken, body)
    if not issued.access_token:
        raise UnreadableError("`access_token` is empty")
    return issued


def daily_usage(body: bytes) -> list[DailyUsage]:
    """One entry for each daily quota."""
    return [_loose_struct(DailyUsage, item) for item in _strict(_RESULTS, body).results]


def error_body(body: bytes) -> ErrorBody | None:
    """The body of an error, or None when it is not a JSON object (HTML, or empty)."""
    try:
        _check_depth(body)
        return _tolerant(msgspec.json.Decoder(ErrorBody), ErrorBody, body)
    except UnreadableError:
        return None


def moment(text: str | None) -> datetime | None:
    """A moment of an envelope, in UTC, as one is that names no zone; None for what is none."""
    try:
        found = datetime.fromisoformat(text or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # or it is before year 1 or after 9999 in UTC
        return None


def _strict(decoder: msgspec.json.Decoder[S], body: bytes) -> S:
    try:
        return decoder.decode(body)
    except _BROKEN as exc:
        raise UnreadableError(_why(exc)) from None


def _tolerant(decoder: msgspec.json.Decoder[S], kind: type[S], body: bytes) -> S:
    """By schema; where a field has another type than the schema says, field by field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        pass
    except _BROKEN as exc:
        raise UnreadableError(_why(exc)) from None
    try:
        return _by_field(kind, _FIELDS.decode(body))
    except _BROKEN as exc:
        raise UnreadableError(_why(exc)) from None


def _why(exc: Exception) -> str:
    # msgspec names the path and the types, never a value; the codec error of a
    # bad byte holds the whole body, so its text alone is taken.
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)


def _check_depth(body: bytes, *, records: int = 0) -> None:
    # A record is an object that holds one: two brackets each, of which one record's are open at
    # a time. So almost no body has enough brackets to be deep, and needs a closer look.
    openers = body.count(b"{") + body.count(b"[")
    if openers - 2 * min(records, _USUAL_RECORDS) > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise UnreadableError("nested too deeply")


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_TEXT.sub(b"", body)):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _by_field(kind: type[S], raw: dict[str, msgspec.Raw]) -> S:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in raw:
            if field.required:
                raise msgspec.ValidationError(f"`{field.encode_name}` is missing")
            continue
        value = raw[field.encode_name]
        values[field.name] = (
            msgspec.json.decode(value, type=field.type)
            if field.required
            else _loose(field.type, _anything(value))
        )
    return kind(**values)


def _anything(raw: msgspec.Raw) -> object:
    try:
        return _ANYTHING.decode(raw)
    except msgspec.ValidationError:  # a number with thousands of digits, as it was written
        return bytes(raw).decode()


def _loose_struct(kind: type[S], value: object) -> S:
    if not isinstance(value, dict):
        return kind(message=_text(value))  # only errors come as a list of structs
    return kind(
        **{
            field.name: _loose(field.type, value[field.encode_name])
            for field in msgspec.structs.fields(kind)
            if field.encode_name in value
        }
    )


def _loose(kind: object, value: object) -> object:
    """`value` as near to the type `kind` as it comes."""
    if get_origin(kind) is list:
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [_loose_struct(get_args(kind)[0], item) for item in items]
    if kind == str | None:
        return _text(value)
    if kind == int | None:
        return _whole(value)
    return value


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _whole(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, (int, str)) else None
    except ValueError:
        return None
