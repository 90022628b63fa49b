"""The properties of deals: HubSpot's own, then those the account made."""

from __future__ import annotations

from datetime import date
from typing import Final

from pipelines.simulator import values as v
from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.definitions import Property, choice, definition, derived, options

INFO: Final = "dealinformation"
OWN: Final = "account_properties"
GROUPS: Final = {INFO: "Deal information", OWN: "Account properties"}

_SINCE: Final = date(2018, 1, 1)
_BOOLEAN: Final = options("true=True", "false=False")

PROPERTIES: Final = (
    *derived(
        definition("createdate", "datetime/date", "Create Date", INFO),
        definition("external_id", "string/text", "External ID", OWN, own=True,
                   hasUniqueValue=True),
        definition("hs_lastmodifieddate", "datetime/date", "Last Modified Date", INFO),
        definition("hs_object_id", "number/number", "Record ID", INFO),
    ),
    Property(definition("amount", "number/number", "Amount", INFO, numberDisplayHint="currency",
                        showCurrencySymbol=True, currencyPropertyName="deal_currency_code"),
             v.one_of(("45000", "1500.00", "0", "0.0", "-20.5", "1245000")), 0.8, 0.02),
    Property(definition("closedate", "datetime/date", "Close Date", INFO),
             v.moment(_SINCE, date(2027, 12, 31)), 0.9, 0.01),
    choice(definition("deal_currency_code", "enumeration/select", "Currency", INFO,
                      options=options("EUR", "USD", "PLN")), filled=0.9),
    Property(definition("dealname", "string/text", "Deal Name", INFO), v.prose, 0.98),
    choice(definition("dealstage", "enumeration/radio", "Deal Stage", INFO, externalOptions=True,
                      options=options("appointmentscheduled", "qualifiedtobuy", "closedwon",
                                      "closedlost", "94512391=Proof of concept")),
           filled=1.0, stray=("71130442",)),
    choice(definition("dealtype", "enumeration/radio", "Deal Type", INFO,
                      options=options("newbusiness", "existingbusiness")), filled=0.6),
    Property(definition("description", "string/textarea", "Deal Description", INFO), v.prose, 0.3),
    Property(definition("hs_deal_stage_probability", "number/number", "Deal probability", INFO,
                        numberDisplayHint="percentage"), v.any_number, 0.7),
    Property(definition("hs_is_closed", "bool/calculation_equation", "Is Deal Closed?", INFO,
                        calculated=True, options=_BOOLEAN), v.one_of(("true", "false")), 1.0),
    Property(definition("hs_merged_object_ids", "enumeration/checkbox", "Merged object IDs", INFO,
                        hidden=True)),
    Property(definition("hubspot_owner_id", "enumeration/select", "Deal owner", INFO,
                        externalOptions=True, referencedObjectType="OWNER"),
             v.one_of(OWNER_IDS), 0.8, 0.03),
    choice(definition("pipeline", "enumeration/select", "Pipeline", INFO, externalOptions=True,
                      options=options("default=Sales Pipeline", "94512390=Renewals")), filled=1.0),
    Property(definition("delivery_date", "date/date", "Delivery date", OWN, own=True),
             v.day(_SINCE, date(2028, 12, 31), as_epoch=0.4), 0.3, 0.02),
)  # fmt: skip
DEFAULTS: Final = (
    "amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate",
    "hs_object_id", "pipeline",
)  # fmt: skip
ALWAYS: Final = ("createdate", "hs_lastmodifieddate", "hs_object_id")
SEARCHED: Final = ("dealname", "dealtype", "description")
