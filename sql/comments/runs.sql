comment on table crm.runs is
'One row per run and object type: an account of every id asked for. It only grows.';
comment on column crm.runs.run_id is
'When the run began, some letters, and the object type; the key.';
comment on column crm.runs.command is
'What ran: sync, refresh (by a sync, of some columns), backfill, retry, reconcile, or source.';
comment on column crm.runs.object_type is
'contacts or calls.';
comment on column crm.runs.started_at is
'When the run began, UTC.';
comment on column crm.runs.finished_at is
'When it ended, UTC; null while it is running.';
comment on column crm.runs.status is
'running, complete, incomplete, failed or interrupted; only complete means that all was read.';
comment on column crm.runs.requested_ids is
'Ids asked for: always loaded_rows + merged_ids + error_ids.';
comment on column crm.runs.loaded_rows is
'Ids asked for that are a row of the object''s table.';
comment on column crm.runs.merged_ids is
'Ids asked for that HubSpot answered under another id; see crm.id_aliases.';
comment on column crm.runs.error_ids is
'Ids asked for that have no row; see crm.errors.';
comment on column crm.runs.rejected_values is
'Values that did not fit their column and are in crm.errors instead; their records are loaded.';
comment on column crm.runs.duplicate_ids is
'How many more times ids were given to a backfill than once; each was read once.';
comment on column crm.runs.requests is
'Requests sent, repeats included.';
comment on column crm.runs.retries is
'Requests that were sent again.';
comment on column crm.runs.rate_limited is
'Answers of status 429.';
comment on column crm.runs.search_lag_s is
'How late search showed a record, in seconds, at least; null where none was late.';
comment on column crm.runs.as_of is
'When it began: once a sync is complete, all that HubSpot had then is in the table. UTC.';
comment on column crm.runs.cursor_from is
'Where the run began: a moment of modification, the ids that were left, or what was selected.';
comment on column crm.runs.cursor_to is
'Of a complete sync the moment by HubSpot''s clock that the next one begins at; else ids left.';
comment on column crm.runs.message is
'Why the run ended early; null otherwise.';
