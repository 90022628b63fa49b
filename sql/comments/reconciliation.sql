comment on table crm.reconciliation is
'One row per id in which HubSpot and the warehouse differ, as the last crm reconcile found them.';
comment on column crm.reconciliation.run_id is
'The crm reconcile that found it last; see crm.runs.';
comment on column crm.reconciliation.object_type is
'contacts or calls.';
comment on column crm.reconciliation.object_id is
'The record''s id; with object_type the key.';
comment on column crm.reconciliation.finding is
'missing_here, missing_there, archived_there, live_there, merged, differs, or pending: no fault.';
comment on column crm.reconciliation.updated_at_there is
'When HubSpot last changed the record by its own word, UTC; null where it has none.';
comment on column crm.reconciliation.updated_at_here is
'The updated_at of the row when they were compared, UTC; null without a row.';
comment on column crm.reconciliation.seen_at is
'When it was found, UTC.';
comment on column crm.reconciliation.fixed_at is
'When crm reconcile --fix had mended it, UTC; such rows stay. Null while it is open.';
