"""From what HubSpot says about properties to the columns of a table."""

from __future__ import annotations

import hashlib
import random
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.columns import RESERVED, Column, columns, kind_of
from transforms.definitions import Kind, Option, Property


def hexes(name: str, length: int = 6) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:length]


def names(*properties: str | Property, **options: object) -> dict[str, str]:
    """Column name by property name; a property given as text is a string."""
    wanted = [Property(p) if isinstance(p, str) else p for p in properties]
    return {c.property: c.name for c in columns(wanted, **options)}


# ---------- definitions


def test_definition_keeps_everything_hubspot_says():
    raw = {
        "updatedAt": "2024-05-01T00:00:00.000Z",
        "createdAt": "2019-08-06T02:41:08.377Z",
        "archivedAt": "2025-01-01T00:00:00Z",
        "archived": True,
        "name": "score",
        "label": "Score",
        "type": "enumeration",
        "fieldType": "checkbox",
        "description": "How warm.",
        "groupName": "contactinformation",
        "options": [
            {
                "label": "Warm",
                "value": "w",
                "description": "≥ 5",
                "displayOrder": -1,
                "hidden": True,
            }
        ],
        "referencedObjectType": "COMPANY",
        "displayOrder": 23,
        "calculated": True,
        "externalOptions": True,
        "hasUniqueValue": True,
        "hidden": True,
        "hubspotDefined": True,
        "formField": True,
        "dataSensitivity": "non_sensitive",
        "numberDisplayHint": "currency",
        "dateDisplayHint": "absolute",
        "textDisplayHint": "email",
        "currencyPropertyName": "hs_currency",
        "calculationFormula": "1 + 1",
        "modificationMetadata": {"readOnlyDefinition": True, "readOnlyValue": True},
        "somethingNew": {"a": 1},
    }

    assert Property.of(raw) == Property(
        name="score",
        label="Score",
        type="enumeration",
        field_type="checkbox",
        description="How warm.",
        group_name="contactinformation",
        referenced_object_type="COMPANY",
        calculated=True,
        external_options=True,
        has_unique_value=True,
        hidden=True,
        hubspot_defined=True,
        archived=True,
        form_field=True,
        display_order=23,
        data_sensitivity="non_sensitive",
        number_display_hint="currency",
        date_display_hint="absolute",
        text_display_hint="email",
        currency_property_name="hs_currency",
        calculation_formula="1 + 1",
        read_only_value=True,
        read_only_definition=True,
        created_at="2019-08-06T02:41:08.377Z",
        updated_at="2024-05-01T00:00:00.000Z",
        archived_at="2025-01-01T00:00:00Z",
        options=(Option("w", "Warm", "≥ 5", -1, hidden=True),),
    )


def test_every_field_but_the_name_may_be_missing():
    assert Property.of({"name": "p"}) == Property("p")


FIELDS = [
    "label", "type", "fieldType", "description", "options", "displayOrder", "calculated", "hidden",
    "modificationMetadata", "archived", "createdAt", "referencedObjectType",
]  # fmt: skip
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "label", "hidden", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(fields=st.dictionaries(st.sampled_from(FIELDS), odd))
def test_odd_shapes_never_raise(fields: dict[str, object]):
    """HubSpot tells clients to treat every field as optional."""
    prop = Property.of({"name": "p", **fields})

    assert isinstance(kind_of(prop), Kind)
    assert all(isinstance(option.value, str) for option in prop.options)


def test_option_without_a_value_is_left_out():
    raw = {"name": "p", "options": [{"label": "x"}, "a", {"value": ""}, {"value": 5}]}

    assert Property.of(raw).options == (Option(""),)


@given(st.integers())
@example(2**63)
@example(2**63 - 1)
@example(-(2**63) - 1)
@example(10**5000)
def test_an_order_that_no_bigint_holds_is_null(number: int):
    prop = Property.of({"name": "p", "displayOrder": number, "options": [
        {"value": "a", "displayOrder": number}]})  # fmt: skip

    expected = number if -(2**63) <= number < 2**63 else None
    assert prop.display_order == prop.options[0].display_order == expected


@pytest.mark.parametrize("raw", [{}, {"name": None}, {"name": ""}, {"name": 5}], ids=repr)
def test_definition_without_a_name_is_refused(raw: dict[str, object]):
    with pytest.raises(ValueError, match="needs a name"):
        Property.of(raw)


# ---------- kinds


@pytest.mark.parametrize(
    ("type_", "field_type", "kind"),
    [
        ("string", "text", Kind.TEXT),
        ("string", "html", Kind.TEXT),
        ("phone_number", "phonenumber", Kind.TEXT),
        ("object_coordinates", "text", Kind.TEXT),
        ("json", "text", Kind.TEXT),
        ("something_new", "checkbox", Kind.TEXT),
        (None, None, Kind.TEXT),
        ("number", "number", Kind.NUMBER),
        ("number", "calculation_equation", Kind.NUMBER),
        ("bool", "booleancheckbox", Kind.BOOLEAN),
        ("bool", "calculation_equation", Kind.BOOLEAN),
        ("date", "date", Kind.DATE),
        ("datetime", "date", Kind.DATETIME),
        ("datetime", "calculation_read_time", Kind.DATETIME),
        ("enumeration", "select", Kind.TEXT),
        ("enumeration", "radio", Kind.TEXT),
        ("enumeration", "booleancheckbox", Kind.BOOLEAN),
        ("enumeration", "checkbox", Kind.LIST),
        ("enumeration", None, Kind.TEXT),
    ],
)
def test_type_decides_how_values_are_read(type_: str | None, field_type: str | None, kind: Kind):
    assert kind_of(Property("p", type=type_, field_type=field_type)) is kind


@pytest.mark.parametrize("name", ["hs_additional_emails", "hs_queue_membership_ids"])
def test_some_selects_hold_lists(name: str):
    assert kind_of(Property(name, type="enumeration", field_type="select")) is Kind.LIST
    assert kind_of(Property(name, type="string", field_type="text")) is Kind.TEXT


def test_number_that_names_a_record_is_an_integer():
    owner = {"referenced_object_type": "OWNER"}

    assert kind_of(Property("hs_object_id", type="number")) is Kind.INTEGER
    assert kind_of(Property("company", type="number", **owner)) is Kind.INTEGER
    assert kind_of(Property("owner", type="enumeration", **owner)) is Kind.TEXT


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("text", Kind.TEXT),
        ("number double DOUBLE", Kind.NUMBER),
        ("integer bigint BigInt", Kind.INTEGER),
        ("boolean bool", Kind.BOOLEAN),
        ("date", Kind.DATE),
        ("datetime timestamp", Kind.DATETIME),
        ("list", Kind.LIST),
    ],
)
def test_override_wins_over_the_type(words: str, kind: Kind):
    prop = Property("hs_object_id", type="number")

    assert [kind_of(prop, word) for word in words.split()] == [kind] * len(words.split())


def test_unknown_override_lists_the_words_that_work():
    with pytest.raises(ValueError, match=r"'varchar' is not a type; .*: text, number, .*timestamp"):
        columns([Property("p")], overrides={"p": "varchar"})


def test_each_kind_has_a_warehouse_type():
    assert [kind.sql_type for kind in Kind] == [
        "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN", "DATE", "TIMESTAMPTZ", "JSON"
    ]  # fmt: skip


# ---------- names


def test_column_has_the_name_of_its_property():
    odd_names = ["email", "1st", "foo_", "foox", "é", "x" * 100, "Plain"]

    assert names(*odd_names) == {name: name for name in sorted(odd_names)}


@pytest.mark.parametrize("name", ["a b", "q\"uo'te", "semi;colon", "*", "line\nbreak"])
def test_characters_that_loaders_choke_on_are_replaced(name):
    """dlt cuts SQL at semicolons and renames quotes; the suffix keeps two such names apart."""
    (column,) = names(name).values()

    assert re.fullmatch(r"\w+__[0-9a-f]{6}", column)
    assert column != names(name + " ")[name + " "]


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Archived", "ID"])
def test_name_of_an_envelope_column_gets_a_suffix(name: str):
    assert names(name) == {name: f"{name}__{hexes(name)}"}


def test_prefix_of_the_loader_is_left_to_it():
    assert names("_dlt_id", "_DLT_x") == {
        "_dlt_id": f"dlt_id__{hexes('_dlt_id')}",
        "_DLT_x": f"DLT_x__{hexes('_DLT_x')}",
    }


def test_names_that_differ_in_case_stay_apart_and_lower_case_keeps_its_name():
    assert names("Camel", "camel", "CAMEL") == {
        "camel": "camel",
        "Camel": f"Camel__{hexes('Camel')}",
        "CAMEL": f"CAMEL__{hexes('CAMEL')}",
    }


def test_suffix_grows_when_it_is_taken_too():
    taken = f"id__{hexes('id')}"

    assert names("id", "ID", known={taken: {Kind.TEXT: taken}})["id"] == f"id__{hexes('id', 7)}"


def test_column_the_warehouse_has_is_kept_whoever_comes_later():
    known = {"Camel": {Kind.TEXT: "Camel"}, "gone": {Kind.TEXT: "new"}}

    assert names("camel", "Camel", "new", known=known) == {
        "Camel": "Camel",
        "camel": f"camel__{hexes('camel')}",
        "new": f"new__{hexes('new')}",
    }


def test_changed_kind_gets_a_new_column_and_the_old_one_when_it_changes_back():
    """A loaded column never changes its type: that would block every later load."""
    number, text = Property("amount", type="number"), Property("amount", type="string")
    known = {"amount": {Kind.NUMBER: "amount"}}
    assert names(text, known=known) == {"amount": "amount__v_text"}

    known = {"amount": {Kind.NUMBER: "amount", Kind.TEXT: "amount__v_text"}}
    assert names(text, known=known) == {"amount": "amount__v_text"}
    assert names(number, known=known) == {"amount": "amount"}
    assert names(number, known=known, overrides={"amount": "bool"}) == {
        "amount": "amount__v_boolean"
    }


def test_new_column_for_a_kind_does_not_take_another_propertys_name():
    known = {"a": {Kind.NUMBER: "a"}, "A__v_text": {Kind.TEXT: "A__v_text"}}

    assert names("a", "A__v_text", known=known)["a"] == f"a__v_text__{hexes('a')}"


@pytest.mark.parametrize("in_use", [Kind.NUMBER, Kind.INTEGER])
@pytest.mark.parametrize("reference", [None, "COMPANY"])
def test_choice_between_double_and_bigint_lasts(in_use: Kind, reference: str | None):
    """The first values seen made it; a column cannot go back on it."""
    other = {Kind.NUMBER: Kind.INTEGER, Kind.INTEGER: Kind.NUMBER}[in_use]
    prop = Property("n", type="number", referenced_object_type=reference)
    known = {"n": {other: "n", in_use: "n_now"}}

    assert columns([prop], known=known) == (Column("n", "n_now", in_use),)
    assert columns([prop], known=known, overrides={"n": other}) == (Column("n", "n", other),)


def test_other_kinds_follow_the_definition():
    known = {"n": {Kind.INTEGER: "n", Kind.TEXT: "n__v_text"}}

    assert columns([Property("n", type="number")], known=known) == (
        Column("n", "n__v_number", Kind.NUMBER),
    )


def test_live_definition_counts_when_an_archived_one_has_its_name():
    live, gone = Property("p", type="date"), Property("p", type="number", archived=True)

    assert columns([live, gone]) == columns([gone, live]) == (Column("p", "p", Kind.DATE),)


@given(
    wanted=st.lists(st.text("aAbB_1", min_size=1, max_size=4), max_size=12),
    seed=st.integers(0, 99),
)
def test_columns_do_not_depend_on_the_order_and_never_collide(wanted: list[str], seed: int):
    properties = [Property(name) for name in [*wanted, "id", "ID", "_dlt_load_id"]]
    shuffled = random.Random(seed).sample(properties, len(properties))
    found = columns(properties)

    assert columns(shuffled) == found
    taken = [column.name.casefold() for column in found]
    assert len(set(taken)) == len(taken) == len({p.name for p in properties})
    assert not RESERVED & set(taken)
    assert not [name for name in taken if name.startswith("_dlt_")]


@given(wanted=st.lists(st.text("aAbB", min_size=1, max_size=3), max_size=8, unique=True))
def test_columns_stay_once_the_warehouse_has_them(wanted: list[str]):
    first = columns([Property(name) for name in wanted[:4]])
    known = {column.property: {column.kind: column.name} for column in first}
    later = columns([Property(name) for name in wanted], known=known)

    assert set(first) <= set(later)


@pytest.mark.parametrize(
    ("label", "description", "comment"),
    [
        ("Score", "How warm.", "Score: How warm."),
        ("Score", "", "Score"),
        ("Score", "Score", "Score"),
        (None, "How warm.", "How warm."),
        (" ", None, None),
    ],
)
def test_comment_is_what_hubspot_tells_people(
    label: str | None, description: str | None, comment: str | None
):
    prop = Property("p", label=label, description=description)

    assert columns([prop])[0].comment == comment
