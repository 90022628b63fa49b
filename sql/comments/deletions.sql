comment on table crm.deletions is
'One row per record deleted for good in HubSpot; its row has no values of properties any more.';
comment on column crm.deletions.object_type is
'contacts or calls.';
comment on column crm.deletions.object_id is
'The id it had; with object_type the key.';
comment on column crm.deletions.seen_at is
'When crm reconcile --fix met the deletion and removed the values, UTC.';
comment on column crm.deletions.run_id is
'The run that did; see crm.runs.';
