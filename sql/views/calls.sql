-- One row per call that is not archived in HubSpot.
create or replace view analytics.calls as
with labels as (
    select
        count(*) as count_options
        /* labels: one map per property with options, internal value to label */
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
