comment on table crm._dlt_loads is
'dlt''s own bookkeeping: one row per load package that has landed. Leave it as it is.';
comment on column crm._dlt_loads.load_id is
'The package: its time in seconds since 1970.';
comment on column crm._dlt_loads.schema_name is
'The dlt schema it belongs to.';
comment on column crm._dlt_loads.status is
'0: all of it has landed.';
comment on column crm._dlt_loads.inserted_at is
'When it had landed.';
comment on column crm._dlt_loads.schema_version_hash is
'The version of the schema it was loaded with.';

comment on table crm._dlt_version is
'dlt''s own bookkeeping: one row per version of the tables'' schema. Leave it as it is.';
comment on column crm._dlt_version.version is
'Its number.';
comment on column crm._dlt_version.engine_version is
'The version of dlt''s schema format.';
comment on column crm._dlt_version.inserted_at is
'When it was first used.';
comment on column crm._dlt_version.schema_name is
'The dlt schema.';
comment on column crm._dlt_version.version_hash is
'A hash of its content.';
comment on column crm._dlt_version.schema is
'Its content, as JSON.';

comment on table crm._dlt_pipeline_state is
'dlt''s own bookkeeping: the checkpoints of runs. Leave it as it is, or runs begin anew.';
comment on column crm._dlt_pipeline_state.version is
'The number of this state.';
comment on column crm._dlt_pipeline_state.engine_version is
'The version of dlt''s state format.';
comment on column crm._dlt_pipeline_state.pipeline_name is
'The dlt pipeline.';
comment on column crm._dlt_pipeline_state.state is
'Where the next run goes on, packed by dlt.';
comment on column crm._dlt_pipeline_state.created_at is
'When it was written.';
comment on column crm._dlt_pipeline_state.version_hash is
'A hash of its content.';
comment on column crm._dlt_pipeline_state._dlt_load_id is
'The load package it came in; see crm._dlt_loads.';
comment on column crm._dlt_pipeline_state._dlt_id is
'dlt''s key of the row.';
