"""What faults make of the JSON of a good answer."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipelines.simulator import associations
from pipelines.simulator.definitions import definition
from pipelines.simulator.objects import answers, not_found
from pipelines.simulator.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from pipelines.simulator.definitions import Json
    from pipelines.simulator.wire import Call

LISTED_NOT_RETURNED: Final = "listed_not_returned"
"""The property that is in the definitions only."""
RETURNED_NOT_LISTED: Final = "returned_not_listed"
"""The property that is in records only."""

_EXTRA: Final = {"unheardOf": {"since": 2027, "kinds": ["new", None]}}
_MAPS: Final = {"properties", "propertiesWithHistory"}


def asked_ids(body: bytes) -> list[str]:
    """The ids, or unique values, that a batch/read asks for; none in a body of another shape."""
    try:
        return [str(one["id"]) for one in msgspec.json.decode(body)["inputs"]]
    except (msgspec.DecodeError, KeyError, TypeError):
        return []


def asked_properties(body: bytes) -> list[str]:
    """The properties that a batch/read asks for; none where it leaves them to HubSpot."""
    return list(msgspec.json.decode(body).get("properties") or ())


def _id(result: Json) -> str:
    """What a result is about: a record, or the associations of one."""
    found: str = result.get("from", result)["id"]
    return found


def _missing(call: Call, ids: list[str]) -> Json:
    """What an answer without these ids has of errors."""
    if call.is_about_associations:
        errors = [associations.not_found(call, one) for one in ids]
    else:
        errors = [not_found(call.records, ids)]
    return {"errors": errors, "numErrors": len(errors)}


def _one_more(call: Call, record_id: int) -> Json | None:
    """The result of a record that is there; None if it has no associations to speak of."""
    if call.is_about_associations:
        return associations.result_of(call, str(record_id))
    return answers(call, [call.records.by_id[record_id]], asked_properties(call.body))[0]


# Of both batch/reads. Each gives the changed answer, or None where there is nothing to change.


def errors_in_200(answer: Answer, call: Call, rng: Random) -> Answer | None:
    """What is missing is told with status 200; if nothing is, one record is withheld."""
    if "errors" in answer.body:
        return Answer(answer.body)
    results = answer.body["results"]
    if not results:
        return None
    withheld = results.pop(rng.randrange(len(results)))
    return Answer({**answer.body, **_missing(call, [_id(withheld)])})


def all_missing(answer: Answer, call: Call, _: Random) -> Answer | None:
    """No record at all."""
    missing = _missing(call, list(dict.fromkeys(asked_ids(call.body))))
    return Answer({**answer.body, "results": [], **missing}, 207)


def num_errors_off(answer: Answer, _: Call, rng: Random) -> Answer | None:
    """`numErrors` is greater than `errors` is long."""
    count = len(answer.body.get("errors", ())) + rng.randint(1, 3)
    return Answer({**answer.body, "numErrors": count}, answer.status)


def unfinished(status: str) -> Callable[[Answer, Call, Random], Answer | None]:
    """Half of the records, under a status that says so."""

    def change(answer: Answer, _: Call, __: Random) -> Answer | None:
        results = answer.body["results"]
        part = results[: len(results) // 2]
        return Answer({**answer.body, "status": status, "results": part}, answer.status)

    return change


def left_out(answer: Answer, _: Call, rng: Random) -> Answer | None:
    """One record is neither among the results nor among the errors."""
    results = answer.body["results"]
    if not results:
        return None
    results.pop(rng.randrange(len(results)))
    return answer


def unasked(answer: Answer, call: Call, rng: Random) -> Answer | None:
    """One more live record, true but not asked for; merged ones count as asked for."""
    results, records = answer.body["results"], call.records
    near = {*asked_ids(call.body), *map(_id, results)}
    ids = records.ids(archived=call.is_archived)
    start = bisect_left(ids, rng.choice(ids)) if ids else 0
    others = (one for one in (*ids[start:], *ids[:start]) if str(one) not in near)
    more = next((found for one in others if (found := _one_more(call, one))), None)
    if not results or more is None:
        return None
    results.insert(rng.randint(0, len(results)), more)
    return answer


def twice(answer: Answer, _: Call, rng: Random) -> Answer | None:
    """One record comes a second time."""
    results = answer.body["results"]
    if not results:
        return None
    results.insert(rng.randint(0, len(results)), rng.choice(results))
    return answer


def shuffled(answer: Answer, _: Call, rng: Random) -> Answer | None:
    """The results in another order."""
    results = answer.body["results"]
    if len(results) < 2:
        return None
    before = [_id(one) for one in results]
    while before == [_id(one) for one in results]:
        rng.shuffle(results)
    return answer


# Of the list


def merged_listed(answer: Answer, call: Call, _: Random) -> Answer | None:
    """Ids that were merged away stand among the others, in order; each answers under another."""
    records, results = call.records, answer.body["results"]
    if call.is_archived or not results:
        return None
    first, last = int(results[0]["id"]), int(results[-1]["id"])
    old_ids = [
        old
        for old, current in records.aliases.items()
        if first < old < last and records.get(current) is not None
    ]
    if not old_ids:
        return None
    listed = [{**results[0], "id": str(old), "properties": {}} for old in old_ids]
    ordered = sorted([*results, *listed], key=lambda one: int(one["id"]))
    return Answer({**answer.body, "results": ordered}, answer.status)


# Of any endpoint


def extra_keys(answer: Answer, _: Call, __: Random) -> Answer | None:
    """Keys nobody has heard of, at every level."""
    return Answer(_with_extra(answer.body), answer.status)


def _with_extra(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_extra(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: one if key in _MAPS else _with_extra(one) for key, one in value.items()}
    return kept | _EXTRA


# Of definitions, and of records


def listed_not_returned(answer: Answer, call: Call, _: Random) -> Answer | None:
    """One more definition, among the live ones that are not sensitive."""
    if call.is_archived or call.query.get("dataSensitivity", "non_sensitive") != "non_sensitive":
        return None
    more = _definition(next(iter(call.records.groups)))
    return Answer({**answer.body, "results": [*answer.body["results"], more]}, answer.status)


def _definition(group: str) -> Json:
    return definition(LISTED_NOT_RETURNED, "string/text", "Listed only", group, own=True)


def returned_not_listed(answer: Answer, _: Call, __: Random) -> Answer | None:
    """One more property in every record."""
    records = answer.body.get("results", [answer.body])
    for record in records:
        record["properties"] = {**record["properties"], RETURNED_NOT_LISTED: "unheard of"}
    return answer if records else None
