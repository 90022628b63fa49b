-- One row per ended run whose sums differ: ids asked for that are nowhere. Empty means pass.
select
    runs.run_id,
    runs.requested_ids,
    runs.loaded_rows,
    runs.merged_ids,
    runs.error_ids
from crm.runs
where
    runs.status = 'complete'
    and runs.requested_ids != runs.loaded_rows + runs.merged_ids + runs.error_ids;
