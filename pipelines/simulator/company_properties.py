"""The properties of companies: HubSpot's own, then those the account made."""

from __future__ import annotations

from datetime import date
from typing import Final

from pipelines.simulator import values as v
from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.definitions import Property, choice, definition, derived, options

INFO: Final = "companyinformation"
OWN: Final = "account_properties"
GROUPS: Final = {INFO: "Company information", OWN: "Account properties"}

_SINCE: Final = date(2016, 1, 1)
_UNTIL: Final = date(2026, 10, 31)
_BOOLEAN: Final = options("true=Yes", "false=No")

PROPERTIES: Final = (
    *derived(
        definition("createdate", "datetime/date", "Create Date", INFO),
        definition("external_id", "string/text", "External ID", OWN, own=True,
                   hasUniqueValue=True),
        definition("hs_lastmodifieddate", "datetime/date", "Last Modified Date", INFO),
        definition("hs_object_id", "number/number", "Record ID", INFO),
    ),
    Property(definition("address", "string/text", "Street Address", INFO),
             v.template("{n} Main St, 3rd floor"), 0.4, 0.02),
    Property(definition("annualrevenue", "number/number", "Annual Revenue", INFO,
                        numberDisplayHint="currency", showCurrencySymbol=True),
             v.decimal(0, 90_000_000, 2), 0.4),
    Property(definition("city", "string/text", "City", INFO), v.one_of(v.CITIES), 0.6, 0.03),
    Property(definition("country", "string/text", "Country/Region", INFO),
             v.one_of(v.COUNTRIES), 0.6),
    Property(definition("description", "string/textarea", "Description", INFO), v.prose, 0.3, 0.02),
    Property(definition("domain", "string/text", "Company Domain Name", INFO,
                        textDisplayHint="domain_name"), v.template("company{n}.example"), 0.9),
    Property(definition("founded_year", "string/text", "Year Founded", INFO),
             v.one_of(("1998", "c. 1890", "2019")), 0.2),
    choice(definition("hs_lead_status", "enumeration/radio", "Lead Status", INFO,
                      options=options("NEW", "OPEN", "IN_PROGRESS", "UNQUALIFIED")), filled=0.4),
    Property(definition("hs_merged_object_ids", "enumeration/checkbox", "Merged object IDs", INFO,
                        hidden=True)),
    Property(definition("hs_num_child_companies", "number/calculation_rollup",
                        "Number of child companies", INFO), v.integer(0, 5), 1.0),
    Property(definition("hubspot_owner_id", "enumeration/select", "Company owner", INFO,
                        externalOptions=True, referencedObjectType="OWNER"),
             v.one_of(OWNER_IDS), 0.6, 0.03),
    choice(definition("industry", "enumeration/select", "Industry", INFO,
                      options=options("ACCOUNTING", "BANKING", "COMPUTER_SOFTWARE", "RETAIL")),
           filled=0.5, stray=("Steel",)),
    Property(definition("is_public", "bool/booleancheckbox", "Is Public", INFO,
                        options=_BOOLEAN), v.one_of(("true", "false")), 0.7, 0.01),
    choice(definition("lifecyclestage", "enumeration/radio", "Lifecycle Stage", INFO,
                      options=options("lead", "opportunity", "customer", "94512330=Churned")),
           filled=0.9),
    Property(definition("name", "string/text", "Company name", INFO), v.one_of(v.COMPANIES), 0.98),
    Property(definition("numberofemployees", "number/number", "Number of Employees", INFO),
             v.integer(1, 90_000), 0.4),
    Property(definition("phone", "string/phonenumber", "Phone Number", INFO), v.phone, 0.5),
    Property(definition("contract_end_date", "date/date", "Contract end date", OWN, own=True),
             v.day(_SINCE, date(2099, 12, 31)), 0.3, 0.02),
    Property(definition("last_visit_at", "datetime/date", "Last visit", OWN, own=True),
             v.moment(_SINCE, _UNTIL, as_epoch=0.2), 0.3, 0.02),
    Property(definition("regions", "enumeration/checkbox", "Regions", OWN, own=True,
                        options=options("north", "south", "overseas")),
             v.many_of(("north", "south", "overseas"), untidy=0.1), 0.3, 0.02),
)  # fmt: skip
DEFAULTS: Final = ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name")
ALWAYS: Final = ("createdate", "hs_lastmodifieddate", "hs_object_id")
SEARCHED: Final = ("name", "domain", "phone")
