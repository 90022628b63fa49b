"""The properties of tickets: HubSpot's own, then those the account made."""

from __future__ import annotations

from datetime import date
from typing import Final

from pipelines.simulator import values as v
from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.definitions import Property, choice, definition, derived, options

INFO: Final = "ticketinformation"
OWN: Final = "account_properties"
GROUPS: Final = {INFO: "Ticket information", OWN: "Account properties"}

_SINCE: Final = date(2018, 1, 1)
_UNTIL: Final = date(2026, 10, 31)

PROPERTIES: Final = (
    *derived(
        definition("createdate", "datetime/date", "Create date", INFO),
        definition("hs_lastmodifieddate", "datetime/date", "Last modified date", INFO),
        definition("hs_object_id", "number/number", "Record ID", INFO),
    ),
    Property(definition("closed_date", "datetime/date", "Close date", INFO),
             v.moment(_SINCE, _UNTIL, as_epoch=0.1), 0.5, 0.02),
    Property(definition("content", "string/textarea", "Ticket description", INFO),
             v.long_prose, 0.8, 0.02),
    Property(definition("hs_merged_object_ids", "enumeration/checkbox", "Merged object IDs", INFO,
                        hidden=True)),
    choice(definition("hs_pipeline", "enumeration/select", "Pipeline", INFO, externalOptions=True,
                      options=options("0=Support Pipeline")), filled=1.0),
    choice(definition("hs_pipeline_stage", "enumeration/radio", "Ticket status", INFO,
                      externalOptions=True,
                      options=options("1=New", "2=Waiting on contact", "4=Closed")),
           filled=1.0, stray=("3",)),
    choice(definition("hs_ticket_category", "enumeration/checkbox", "Category", INFO,
                      options=options("PRODUCT_ISSUE", "BILLING_ISSUE")), filled=0.4),
    choice(definition("hs_ticket_priority", "enumeration/select", "Priority", INFO,
                      options=options("LOW", "MEDIUM", "HIGH", "URGENT")), filled=0.7),
    Property(definition("hubspot_owner_id", "enumeration/select", "Ticket owner", INFO,
                        externalOptions=True, referencedObjectType="OWNER"),
             v.one_of(OWNER_IDS), 0.8, 0.03),
    Property(definition("subject", "string/text", "Ticket name", INFO), v.prose, 0.98),
    Property(definition("time_to_close", "number/number", "Time to close", INFO,
                        numberDisplayHint="duration"), v.integer(0, 9_000_000_000), 0.4),
    Property(definition("promised_on", "date/date", "Promised on", OWN, own=True),
             v.day(_SINCE, _UNTIL), 0.3, 0.02),
)  # fmt: skip
DEFAULTS: Final = (
    "content", "createdate", "hs_lastmodifieddate", "hs_object_id", "hs_pipeline",
    "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_priority", "subject",
)  # fmt: skip
ALWAYS: Final = ("createdate", "hs_lastmodifieddate", "hs_object_id")
SEARCHED: Final = ("subject", "content")
