comment on table crm.errors is
'One row per thing that could not be loaded: a record, or one value of it. Repeats update the row.';
comment on column crm.errors.error_id is
'A hash of object type, id, stage, category and property; the key.';
comment on column crm.errors.run_id is
'The last run that met it; see crm.runs.';
comment on column crm.errors.first_seen_at is
'When a run first met it, UTC.';
comment on column crm.errors.last_seen_at is
'When a run last met it, UTC.';
comment on column crm.errors.resolved_at is
'When a later run read the record without it, UTC; null while it is unresolved.';
comment on column crm.errors.object_type is
'contacts or calls.';
comment on column crm.errors.object_id is
'The record''s id as it was asked for, as text, for not every id is a number.';
comment on column crm.errors.stage is
'Where it failed: read (HubSpot did not give the record) or normalise (a value has no type).';
comment on column crm.errors.category is
'HubSpot''s word (OBJECT_NOT_FOUND), or ours in the same shape (UNPARSEABLE_VALUE).';
comment on column crm.errors.sub_category is
'HubSpot''s finer word, where it gave one.';
comment on column crm.errors.message is
'What is wrong, and the setting that mends it where there is one; never the value itself.';
comment on column crm.errors.property is
'HubSpot''s name of the property; null where the whole record is missing.';
comment on column crm.errors.raw_value is
'The value as HubSpot sent it. It may be personal data.';
comment on column crm.errors.expected_type is
'The type of the column that cannot hold the value.';
comment on column crm.errors.http_status is
'The status of HubSpot''s answer; null where the answer was fine and a value was not.';
comment on column crm.errors.correlation_id is
'HubSpot''s name for the request; quote it to its support.';
comment on column crm.errors.context is
'Everything else HubSpot said about the error, as JSON.';
comment on column crm.errors.is_retryable is
'Whether reading the record again later may help.';
