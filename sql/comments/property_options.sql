comment on table crm.property_options is
'One row per value that an enumeration property offers.';
comment on column crm.property_options.object_type is
'contacts or calls.';
comment on column crm.property_options.property is
'HubSpot''s name of the property.';
comment on column crm.property_options.value is
'The internal value, as in the columns of crm; with object_type and property the key.';
comment on column crm.property_options.label is
'What people see in HubSpot; the label columns of analytics show it.';
comment on column crm.property_options.description is
'What HubSpot, or whoever made the option, says about it.';
comment on column crm.property_options.display_order is
'Its place among the options; -1 comes last.';
comment on column crm.property_options.hidden is
'Whether it is no longer offered to people.';
