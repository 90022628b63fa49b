"""Every fault there is, by name: what it does, and how often unless told otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, Literal

from starlette.responses import Response

from pipelines.simulator import fault_answers as change
from pipelines.simulator import fault_responses as send
from pipelines.simulator.gate import missing_scopes, too_many
from pipelines.simulator.wire import Answer, Call, Refusal, invalid

ALWAYS: Final = math.inf
"""As `hits`: however often the same request is sent."""
DEFAULT_SHARE: Final = 0.05
DEFAULT_POISONED: Final = 0.002

Scopes = tuple[str, ...]

_BATCH: Final = frozenset({"batch_read", "associations_batch_read"})
_RECORDS: Final = frozenset({"batch_read", "list", "read", "search"})
_MEANINGS: Final = {
    500: "internal error",
    502: "bad gateway",
    503: "service unavailable",
    504: "gateway timeout",
    520: "unknown error of Cloudflare",
    524: "no answer within Cloudflare's 100 seconds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one fault does, in exactly one of three ways.

    Attributes:
        what: One line for people.
        of: What is hit: a share of requests or of ids, or requests from the n-th on, all of
            them or only those with a token that was in use by then.
        share: Of requests or ids, unless told otherwise.
        hits: How often the same request is hit; None for once or twice, as the seed decides.
        endpoints: Where it can hit, by name; None for all.
        policy: The limit that a 429 names.
        is_retry_after: Whether the answer says when to come again.
        refuse: Makes the error that is answered instead, given the endpoint's scopes.
        change: Changes a good answer; None where there was nothing to change.
        send: Changes the response, given the fault's `seconds`.
    """

    what: str
    of: Literal["requests", "ids", "from n", "old tokens"] = "requests"
    share: float = DEFAULT_SHARE
    hits: float | None = None
    endpoints: frozenset[str] | None = None
    policy: str | None = None
    is_retry_after: bool = False
    refuse: Callable[[Scopes], Refusal] | None = None
    change: Callable[[Answer, Call, Random], Answer | None] | None = None
    send: Callable[[Response, Random, float], Response] | None = None


def _limits() -> dict[str, Kind]:
    limits = {
        "rolling": ("TEN_SECONDLY_ROLLING", "limit of ten seconds"),
        "secondly": ("SECONDLY", "limit of search"),
        "daily": ("DAILY", "limit of the day"),
    }
    found = {}
    for name, (policy, limit) in limits.items():
        for end, also in (("", ""), ("-retry-after", ", with Retry-After")):
            found[f"429-{name}{end}"] = Kind(
                what=f"429 in the words of the {limit}{also}",
                policy=policy,
                is_retry_after=bool(end),
                refuse=partial(_too_many, policy),
            )
    return found


def _pages() -> dict[str, Kind]:
    return {
        str(status): Kind(
            what=f"{status}, {meaning}, as HTML",
            send=partial(send.page, status),
        )
        for status, meaning in _MEANINGS.items()
    }


def _refusals() -> dict[str, Kind]:
    return {
        "423": Kind(what="423, locked by a bulk operation", refuse=_locked),
        "477": Kind(
            what="477, the account is moving, with Retry-After",
            is_retry_after=True,
            refuse=lambda _: Refusal(477, "This account is being migrated. Try again later."),
        ),
        "401-expired": Kind(
            what="401 from the n-th request on, until a new token is used; `=N`, else 20",
            of="old tokens",
            hits=ALWAYS,
            refuse=_expired,
        ),
        "403-errors": Kind(
            what="403 from the n-th request on, scopes named in `errors`; `=N`, else 20",
            of="from n",
            hits=ALWAYS,
            refuse=lambda scopes: missing_scopes(list(scopes), "errors"),
        ),
        "403-context": Kind(
            what="403 from the n-th request on, scopes named in `context`; `=N`, else 20",
            of="from n",
            hits=ALWAYS,
            refuse=lambda scopes: missing_scopes(list(scopes), "context"),
        ),
    }


def _poisons() -> dict[str, Kind]:
    unnamed = "to any batch/read that holds one of a share of ids, never naming it"
    return {
        "poison": Kind(
            what=f"400 {unnamed}",
            of="ids",
            share=DEFAULT_POISONED,
            hits=ALWAYS,
            endpoints=_BATCH,
            refuse=lambda _: invalid("Unable to read the objects of this batch"),
        ),
        "poison-500": Kind(
            what=f"500 in JSON {unnamed}",
            of="ids",
            share=DEFAULT_POISONED,
            hits=ALWAYS,
            endpoints=_BATCH,
            refuse=lambda _: Refusal(500, "internal error"),
        ),
    }


def _connections() -> dict[str, Kind]:
    cut = {
        "reset-before": (0.0, "connection reset in place of an answer"),
        "reset-in-body": (0.5, "connection reset in the middle of the body"),
        "reset-after": (1.0, "connection reset after the complete answer"),
    }
    return {
        "slow": Kind(
            what="the answer comes one second late",
            send=send.late,
        ),
        "no-answer": Kind(
            what="no answer; the connection stays open until the client gives up",
            send=send.never,
        ),
    } | {
        name: Kind(
            what=what,
            send=partial(send.cut, share),
        )
        for name, (share, what) in cut.items()
    }


def _bodies() -> dict[str, Kind]:
    found = {
        "truncated": (send.truncated, "JSON that ends early, Content-Length in keeping"),
        "not-utf8": (send.not_utf8, "JSON with bytes that are not UTF-8"),
        "wrong-shape": (send.wrong_shape, "JSON of another shape"),
    }
    return {name: Kind(what=what, send=make) for name, (make, what) in found.items()}


def _batches() -> dict[str, Kind]:
    found = {
        "errors-in-200": (
            change.errors_in_200,
            "missing ids told with 200, or one record said to be missing",
        ),
        "all-missing": (change.all_missing, "207 that misses every id"),
        "num-errors-off": (change.num_errors_off, "`numErrors` disagrees with `errors`"),
        "status-pending": (change.unfinished("PENDING"), "half of the results, status PENDING"),
        "status-processing": (
            change.unfinished("PROCESSING"),
            "half of the results, status PROCESSING",
        ),
        "status-canceled": (change.unfinished("CANCELED"), "half of the results, status CANCELED"),
        "left-out": (change.left_out, "a record in neither `results` nor `errors`"),
        "unasked": (change.unasked, "a record that was not asked for"),
        "twice": (change.twice, "the same record twice"),
        "shuffled": (change.shuffled, "records in another order"),
    }
    return {
        name: Kind(what=f"batch/read: {what}", endpoints=_BATCH, change=make)
        for name, (make, what) in found.items()
    }


def _properties() -> dict[str, Kind]:
    return {
        "merged-listed": Kind(
            what="lists with ids that were merged away, beside those of the records they are now",
            share=1.0,
            hits=ALWAYS,
            endpoints=frozenset({"list"}),
            change=change.merged_listed,
        ),
        "extra-keys": Kind(what="unknown keys at every level", change=change.extra_keys),
        "listed-not-returned": Kind(
            what="a property in the definitions that no record has",
            share=1.0,
            hits=ALWAYS,
            endpoints=frozenset({"properties"}),
            change=change.listed_not_returned,
        ),
        "returned-not-listed": Kind(
            what="a property in records that no definition has",
            share=1.0,
            hits=ALWAYS,
            endpoints=_RECORDS,
            change=change.returned_not_listed,
        ),
    }


def _too_many(policy: str, _: Scopes) -> Refusal:
    return too_many(policy)


def _locked(_: Scopes) -> Refusal:
    return Refusal(423, "The object is locked by another operation.", category="LOCKED")


def _expired(_: Scopes) -> Refusal:
    return Refusal(
        401,
        "The OAuth token used to make this call expired 5 minute(s) ago.",
        category="EXPIRED_AUTHENTICATION",
        context={"expire time": ["2026-10-31T23:55:00.000Z"]},
    )


KINDS: Final[dict[str, Kind]] = {
    **_limits(),
    **_pages(),
    **_refusals(),
    **_connections(),
    **_bodies(),
    **_batches(),
    **_poisons(),
    **_properties(),
}
