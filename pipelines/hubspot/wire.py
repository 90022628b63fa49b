"""HubSpot's JSON as structs; `decode` makes them.

Every field is optional, as HubSpot asks of its clients. `Any` marks the ones
whose type differs from document to document: an object here, text there.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Wire(msgspec.Struct, rename="camel", frozen=True):
    """Fields in snake_case here, camelCase on the wire."""

    def details(self) -> dict[str, object]:
        """What HubSpot said beyond status, category and message, for a column of JSON."""
        said: dict[str, object] = msgspec.to_builtins(self)
        return {key: value for key, value in said.items() if value and key not in _HAS_COLUMN}


_HAS_COLUMN = frozenset({"status", "category", "subCategory", "message", "correlationId"})


class ErrorDetail(_Wire, frozen=True):
    """One cause inside an error. `context` is an object in some documents, text in others."""

    message: str | None = None
    code: str | None = None
    in_: str | None = msgspec.field(default=None, name="in")
    sub_category: Any = None
    context: Any = None


class BatchError(_Wire, frozen=True):
    """One entry in `errors` of a batch answer: it may speak of many ids (`context.ids`)."""

    status: str | None = None
    id: str | None = None
    category: str | None = None
    sub_category: Any = None
    message: str | None = None
    context: Any = None
    links: Any = None
    errors: list[ErrorDetail] = []


class ListedRecord(_Wire, frozen=True, gc=False):
    """A record of which only the id and its moments are read, in whatever form they come."""

    id: str | int
    created_at: Any = None
    updated_at: Any = None


class BatchRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of a batch: its id, and its properties as they stand in the body."""

    id: str | int
    properties: msgspec.Raw = msgspec.Raw(b"null")


class BatchEnvelope(_Wire, frozen=True):
    """A batch answer without the values of its records.

    Whoever needs the values reads them from the body, by column. `num_errors`
    counts entries of `errors`, not ids.
    """

    results: list[BatchRecord]
    status: str | None = None
    requested_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    num_errors: int | None = None
    errors: list[BatchError] = []
    links: Any = None


class ErrorBody(_Wire, frozen=True):
    """The body of an answer that is not 2xx."""

    status: str | None = None
    message: str | None = None
    correlation_id: str | None = None
    category: str | None = None
    sub_category: Any = None
    error_type: str | None = None
    error: str | None = None
    error_description: str | None = msgspec.field(default=None, name="error_description")
    policy_name: str | None = None
    group_name: str | None = None
    request_id: str | None = None
    context: Any = None
    links: Any = None
    errors: list[ErrorDetail] = []
    retry_after: Any = msgspec.field(default=None, name="retry_after")

    def required_scopes(self) -> list[str]:
        """The scopes a 403 asks for; they are in one of two places."""
        contexts = [self.context, *(detail.context for detail in self.errors)]
        found = [
            scope
            for context in contexts
            if isinstance(context, dict)
            for key in ("requiredGranularScopes", "requiredScopes")
            for scope in _as_list(context.get(key))
        ]
        return list(dict.fromkeys(str(scope) for scope in found))


class AccountDetails(_Wire, frozen=True):
    """The account behind the token."""

    portal_id: int | None = None
    account_type: str | None = None
    time_zone: str | None = None
    company_currency: str | None = None
    additional_currencies: Any = None
    utc_offset: str | None = None
    utc_offset_milliseconds: int | None = None
    ui_domain: str | None = None
    data_hosting_location: str | None = None


class IssuedToken(msgspec.Struct, frozen=True):
    """An access token by OAuth; `expires_in` is in seconds."""

    access_token: str
    expires_in: int | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"<IssuedToken for {self.expires_in} s>"


class DailyUsage(_Wire, frozen=True):
    """What the account has used of one daily quota. HubSpot caches it for some minutes."""

    name: str | None = None
    usage_limit: int | None = None
    current_usage: int | None = None
    collected_at: str | None = None
    fetch_status: str | None = None
    resets_at: str | None = None


class ListPage(msgspec.Struct, frozen=True):
    """Records of one page; `after` asks for the next one and is None on the last."""

    records: list[ListedRecord]
    after: str | None

    @property
    def ids(self) -> list[str]:
        """Their ids, in order."""
        return [str(record.id) for record in self.records]


class SearchPage(ListPage, frozen=True, kw_only=True):
    """One page of a search; `total` may be far more than search will ever page through."""

    total: int


def _as_list(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
