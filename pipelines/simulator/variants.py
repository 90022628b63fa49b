"""What HubSpot does where nobody has recorded it: each unknown a setting, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How one API version answers otherwise than the others.

    Attributes:
        version: Whose paths answer so; "" for none.
        undefined: Properties that it neither defines nor returns.
        kinds: "type/fieldType" that it gives to a property.
        values: What it returns in place of a value, by record id and property.
        unlisted: Records that it leaves out of lists.
        unknown: Records that batch/read does not find.
    """

    version: str = ""
    undefined: frozenset[str] = frozenset()
    kinds: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[int, Mapping[str, str | None]] = field(default_factory=dict)
    unlisted: frozenset[int] = frozenset()
    unknown: frozenset[int] = frozenset()


NO_DEVIATION: Final = Deviation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """How the simulator behaves where the truth is unknown or differs by account.

    Attributes:
        duplicate_ids: The same id twice in batch/read: one result, or 400.
        not_numeric_id: Text as id without `idProperty`: among the missing ids, or 400.
        empty_inputs: batch/read without inputs: 200 and no results, or 400.
        result_order: Of batch/read: by record id, or shuffled, the same way each time.
        missing_ids_2026_09: Status of a partial batch answer on the 2026-09 paths.
        error_fields: Of every error, in the body and in `errors`: the usual ones, or the text
            alone, for HubSpot calls all of them optional.
        batch_fields: Of batch answers: the usual ones, or all that HubSpot's reference has:
            `requestedAt`, `links`, and in `errors` also `id`, `links` and nested `errors`.
        unset_history: A property never set, among `propertiesWithHistory`.
        archived_from: An archived record among those whose associations are asked for: as
            one that has none, or 400 for the whole request.
        association_page_size: Most associations of one record in an answer.
        custom_object_by_name: A custom object's plain name as its type in a path; its type id
            and its qualified name always are good.
        warnings: Whether records have `warnings` on the paths before 2026-09.
        list_limit_above_maximum: GET list with a limit that is too high.
        list_after_not_numeric: GET list with `after` that is not an id.
        unset_property: A property never set: null, or left out.
        missing_scopes: Where 403 names the scopes: inside `errors`, or in `context`.
        retry_after: Header on 429, in seconds; None sends none.
        unsupported_media_body: Body of 415.
        search_index_lag_s: Search does not find records changed within so many seconds of
            the portal's time.
        search_body_limit: Longest search body in characters; None for no limit.
        unset_matches_not: Whether NEQ and NOT_IN match records without a value.
        deviation: What one API version says otherwise than the others.
    """

    duplicate_ids: Literal["one result", "400"] = "one result"
    not_numeric_id: Literal["missing", "400"] = "missing"
    empty_inputs: Literal["200", "400"] = "200"
    result_order: Literal["by id", "shuffled"] = "by id"
    missing_ids_2026_09: Literal[207, 200] = 207
    error_fields: Literal["usual", "message only"] = "usual"
    batch_fields: Literal["usual", "all"] = "usual"
    unset_history: Literal["empty list", "absent"] = "empty list"
    archived_from: Literal["missing", "400"] = "missing"
    association_page_size: int = 500
    custom_object_by_name: Literal["accepted", "400"] = "accepted"
    warnings: bool = False
    list_limit_above_maximum: Literal["400", "clamp"] = "400"
    list_after_not_numeric: Literal["400", "first page"] = "400"
    unset_property: Literal["null", "absent"] = "null"
    missing_scopes: Literal["errors", "context"] = "errors"
    retry_after: int | None = None
    unsupported_media_body: Literal["html", "empty"] = "html"
    search_index_lag_s: float = 0.0
    search_body_limit: int | None = None
    unset_matches_not: bool = False
    deviation: Deviation = NO_DEVIATION
