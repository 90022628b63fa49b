"""Answers about the account: details, use of the daily limit, owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.wire import PORTAL_ID, Answer, Call, invalid, now_iso

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json
    from pipelines.simulator.limits import Limits

MAX_OWNERS: Final = 500
_NAMES: Final = (("Ada", "Byron"), ("Björn", "Ek"), ("Chloé", "Dubois"))
_GONE_OWNER: Final = "7700012"


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
    """A page of owners; `after` is the offset of the next one."""
    owners = [_GONE] if call.is_archived else _OWNERS
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


def _owner(owner_id: str, first: str, last: str, *, archived: bool = False) -> Json:
    return {
        "id": owner_id,
        "email": f"{first}.{last}@portal.example".lower(),
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": None if archived else int(owner_id) + 1000,
        "userIdIncludingInactive": int(owner_id) + 1000,
        "createdAt": "2019-10-30T03:30:17.883Z",
        "updatedAt": "2023-12-07T16:50:06.678Z",
        "archived": archived,
    }


_OWNERS: Final = [_owner(i, *name) for i, name in zip(OWNER_IDS, _NAMES, strict=True)]
_GONE: Final = _owner(_GONE_OWNER, "Gone", "Person", archived=True)
