comment on table crm.calls is
'One row per call in HubSpot, live and archived; property columns carry HubSpot''s names.';
comment on column crm.calls.id is
'HubSpot''s record id; the key.';
comment on column crm.calls.created_at is
'When the record was made in HubSpot, UTC.';
comment on column crm.calls.updated_at is
'When HubSpot last changed the record, UTC.';
comment on column crm.calls.archived_at is
'When the record was archived, UTC; null for live ones.';
comment on column crm.calls.archived is
'Whether the record is archived in HubSpot; such rows are not in analytics.calls.';
comment on column crm.calls.synced_at is
'When this row was last read from HubSpot, UTC; moves with every run that reads it.';
