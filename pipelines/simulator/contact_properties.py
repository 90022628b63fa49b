"""The properties of contacts: HubSpot's own, then those the account made."""

from __future__ import annotations

from datetime import date
from typing import Final

from pipelines.simulator import values as v
from pipelines.simulator.definitions import Json, Property, choice, definition, derived, options

INFO: Final = "contactinformation"
EMAIL: Final = "emailinformation"
ANALYTICS: Final = "analyticsinformation"
ACTIVITY: Final = "contact_activity"
OWN: Final = "account_properties"
GROUPS: Final = {
    INFO: "Contact information",
    EMAIL: "Email information",
    ANALYTICS: "Analytics history",
    ACTIVITY: "Contact activity",
    OWN: "Account properties",
}
OWNER_IDS: Final = ("41629779", "60158084", "1102877351")

_EARLY: Final = date(1931, 1, 1)
_SINCE: Final = date(2016, 1, 1)
_UNTIL: Final = date(2026, 10, 31)
_BOOLEAN: Final = options("true=Yes", "false=No")
_TRUE_FALSE: Final = v.one_of(("true", "false"))
_OWNER: Final[Json] = {"externalOptions": True, "referencedObjectType": "OWNER"}
_COUNTRIES_OPTIONS: Final = options("de=Germany", "br=Brazil", "us=United States")

FROM_RECORD: Final = derived(
    definition("createdate", "datetime/date", "Create Date", INFO),
    definition("email", "string/text", "Email", INFO, hasUniqueValue=True, formField=True),
    definition("external_id", "string/text", "External ID", OWN, own=True,
               hasUniqueValue=True),
    definition("hs_additional_emails", "enumeration/select", "Additional emails", EMAIL),
    definition("hs_all_contact_vids", "enumeration/select", "All vids", INFO,
               hidden=True),
    definition("hs_object_id", "number/number", "Record ID", INFO,
               numberDisplayHint="unformatted"),
    definition("lastmodifieddate", "datetime/date", "Last Modified Date", INFO),
)  # fmt: skip
"""Values that follow from the record itself; see `records`."""

HUBSPOT: Final = (
    Property(definition("address", "string/text", "Street Address", INFO),
             v.template("{n} Main St, 3rd floor"), 0.4, 0.02),
    Property(definition("annualrevenue", "string/text", "Annual Revenue", INFO),
             v.one_of(("1000000", "$5M", "5,333,222", "unknown", "1.5e6")), 0.2),
    Property(definition("associatedcompanyid", "number/number", "Primary Associated Company ID",
                        INFO, referencedObjectType="COMPANY", externalOptions=True, hidden=True),
             v.integer(10**18, 9 * 10**18), 0.4),
    Property(definition("city", "string/text", "City", INFO), v.one_of(v.CITIES), 0.6, 0.03),
    Property(definition("closedate", "datetime/date", "Close Date", INFO,
                        dateDisplayHint="absolute_with_relative"),
             v.moment(_SINCE, _UNTIL), 0.3, 0.02),
    Property(definition("company", "string/text", "Company Name", INFO, formField=True),
             v.one_of(v.COMPANIES), 0.6, 0.03),
    Property(definition("country", "string/text", "Country/Region", INFO),
             v.one_of(v.COUNTRIES), 0.6),
    Property(definition("date_of_birth", "string/text", "Date of Birth", INFO),
             v.one_of(("1980-02-29", "3 May 1975", "12/11/1990", "n/a")), 0.1),
    Property(definition("fax", "string/phonenumber", "Fax Number", INFO), v.phone, 0.05),
    Property(definition("firstname", "string/text", "First Name", INFO, formField=True),
             v.one_of(v.FIRST_NAMES), 0.85, 0.03),
    choice(definition("hs_analytics_source", "enumeration/select", "Original Source", ANALYTICS,
                      options=options("DIRECT_TRAFFIC", "ORGANIC_SEARCH", "OFFLINE", "REFERRALS",
                                      hidden=("OTHER_CAMPAIGNS",))), filled=0.9),
    Property(definition("hs_all_owner_ids", "enumeration/select", "All owner IDs", INFO, **_OWNER),
             v.many_of(OWNER_IDS), 0.4),
    Property(definition("hs_analytics_num_visits", "number/number", "Number of Sessions",
                        ANALYTICS), v.integer(0, 400), 0.9),
    Property(definition("hs_analytics_revenue", "number/number", "Event Revenue", ANALYTICS,
                        numberDisplayHint="currency", showCurrencySymbol=True,
                        currencyPropertyName="hs_currency"),
             v.one_of(("0.0", "0.0", "1500.00", "45000", "-20.5")), 0.8),
    Property(definition("hs_buying_role", "enumeration/checkbox", "Buying Role", INFO,
                        options=options("BUDGET_HOLDER", "CHAMPION", "DECISION_MAKER", "END_USER",
                                        "INFLUENCER", hidden=("OTHER",))),
             v.many_of(("BUDGET_HOLDER", "CHAMPION", "DECISION_MAKER", "END_USER", "OTHER")), 0.2,
             0.02),
    Property(definition("hs_calculated_merged_vids", "enumeration/select", "Merged vids with "
                        "timestamps", INFO, hidden=True)),
    Property(definition("hs_email_optout", "bool/booleancheckbox", "Unsubscribed from all email",
                        EMAIL, options=_BOOLEAN), _TRUE_FALSE, 0.3, 0.01),
    Property(definition("hs_email_optout_8631415", "enumeration/booleancheckbox",
                        "Opted out of email: One to One", EMAIL, options=_BOOLEAN),
             _TRUE_FALSE, 0.1, 0.01),
    Property(definition("hs_employment_change_detected_date", "date/date",
                        "Employment change detected date", INFO, dateDisplayHint="absolute"),
             v.day(_SINCE, _UNTIL), 0.15, 0.01),
    Property(definition("hs_gps_latitude", "string/text", "GPS latitude", ACTIVITY),
             v.decimal(-90, 90, 6), 0.05),
    Property(definition("hs_is_contact", "bool/booleancheckbox", "Is a contact", INFO,
                        options=_BOOLEAN), v.one_of(("true",)), 1.0),
    Property(definition("hs_is_unworked", "bool/calculation_equation", "Contact unworked", INFO,
                        calculated=True, calculationFormula="!is_known(hubspot_owner_id)",
                        options=_BOOLEAN), _TRUE_FALSE, 0.95),
    Property(definition("hs_lastmodifieddate", "datetime/date", "Object last modified", INFO,
                        hidden=True)),
    Property(definition("hs_latest_sequence_enrolled_date", "datetime/calculation_rollup",
                        "Last sequence enrolled date", ACTIVITY, calculated=True),
             v.moment(_SINCE, _UNTIL, as_epoch=0.6), 0.2),
    Property(definition("hs_latitude", "number/number", "Latitude", ACTIVITY),
             v.decimal(-90, 90, 6), 0.1),
    choice(definition("hs_lead_status", "enumeration/radio", "Lead Status", INFO,
                      options=options("NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED",
                                      "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING")),
           filled=0.5, empty=0.04, stray=("Warm lead",)),
    Property(definition("hs_legal_basis", "enumeration/checkbox", "Legal basis", INFO,
                        options=options("Legitimate interest of a prospect", "Not applicable",
                                        "Freely given consent from contact")),
             v.many_of(("Legitimate interest of a prospect", "Not applicable"), untidy=0.1), 0.15),
    Property(definition("hs_marketable_status", "enumeration/booleancheckbox",
                        "Marketing contact status", INFO, options=_BOOLEAN), _TRUE_FALSE, 0.9),
    Property(definition("hs_merged_object_ids", "enumeration/checkbox", "Merged object IDs", INFO,
                        hidden=True)),
    Property(definition("hs_notes_last_activity", "object_coordinates/text", "Last activity",
                        ACTIVITY), v.template("0-48-{n}"), 0.1),
    Property(definition("hs_object_source", "enumeration/select", "Record source", INFO,
                        options=options("CRM_UI", "INTEGRATION", "IMPORT", "FORM")),
             v.one_of(("CRM_UI", "INTEGRATION", "IMPORT", "FORM")), 1.0),
    Property(definition("hs_predictivecontactscore_v2", "number/calculation_score",
                        "Likelihood to close", INFO, numberDisplayHint="percentage"),
             v.any_number, 0.3, 0.01),
    Property(definition("hs_searchable_calculated_phone_number", "phone_number/phonenumber",
                        "Searchable phone number", INFO, hidden=True, calculated=True),
             v.template("1555{n:07d}"), 0.4),
    Property(definition("hs_user_ids_of_all_owners", "enumeration/checkbox",
                        "User IDs of all owners", INFO, externalOptions=True),
             v.many_of(("61526374", "12345", "99120")), 0.4),
    Property(definition("hs_v2_time_in_current_stage", "datetime/calculation_read_time",
                        "Time in current stage", INFO, calculated=True),
             v.moment(_SINCE, _UNTIL, as_epoch=0.3), 0.5),
    Property(definition("hubspot_owner_assigneddate", "datetime/date", "Owner assigned date",
                        INFO), v.moment(_SINCE, _UNTIL), 0.5, 0.01),
    Property(definition("hubspot_owner_id", "enumeration/select", "Contact owner", INFO, **_OWNER),
             v.one_of(OWNER_IDS), 0.5, 0.03),
    Property(definition("jobtitle", "string/text", "Job Title", INFO), v.one_of(v.JOBS), 0.5, 0.03),
    Property(definition("lastname", "string/text", "Last Name", INFO, formField=True),
             v.one_of(v.LAST_NAMES), 0.85, 0.03),
    choice(definition("lifecyclestage", "enumeration/radio", "Lifecycle Stage", INFO,
                      options=options("subscriber", "lead", "marketingqualifiedlead",
                                      "salesqualifiedlead", "opportunity", "customer",
                                      "evangelist", "other", "94512330=Churned")), filled=0.97),
    Property(definition("message", "string/textarea", "Message", INFO, formField=True,
                        textDisplayHint="multi_line"), v.long_prose, 0.15, 0.01),
    Property(definition("mobilephone", "string/phonenumber", "Mobile Phone Number", INFO),
             v.phone, 0.3, 0.02),
    Property(definition("num_associated_deals", "number/calculation_rollup",
                        "Number of Associated Deals", INFO), v.integer(0, 9), 0.2),
    Property(definition("num_notes", "number/number", "Number of times contacted", ACTIVITY),
             v.integer(0, 60), 0.9),
    choice(definition("numemployees", "enumeration/select", "Number of Employees", INFO,
                      options=options("1-5", "5-25", "25-50", "50-100", "100-500", "1000+")),
           filled=0.2, stray=("about 40",)),
    Property(definition("phone", "string/phonenumber", "Phone Number", INFO,
                        textDisplayHint="phone_number"), v.phone, 0.6, 0.02),
    Property(definition("website", "string/text", "Website URL", INFO,
                        textDisplayHint="domain_name"), v.template("https://site{n}.example"), 0.2),
)  # fmt: skip

ACCOUNT: Final = (
    Property(definition("annual_budget", "number/number", "Annual budget", OWN, own=True,
                        numberDisplayHint="formatted"), v.decimal(0, 90_000, 2), 0.2, 0.02, 0.02),
    Property(definition("birthday", "date/date", "Birthday", OWN, own=True),
             v.day(_EARLY, date(2008, 12, 31), as_epoch=0.4), 0.3, 0.02, 0.02),
    Property(definition("badge_photo", "string/file", "Badge photo", OWN, own=True),
             v.template("https://files.example/{n}"), 0.05),
    Property(definition("contract_end_date", "date/date", "Contract end date", OWN, own=True,
                        dateDisplayHint="time_until"),
             v.day(_SINCE, date(2099, 12, 31)), 0.2, 0.02),
    Property(definition("device_info", "json/text", "Device info", OWN, own=True),
             v.one_of(('{"os": "iOS", "v": 17.1}', "[]", '{"note": "ü \\"x\\""}')), 0.05),
    Property(definition("favourite_colours", "enumeration/checkbox", "Favourite colours", OWN,
                        own=True, options=options("red", "dark green", "blue", hidden=("mauve",))),
             v.many_of((" red", "dark green", "blue", "mauve"), untidy=0.1), 0.2, 0.01, 0.02),
    Property(definition("id", "string/text", "ID in the old system", OWN, own=True),
             v.template("OLD-{n:06d}"), 0.2),
    Property(definition("newsletter", "bool/booleancheckbox", "Newsletter", OWN, own=True,
                        options=_BOOLEAN), _TRUE_FALSE, 0.5, 0.02, 0.02),
    Property(definition("old_score", "number/number", "Old score", OWN, own=True, archived=True,
                        archivedAt="2025-02-11T09:30:00.120Z"), v.integer(0, 100), 0.5),
    Property(definition("profile_html", "string/html", "Profile", OWN, own=True), v.html, 0.1),
    Property(definition("property_checkbox", "enumeration/booleancheckbox", "Property checkbox",
                        OWN, own=True, options=_BOOLEAN), _TRUE_FALSE, 0.1),
    Property(definition("property_date", "date/date", "Property date", OWN, own=True),
             v.day(_SINCE, _UNTIL, as_epoch=1.0), 0.1),
    choice(definition("property_dropdown", "enumeration/select", "Property dropdown", OWN, own=True,
                      options=options("choice_a", "choice_b", "choice_c")), filled=0.1),
    Property(definition("property_multiple_checkboxes", "enumeration/checkbox",
                        "Property multiple checkboxes", OWN, own=True,
                        options=options("chocolate", "strawberry", "vanilla")),
             v.many_of(("chocolate", "strawberry", "vanilla")), 0.1),
    Property(definition("property_number", "number/number", "Property number", OWN, own=True),
             v.any_number, 0.1),
    choice(definition("property_radio", "enumeration/radio", "Property radio", OWN, own=True,
                      options=options("option_1", "option_2")), filled=0.1),
    Property(definition("property_string", "string/text", "Property string", OWN, own=True),
             v.prose, 0.2, 0.02, 0.02),
    choice(definition("region_", "enumeration/select", "Region (old)", OWN, own=True,
                      options=_COUNTRIES_OPTIONS), filled=0.1),
    choice(definition("regionx", "enumeration/select", "Region", OWN, own=True,
                      options=_COUNTRIES_OPTIONS), filled=0.2),
    Property(definition("risk_note", "string/text", "Risk note", OWN, own=True,
                        dataSensitivity="sensitive"), v.prose, 0.5),
)  # fmt: skip

PROPERTIES: Final = FROM_RECORD + HUBSPOT + ACCOUNT
DEFAULTS: Final = ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate",
                   "lastname")  # fmt: skip
ALWAYS: Final = ("createdate", "hs_object_id", "lastmodifieddate")
SEARCHED: Final = ("firstname", "lastname", "email", "phone", "company")

EXAMPLE_ID: Final = 512
EXAMPLE_CREATED: Final = "2019-10-30T03:30:17.883Z"
EXAMPLE_UPDATED: Final = "2019-12-07T16:50:06.678Z"
EXAMPLE: Final = {
    "property_checkbox": "false",
    "property_date": "1572480000000",
    "property_dropdown": "choice_b",
    "property_multiple_checkboxes": "chocolate;strawberry",
    "property_number": "17",
    "property_radio": "option_1",
    "property_string": "value",
}
"""The record that HubSpot's reference shows for batch calls."""
