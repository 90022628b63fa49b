comment on table crm.properties is
'One row per property that HubSpot defines, live and archived, and the column that holds it.';
comment on column crm.properties.object_type is
'contacts or calls.';
comment on column crm.properties.name is
'HubSpot''s internal name; with object_type the key.';
comment on column crm.properties.column_name is
'The column its values go to; null for a property that is not read.';
comment on column crm.properties.column_type is
'The type of that column.';
comment on column crm.properties.previous_columns is
'Columns that hold its earlier values, from when it had another type, as JSON.';
comment on column crm.properties.label is
'The name people see in HubSpot.';
comment on column crm.properties.type is
'HubSpot''s type: string, number, bool, enumeration, date, datetime and others.';
comment on column crm.properties.field_type is
'How HubSpot shows it on a form: text, checkbox, select and others.';
comment on column crm.properties.description is
'What HubSpot, or whoever made the property, says about it.';
comment on column crm.properties.group_name is
'The group it stands in.';
comment on column crm.properties.referenced_object_type is
'The object type whose ids it holds.';
comment on column crm.properties.data_sensitivity is
'non_sensitive, sensitive or highly_sensitive.';
comment on column crm.properties.number_display_hint is
'How HubSpot shows a number: formatted, currency, percentage, duration and others.';
comment on column crm.properties.date_display_hint is
'How HubSpot shows a date.';
comment on column crm.properties.text_display_hint is
'How HubSpot shows a text.';
comment on column crm.properties.currency_property_name is
'The property that holds the currency of this amount.';
comment on column crm.properties.calculation_formula is
'The formula of a calculated property.';
comment on column crm.properties.calculated is
'Whether HubSpot computes it; such a change does not move updated_at.';
comment on column crm.properties.external_options is
'Whether its options are kept elsewhere, as those of owners; they are not in property_options.';
comment on column crm.properties.has_unique_value is
'Whether no two records may have the same value.';
comment on column crm.properties.hidden is
'Whether HubSpot hides it from people.';
comment on column crm.properties.hubspot_defined is
'Whether it is one of HubSpot''s own; false for those made in the account.';
comment on column crm.properties.archived is
'Whether it is archived in HubSpot; it is then no longer read.';
comment on column crm.properties.form_field is
'Whether it may be used in forms.';
comment on column crm.properties.read_only_value is
'Whether its values cannot be written through the API.';
comment on column crm.properties.read_only_definition is
'Whether its definition cannot be changed through the API.';
comment on column crm.properties.display_order is
'Its place in HubSpot''s lists; -1 comes last.';
comment on column crm.properties.created_at is
'When it was made, as HubSpot writes it.';
comment on column crm.properties.updated_at is
'When its definition last changed, as HubSpot writes it.';
comment on column crm.properties.archived_at is
'When it was archived, as HubSpot writes it.';
