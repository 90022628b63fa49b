comment on table crm.contacts is
'One row per contact in HubSpot, live and archived; property columns carry HubSpot''s names.';
