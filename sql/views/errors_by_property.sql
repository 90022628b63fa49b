-- One row per object type, property and category that has unresolved errors.
create or replace view analytics.errors_by_property as
select
    ---------- ids
    errors.object_type,
    errors.property,
    errors.category,
    ---------- texts
    max(errors.expected_type) as expected_type,
    max(errors.message) as message,
    ---------- numerics
    count(*) as count_errors,
    count(distinct errors.object_id) as count_records,
    ---------- timestamps
    min(errors.first_seen_at) as first_seen_at,
    max(errors.last_seen_at) as last_seen_at
from crm.errors
where errors.resolved_at is null
group by
    errors.object_type,
    errors.property,
    errors.category;

comment on view analytics.errors_by_property is
'What is wrong now: unresolved errors, counted by property. No property: the record itself.';
comment on column analytics.errors_by_property.object_type is
'contacts or calls.';
comment on column analytics.errors_by_property.property is
'HubSpot''s property name; null where the whole record is missing.';
comment on column analytics.errors_by_property.category is
'HubSpot''s word, or ours in the same shape (UNPARSEABLE_VALUE).';
comment on column analytics.errors_by_property.expected_type is
'The type of the column that could not hold the values.';
comment on column analytics.errors_by_property.message is
'What is wrong with the values, and the setting that mends it where there is one.';
comment on column analytics.errors_by_property.count_errors is
'Rows of crm.errors.';
comment on column analytics.errors_by_property.count_records is
'Records with at least one of these errors.';
comment on column analytics.errors_by_property.first_seen_at is
'When the first of them was met, UTC.';
comment on column analytics.errors_by_property.last_seen_at is
'When one of them was last met, UTC.';
