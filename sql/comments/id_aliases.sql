comment on table crm.id_aliases is
'One row per id that HubSpot answers under another id, since the two records were merged.';
comment on column crm.id_aliases.object_type is
'contacts or calls.';
comment on column crm.id_aliases.old_id is
'The id that was asked for; with object_type the key. It may stand in older data of yours.';
comment on column crm.id_aliases.current_id is
'The id of the record it is part of now: the row to look at.';
comment on column crm.id_aliases.seen_at is
'When HubSpot last answered so, UTC.';
