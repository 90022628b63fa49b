-- One row per object type that was ever synced; runs of retry and reconcile read some records only.
create or replace view analytics.sync_freshness as
with completed as (
    select
        runs.object_type,
        max(runs.as_of) as as_of
    from crm.runs
    where runs.status = 'complete' and runs.command = 'sync'
    group by runs.object_type
)

select
    ---------- ids
    runs.object_type,
    ---------- texts
    arg_max(runs.status, runs.started_at) as last_status,
    ---------- numerics
    arg_max(runs.loaded_rows, runs.started_at) filter (
        where runs.status = 'complete'
    ) as count_loaded,
    date_diff(
        'minute',
        any_value(completed.as_of),
        now()
    ) as minutes_behind,
    ---------- timestamps
    max(runs.started_at) as last_started_at,
    any_value(completed.as_of) as complete_as_of
from crm.runs
left outer join completed
    on runs.object_type = completed.object_type
where runs.command = 'sync'
group by runs.object_type;

comment on view analytics.sync_freshness is
'How fresh each object type is: everything changed before complete_as_of is in the table.';
comment on column analytics.sync_freshness.object_type is
'contacts or calls.';
comment on column analytics.sync_freshness.last_status is
'Of the last run: running, complete, incomplete, failed or interrupted.';
comment on column analytics.sync_freshness.count_loaded is
'Rows that the last complete run loaded, with the runs it went on from.';
comment on column analytics.sync_freshness.minutes_behind is
'Whole minutes since complete_as_of; null before the first complete run.';
comment on column analytics.sync_freshness.last_started_at is
'When the last run began, UTC.';
comment on column analytics.sync_freshness.complete_as_of is
'When the last complete run began, UTC; null before the first one.';
