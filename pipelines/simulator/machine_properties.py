"""The properties of machines, the custom object of the portal."""

from __future__ import annotations

from datetime import date
from typing import Final

from pipelines.simulator import values as v
from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.definitions import Property, choice, definition, derived, options

INFO: Final = "machines_information"
GROUPS: Final = {INFO: "Machine information"}

_SINCE: Final = date(2005, 1, 1)
_UNTIL: Final = date(2026, 10, 31)

PROPERTIES: Final = (
    *derived(
        definition("hs_createdate", "datetime/date", "Object create date/time", INFO),
        definition("hs_lastmodifieddate", "datetime/date", "Object last modified date/time", INFO),
        definition("hs_object_id", "number/number", "Record ID", INFO),
        definition("serial_number", "string/text", "Serial number", INFO, own=True,
                   hasUniqueValue=True),
    ),
    Property(definition("hubspot_owner_id", "enumeration/select", "Owner", INFO,
                        externalOptions=True, referencedObjectType="OWNER"),
             v.one_of(OWNER_IDS), 0.5, 0.03),
    Property(definition("hs_merged_object_ids", "enumeration/checkbox", "Merged object IDs", INFO,
                        hidden=True)),
    Property(definition("built_on", "date/date", "Built on", INFO, own=True),
             v.day(_SINCE, _UNTIL), 0.9, 0.02),
    Property(definition("hours_run", "number/number", "Hours run", INFO, own=True),
             v.decimal(0, 90_000, 1), 0.7, 0.02),
    Property(definition("is_leased", "bool/booleancheckbox", "Is leased", INFO, own=True,
                        options=options("true=Yes", "false=No")),
             v.one_of(("true", "false")), 0.6, 0.02),
    Property(definition("last_service_at", "datetime/date", "Last service", INFO, own=True),
             v.moment(_SINCE, _UNTIL, as_epoch=0.2), 0.6, 0.02),
    Property(definition("model_name", "string/text", "Model", INFO, own=True), v.prose, 0.9),
    choice(definition("state", "enumeration/select", "State", INFO, own=True,
                      options=options("running", "idle", "scrapped", hidden=("lost",))),
           filled=0.9, stray=("in transit",)),
)  # fmt: skip
DEFAULTS: Final = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
ALWAYS: Final = DEFAULTS
SEARCHED: Final = ("serial_number", "model_name")
DISPLAYED: Final = "serial_number"
"""What people see a machine called; required when one is made."""
