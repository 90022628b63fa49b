"""Answers about the account: details, use of the daily limit, owners, outcomes of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.simulator.call_properties import DISPOSITIONS
from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.object_kinds import PORTAL_ID
from pipelines.simulator.wire import Answer, Call, invalid, now_iso

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json
    from pipelines.simulator.limits import Limits

MAX_OWNERS: Final = 500
ARCHIVED_OWNER: Final = OWNER_IDS[2]
"""Archived, and still the owner of records."""
DELETED_DISPOSITION: Final = "17b47fee-58de-441e-a44c-c6300d46f273"
"""Deleted, and still the outcome of calls; that of others is in no list."""

_EAST: Final = {"id": "178588", "name": "East", "primary": True}
_NIGHT: Final = {"id": "178590", "name": "Night shift", "primary": False}


def details(_: Call) -> Answer:
    """The account itself; its time zone is an old alias, as HubSpot may send it."""
    return Answer(
        {
            "portalId": PORTAL_ID,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "US/Eastern",
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": "-05:00",
            "utcOffsetMilliseconds": -18_000_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
    )


def daily_usage(limits: Limits) -> Json:
    """How much of the day's limit is used."""
    now = now_iso()
    return {
        "results": [
            {
                "name": "private-apps-api-calls-daily",
                "usageLimit": limits.per_day,
                "currentUsage": limits.used_today,
                "collectedAt": now,
                "fetchStatus": "SUCCESS",
                "resetsAt": f"{now[:10]}T23:59:59.999Z",
            }
        ]
    }


def list_owners(call: Call) -> Answer:
    """A page of owners; `after` is the offset of the next one.

    The facts are silent on owners: fields, `teams` of those alone that are in one, and paging
    are those of HubSpot's reference.
    """
    owners = [owner for owner in _OWNERS if owner["archived"] == call.is_archived]
    email = call.query.get("email")
    found = [owner for owner in owners if email in {None, owner["email"]}]
    limit, start = call.query.get("limit", "100"), call.query.get("after") or "0"
    if not limit.isdigit() or not 1 <= int(limit) <= MAX_OWNERS or not start.isdigit():
        raise invalid(f"limit must be from 1 to {MAX_OWNERS} and after a number")
    end = int(start) + int(limit)
    body: Json = {"results": found[int(start) : end]}
    if end < len(found):
        link = f"https://api.hubapi.com/crm/v3/owners/?limit={limit}&after={end}"
        body["paging"] = {"next": {"after": str(end), "link": link}}
    return Answer(body)


def list_dispositions(_: Call) -> Answer:
    """Every outcome that a call can have, deleted ones too: a bare list."""
    pairs = (one.split("=") for one in DISPOSITIONS)
    return Answer(
        [
            {"id": guid, "label": label, "deleted": guid == DELETED_DISPOSITION}
            for guid, label in pairs
        ]
    )


def _owner(owner_id: str, name: str, user_id: int, *teams: Json) -> Json:
    first, last = name.split()
    is_archived = owner_id == ARCHIVED_OWNER
    made = {
        "id": owner_id,
        "email": f"{first}.{last}@portal.example".lower(),
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": None if is_archived else user_id,
        "userIdIncludingInactive": user_id,
        "createdAt": "2019-10-30T03:30:17.883Z",
        "updatedAt": "2023-12-07T16:50:06.678Z",
        "archived": is_archived,
    }
    return made | ({"teams": list(teams)} if teams else {})


_OWNERS: Final = [
    _owner(OWNER_IDS[0], "Ada Byron", 61526374, _EAST, _NIGHT),
    _owner(OWNER_IDS[1], "Björn Ek", 12345, _EAST),
    _owner(ARCHIVED_OWNER, "Chloé Dubois", 99120),
    _owner("7700012", "New Person", 7700099),
]
