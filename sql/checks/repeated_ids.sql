-- One row per id that stands twice in a table. Empty means pass.
select
    'contacts' as object_type,
    contacts.id,
    count(*) as count_rows
from crm.contacts
group by contacts.id
having count(*) > 1
union all
select
    'calls' as object_type,
    calls.id,
    count(*) as count_rows
from crm.calls
group by calls.id
having count(*) > 1;
