-- One row per contact that is not archived in HubSpot.
create or replace view analytics.contacts as
with labels as (
    select count(*) as count_options /* labels: a map per property, internal value to label */
    from crm.property_options
    where property_options.object_type = 'contacts'
)

select
    contacts.id,
    contacts.created_at,
    contacts.updated_at,
    contacts.synced_at
    /* properties: one column each; lists as VARCHAR[]; labels beside internal values */
from crm.contacts
cross join labels
where not contacts.archived;

comment on view analytics.contacts is
'Contacts that are not archived: one row each, lists as VARCHAR[], labels beside internal values.';
comment on column analytics.contacts.id is
'HubSpot''s record id; the key.';
comment on column analytics.contacts.created_at is
'When the record was made in HubSpot, UTC.';
comment on column analytics.contacts.updated_at is
'When HubSpot last changed the record, UTC.';
comment on column analytics.contacts.synced_at is
'When this row was last read from HubSpot, UTC.';
