"""Which properties are read, into which columns: settings meet HubSpot's definitions."""

from __future__ import annotations

import asyncio
import json

import polars as pl
import pytest
from hubspot_server import Reply, client_for, served

from pipelines.errors import ConfigError
from pipelines.reading import PROPERTIES, PROPERTY_OPTIONS, Reading, reading_of, selected
from pipelines.settings import ObjectSettings
from transforms.columns import columns
from transforms.definitions import Kind, Option, Property
from transforms.records import ENVELOPE, raw_records, raw_schema

DEFINITIONS = (
    Property("amount", label="Amount", type="number", field_type="number"),
    Property("email", label="Email", type="string", field_type="text"),
    Property("hs_a", type="string"),
    Property("hs_b", type="string"),
    Property("old", type="string", archived=True),
    Property(
        "stage",
        type="enumeration",
        field_type="select",
        options=(Option("lead", "Lead"), Option("lead", "Lead again"), Option("won", "Won")),
    ),
)


def names(**settings: object) -> tuple[str, ...]:
    return selected(DEFINITIONS, ObjectSettings(**settings), "contacts")


def reading(known=None, types=None, chosen=DEFINITIONS) -> Reading:
    live = [prop for prop in chosen if not prop.archived]
    made = columns(live, overrides=types or {}, known=known or {})
    return Reading("contacts", DEFINITIONS, made, known or {}, types or {})


def raw(**values: list[str | None]) -> pl.DataFrame:
    height = len(next(iter(values.values())))
    empty = {name: [None] * height for name in raw_schema(())}
    return pl.DataFrame({**empty, **values}, schema=raw_schema(values))


# ---------------------------------------------------------------- which


def test_everything_live_is_read_by_default():
    """Archived properties have no values to read."""
    assert names() == ("amount", "email", "hs_a", "hs_b", "stage")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"properties": ("email",)}, ("email",)),
        ({"properties": ("hs_*", "email")}, ("email", "hs_a", "hs_b")),
        ({"properties": ("hs_?",), "exclude_properties": ("hs_b",)}, ("hs_a",)),
        ({"exclude_properties": ("hs_*", "amount")}, ("email", "stage")),
        ({"properties": ("nothing_*",)}, ()),
    ],
    ids=["name", "globs", "excluded by name", "excluded by glob", "a glob of nothing"],
)
def test_names_and_globs_choose(settings, expected):
    """As in the settings' own example."""
    assert names(**settings) == expected


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"properties": ("emial",)}, "sources.hubspot.contacts.properties"),
        ({"exclude_properties": ("emial",)}, "sources.hubspot.contacts.exclude_properties"),
        ({"types": {"emial": "text"}}, "sources.hubspot.contacts.types"),
    ],
    ids=["properties", "exclude_properties", "types"],
)
def test_a_name_that_hubspot_does_not_define_is_refused_with_the_nearest(settings, key):
    """HubSpot ignores unknown names: the column would stay empty for ever."""
    with pytest.raises(ConfigError, match="did you mean 'email'") as caught:
        names(**settings)

    assert key in str(caught.value)


def test_an_archived_property_that_a_setting_names_is_refused():
    """It can no longer be read, and the person who named it wants to know."""
    with pytest.raises(ConfigError, match="'old'"):
        names(properties=("old",))


# ---------------------------------------------------------------- into which columns


def test_number_columns_become_bigint_where_the_first_values_need_it():
    """9007199254740993 is no double."""
    fitted = reading().fitted(raw(amount=["1", "9007199254740993"]))

    assert {c.property: c.kind for c in fitted.columns}["amount"] is Kind.INTEGER


@pytest.mark.parametrize(
    "values", [["1", "2"], ["9007199254740993", "1.5"], [None, ""]], ids=["small", "mixed", "none"]
)
def test_number_columns_stay_double_otherwise(values):
    """A BIGINT could not take the 1.5 that comes later."""
    assert reading().fitted(raw(amount=values)) == reading()


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.INTEGER])
def test_a_number_column_that_exists_keeps_its_type(kind):
    """The first values decided once; a column never changes its type."""
    known = {"amount": {kind: "amount"}}

    fitted = reading(known=known).fitted(raw(amount=["9007199254740993"]))

    assert {c.property: (c.name, c.kind) for c in fitted.columns}["amount"] == ("amount", kind)


def test_a_type_from_the_settings_is_not_overruled_by_values():
    """Who wrote it down knows better."""
    fitted = reading(types={"amount": "number"}).fitted(raw(amount=["9007199254740993"]))

    assert {c.property: c.kind for c in fitted.columns}["amount"] is Kind.NUMBER


def test_a_changed_type_is_said_once_with_the_new_column():
    """The run copes by itself and says what it did."""
    changed = reading(known={"email": {Kind.NUMBER: "email"}, "hs_a": {Kind.TEXT: "hs_a"}})

    (line,) = changed.changed_columns()

    assert "contacts.email" in line
    assert "email__v_text" in line
    assert "VARCHAR" in line
    assert reading(known={"email": {Kind.TEXT: "email"}}).changed_columns() == []


# ---------------------------------------------------------------- as tables


def test_the_table_of_properties_has_every_definition_and_its_column():
    """Also those that are not read: an analyst asks why there is no column."""
    known = {"email": {Kind.NUMBER: "email"}, "old": {Kind.TEXT: "old"}}
    table = reading(known=known).properties_table()

    rows = {row["name"]: row for row in table.to_pylist()}
    assert table.schema == PROPERTIES
    assert list(rows) == [prop.name for prop in DEFINITIONS]
    assert (rows["amount"]["column_name"], rows["amount"]["column_type"]) == ("amount", "DOUBLE")
    assert rows["email"]["column_name"] == "email__v_text"
    assert json.loads(rows["email"]["previous_columns"]) == [
        {"column_name": "email", "column_type": "DOUBLE"}
    ]
    assert (rows["old"]["column_name"], rows["old"]["archived"]) == (None, True)
    assert json.loads(rows["old"]["previous_columns"]) == [
        {"column_name": "old", "column_type": "VARCHAR"}
    ]
    assert rows["stage"]["label"] is None


def test_the_table_of_options_has_each_value_once():
    """The key is property and value; HubSpot may list one twice."""
    table = reading().options_table()

    assert table.schema == PROPERTY_OPTIONS
    assert [(row["property"], row["value"]) for row in table.to_pylist()] == [
        ("stage", "lead"),
        ("stage", "won"),
    ]


def test_json_columns_are_those_of_lists():
    """dlt has to be told."""
    many = Property("tags", type="enumeration", field_type="checkbox")

    assert reading(chosen=(many, DEFINITIONS[1])).json_columns == ("tags",)


# ---------------------------------------------------------------- odd definitions


def reading_from(*definitions: object) -> Reading:
    """What to read when HubSpot defines this, and the same again as archived."""

    async def run() -> Reading:
        reply = Reply(200, {"results": list(definitions)})
        async with served(reply) as server, client_for(server.url) as client:
            return await reading_of(client, "contacts", ObjectSettings(), {})

    return asyncio.run(run())


@pytest.mark.parametrize("name", [7, None, "", ["a"], {"a": 1}, True], ids=repr)
def test_a_definition_whose_name_is_no_text_is_left_out(name):
    """Nothing can be asked for by it, and the others can."""
    reading = reading_from({"name": name, "type": "string"}, {"name": "email"}, {})

    assert reading.properties == ("email",)


@pytest.mark.parametrize("name", list(ENVELOPE))
def test_a_property_called_like_a_column_of_the_raw_frame_is_listed_and_not_read(name):
    """One name cannot be two columns; the id of a record comes first."""
    reading = reading_from({"name": name, "type": "string"}, {"name": "email"})
    body = json.dumps({"results": [{"id": "7", "properties": {name: "x", "email": "a"}}]}).encode()

    frame = raw_records([body], reading.properties)

    assert frame.select("@id", "email").rows() == [("7", "a")]
    listed = {row["name"]: row["column_name"] for row in reading.properties_table().to_pylist()}
    assert listed == {name: None, "email": "email"}


def test_an_order_beyond_64_bits_is_null():
    """Of a property and of an option alike."""
    option = {"value": "a", "displayOrder": -(2**63) - 1}
    reading = reading_from({"name": "p", "displayOrder": 2**63, "options": [option]})

    assert reading.properties_table()["display_order"].to_pylist() == [None]
    assert reading.options_table()["display_order"].to_pylist() == [None]
