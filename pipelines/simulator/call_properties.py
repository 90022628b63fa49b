"""The properties of calls: HubSpot's own, then those the account made."""

from __future__ import annotations

from datetime import date
from typing import Final

from pipelines.simulator import values as v
from pipelines.simulator.contact_properties import OWNER_IDS
from pipelines.simulator.definitions import Property, choice, definition, derived, options

CALL: Final = "call"
ENGAGEMENT: Final = "engagement"
GROUPS: Final = {CALL: "Call information", ENGAGEMENT: "Engagement information"}

_SINCE: Final = date(2018, 1, 1)
_UNTIL: Final = date(2026, 10, 31)
_BOOLEAN: Final = options("true=True", "false=False")
_TRUE_FALSE: Final = v.one_of(("true", "false"))
_STATUSES: Final = ("BUSY", "CALLING_CRM_USER", "CANCELED", "COMPLETED", "CONNECTING", "FAILED",
                    "IN_PROGRESS", "MISSED", "NO_ANSWER", "QUEUED", "RINGING")  # fmt: skip
DISPOSITIONS: Final = (
    "9d9162e7-6cf3-4944-bf63-4dff82258764=Busy",
    "f240bbac-87c9-4f6e-bf70-924b57d47db7=Connected",
    "a4c4c377-d246-4b32-a13b-75a56a4cd0ff=Left live message",
    "b2cf5968-551e-4856-9783-52b3da59a7d0=Left voicemail",
    "73a0d17f-1163-4015-bdd5-ec830791da20=No answer",
    "17b47fee-58de-441e-a44c-c6300d46f273=Wrong number",
)
FORGOTTEN_DISPOSITION: Final = "5f1c7e0a-33c2-4be1-9d0e-0a4f5b6c7d8e"
"""In old calls, and in no list of dispositions."""

FROM_RECORD: Final = derived(
    definition("hs_createdate", "datetime/date", "Create date", ENGAGEMENT),
    definition("hs_lastmodifieddate", "datetime/date", "Last modified date", ENGAGEMENT),
    definition("hs_object_id", "number/number", "Record ID", ENGAGEMENT),
    definition("hs_unique_id", "string/text", "Unique ID", ENGAGEMENT,
               hasUniqueValue=True),
)  # fmt: skip
"""Values that follow from the record itself; see `records`."""

PROPERTIES: Final = (
    *FROM_RECORD,
    choice(definition("hs_activity_type", "enumeration/select", "Call and meeting type", ENGAGEMENT,
                      options=options("Discovery call", "Demo", "Check-in")), filled=0.3),
    Property(definition("hs_all_owner_ids", "enumeration/select", "All owner IDs", ENGAGEMENT,
                        externalOptions=True, referencedObjectType="OWNER"),
             v.many_of(OWNER_IDS), 0.6),
    Property(definition("hs_at_mentioned_owner_ids", "enumeration/select", "At-mentioned owners",
                        ENGAGEMENT, externalOptions=True), v.many_of(OWNER_IDS, untidy=0.1), 0.1),
    Property(definition("hs_attachment_ids", "string/text", "Attachment IDs", ENGAGEMENT),
             v.many_of(("9001", "9002", "9003")), 0.1),
    Property(definition("hs_body_preview", "string/text", "Body preview", CALL), v.words(3, 12),
             0.6, 0.02),
    Property(definition("hs_body_preview_is_truncated", "bool/booleancheckbox",
                        "Body preview is truncated", CALL, options=_BOOLEAN), _TRUE_FALSE, 0.6),
    Property(definition("hs_call_app_id", "number/number", "App ID", CALL),
             v.integer(10_000, 9_999_999), 0.3),
    Property(definition("hs_call_body", "string/html", "Call notes", CALL), v.html, 0.6, 0.03),
    Property(definition("hs_call_callee_object_id", "number/number", "Callee object ID", CALL,
                        referencedObjectType="CONTACT"), v.integer(10**10, 10**12), 0.6),
    Property(definition("hs_call_callee_object_type_id", "string/text", "Callee object type ID",
                        CALL), v.one_of(("0-1", "0-2")), 0.6),
    choice(definition("hs_call_direction", "enumeration/select", "Call direction", CALL,
                      options=options("INBOUND", "OUTBOUND")), filled=0.9),
    choice(definition("hs_call_disposition", "enumeration/select", "Call outcome", CALL,
                      externalOptions=True, options=options(*DISPOSITIONS)), filled=0.7,
           stray=(FORGOTTEN_DISPOSITION,)),
    Property(definition("hs_call_duration", "number/number", "Call duration", CALL,
                        numberDisplayHint="duration"), v.integer(0, 7_200_000), 0.8, 0.02),
    Property(definition("hs_call_external_id", "string/text", "External ID", CALL), v.guid, 0.2),
    Property(definition("hs_call_from_number", "string/text", "From number", CALL), v.phone, 0.7),
    Property(definition("hs_call_has_transcript", "bool/booleancheckbox", "Has transcript", CALL,
                        options=_BOOLEAN), _TRUE_FALSE, 0.5, 0.01),
    Property(definition("hs_call_has_voicemail", "bool/booleancheckbox", "Has voicemail", CALL,
                        options=_BOOLEAN), _TRUE_FALSE, 0.3, 0.01),
    Property(definition("hs_call_recording_url", "string/text", "Recording URL", CALL),
             v.template("https://recordings.example/{n}.mp3"), 0.3, 0.02),
    choice(definition("hs_call_source", "enumeration/select", "Call source", CALL,
                      options=options("INTEGRATIONS_PLATFORM", "ZOOM")), filled=0.4),
    choice(definition("hs_call_status", "enumeration/select", "Call status", CALL,
                      options=options(*_STATUSES)), filled=0.95),
    Property(definition("hs_call_title", "string/text", "Call title", CALL), v.prose, 0.8, 0.03),
    Property(definition("hs_call_to_number", "string/text", "To number", CALL), v.phone, 0.7),
    Property(definition("hs_call_transcription_id", "number/number", "Transcription ID", CALL),
             v.integer(10**18, 9 * 10**18), 0.2),
    Property(definition("hs_created_by_user_id", "number/number", "Created by user ID",
                        ENGAGEMENT), v.integer(1_000_000, 99_999_999), 0.9),
    Property(definition("hs_gdpr_deleted", "bool/booleancheckbox", "GDPR deleted", ENGAGEMENT,
                        options=_BOOLEAN), _TRUE_FALSE, 0.05),
    Property(definition("hs_merged_object_ids", "enumeration/checkbox", "Merged object IDs",
                        ENGAGEMENT)),
    choice(definition("hs_object_source", "enumeration/select", "Record source", ENGAGEMENT,
                      options=options("CRM_UI", "INTEGRATION")), filled=1.0),
    Property(definition("hs_timestamp", "datetime/date", "Activity date", ENGAGEMENT),
             v.moment(_SINCE, _UNTIL, as_epoch=0.1), 1.0),
    Property(definition("hubspot_owner_assigneddate", "datetime/date", "Owner assigned date",
                        ENGAGEMENT), v.moment(_SINCE, _UNTIL), 0.5, 0.01),
    Property(definition("hubspot_owner_id", "enumeration/select", "Activity assigned to",
                        ENGAGEMENT, externalOptions=True, referencedObjectType="OWNER"),
             v.one_of(OWNER_IDS), 0.7, 0.03),
    Property(definition("archived_at", "date/date", "Filed on", CALL, own=True),
             v.day(date(1965, 1, 1), _UNTIL), 0.1),
    Property(definition("call_score", "number/calculation_equation", "Call score", CALL, own=True,
                        calculated=True, calculationFormula="hs_call_duration / 7"),
             v.any_number, 0.3, 0.01, 0.01),
    Property(definition("old_topic", "string/text", "Old topic", CALL, own=True, archived=True,
                        archivedAt="2025-06-01T12:00:00.500Z"), v.prose, 0.5),
    Property(definition("topics", "enumeration/checkbox", "Topics", CALL, own=True,
                        options=options("pricing", "support", "renewal", hidden=("legacy",))),
             v.many_of(("pricing", "support", "renewal", "legacy"), untidy=0.05), 0.3, 0.02),
)  # fmt: skip
DEFAULTS: Final = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
ALWAYS: Final = DEFAULTS
SEARCHED: Final = ("hs_call_title", "hs_body_preview")
