-- One row per call that is not archived in HubSpot.
create or replace view analytics.calls as
with labels as (
    select count(*) as count_options /* labels: a map per property, internal value to label */
    from crm.property_options
    where property_options.object_type = 'calls'
)

select
    calls.id,
    calls.created_at,
    calls.updated_at,
    calls.synced_at
    /* properties: one column each; lists as VARCHAR[]; labels beside internal values */
from crm.calls
cross join labels
where not calls.archived;

comment on view analytics.calls is
'Calls that are not archived: one row each, lists as VARCHAR[], labels beside internal values.';
comment on column analytics.calls.id is
'HubSpot''s record id; the key.';
comment on column analytics.calls.created_at is
'When the record was made in HubSpot, UTC.';
comment on column analytics.calls.updated_at is
'When HubSpot last changed the record, UTC.';
comment on column analytics.calls.synced_at is
'When this row was last read from HubSpot, UTC.';
