comment on table crm.batches is
'One row per request that carried ids: what was asked, and what came back. It only grows.';
comment on column crm.batches.batch_id is
'The run''s id and a number within the run; the key.';
comment on column crm.batches.run_id is
'The run that sent it; see crm.runs.';
comment on column crm.batches.object_type is
'contacts or calls.';
comment on column crm.batches.endpoint is
'What was called: batch/read.';
comment on column crm.batches.http_status is
'The status of the last answer; 207 means that some ids were not returned.';
comment on column crm.batches.status is
'HubSpot''s word for the batch: COMPLETE, PENDING, PROCESSING or CANCELED; null if refused.';
comment on column crm.batches.requested_at is
'When HubSpot took the request, UTC; our own clock where it does not say.';
comment on column crm.batches.started_at is
'When HubSpot began with it, UTC.';
comment on column crm.batches.completed_at is
'When HubSpot had done it, UTC.';
comment on column crm.batches.inputs is
'Ids asked for.';
comment on column crm.batches.results is
'Ids asked for that came back under the same id.';
comment on column crm.batches.num_errors is
'HubSpot''s own count of errors; it counts entries, not ids.';
comment on column crm.batches.attempts is
'How often the request was sent, repeats included.';
comment on column crm.batches.duration_ms is
'Milliseconds from the first attempt to the last answer.';
comment on column crm.batches.correlation_id is
'HubSpot''s name for the request; quote it to its support.';
