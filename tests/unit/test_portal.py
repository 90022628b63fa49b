"""The simulated account: what is in it, and that the same seed gives the same one."""

import math
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from pipelines.simulator.links import Link
from pipelines.simulator.pair import BUSIEST
from pipelines.simulator.portal import NOW, Portal

DOCUMENTED = {
    "property_checkbox": "false",
    "property_date": "1572480000000",
    "property_dropdown": "choice_b",
    "property_multiple_checkboxes": "chocolate;strawberry",
    "property_number": "17",
    "property_radio": "option_1",
    "property_string": "value",
}


@pytest.fixture(scope="module")
def portal():
    return Portal.build(contacts=2000, calls=1000, seed=7)


def records(portal, object_type):
    return {int(record["id"]): record for record in portal.truth(object_type)}


def can_be_read(definition, raw):  # noqa: PLR0911  (a line for each type)
    """An independent reading of one value: does it fit the type of its property?"""
    try:
        if definition["type"] == "bool" or definition["fieldType"] == "booleancheckbox":
            return raw in {"true", "false"}
        if definition["type"] == "number":
            return bool(re.fullmatch(r"[+-]?\d*\.?\d+([eE][+-]?\d+)?", raw)) and math.isfinite(
                float(raw)
            )
        if definition["type"] in {"date", "datetime"} and re.fullmatch(r"-?\d{11,}|0", raw):
            return definition["type"] == "datetime" or int(raw) % 86_400_000 == 0
        if definition["type"] == "date":
            return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", raw) and date.fromisoformat(raw))
        if definition["type"] == "datetime":
            return bool(datetime.strptime(raw[:19], "%Y-%m-%dT%H:%M:%S")) and raw[-1] == "Z"  # noqa: DTZ007  (only whether it parses)
    except ValueError:
        return False
    return True


def test_the_documented_example_is_in_the_smallest_portal():
    """A reader of HubSpot's reference finds its record 512 again."""
    [example] = [r for r in Portal.build(contacts=1, calls=0).truth("contacts") if r["id"] == "512"]

    assert {name: example["properties"][name] for name in DOCUMENTED} == DOCUMENTED
    assert example["createdAt"] == "2019-10-30T03:30:17.883Z"
    assert example["updatedAt"] == "2019-12-07T16:50:06.678Z"
    assert example["archived"] is False


def test_the_same_seed_gives_the_same_portal(portal):
    again = Portal.build(contacts=2000, calls=1000, seed=7)

    assert list(again.truth("contacts")) == list(portal.truth("contacts"))
    assert list(again.truth("calls")) == list(portal.truth("calls"))
    assert again.aliases("contacts") == portal.aliases("contacts")
    assert again.broken("calls") == portal.broken("calls")


def test_another_seed_gives_another_portal(portal):
    other = Portal.build(contacts=2000, calls=1000, seed=8)

    assert list(other.truth("contacts")) != list(portal.truth("contacts"))


@pytest.mark.parametrize("count", [1, 2, 3, 50, 999])
def test_the_count_is_the_count_of_live_contacts(count):
    """Archived and merged-away ids come on top."""
    portal = Portal.build(contacts=count, calls=count)

    for object_type in ("contacts", "calls"):
        live = [r for r in portal.truth(object_type) if not r["archived"]]
        assert len(live) == count


def test_ids_are_ascending_with_gaps_and_of_many_lengths(portal):
    ids = [int(r["id"]) for r in portal.truth("contacts") if not r["archived"]]

    assert ids == sorted(set(ids))
    assert {len(str(i)) for i in ids} == {3, 4, 5, 6, 8, 9, 11, 12}


def test_archived_records_say_when(portal):
    archived = [r for r in portal.truth("contacts") if r["archived"]]

    assert len(archived) == 20
    assert all(r["archivedAt"] >= r["updatedAt"][:10] for r in archived)


def test_nothing_is_younger_than_now(portal):
    for object_type in ("contacts", "calls"):
        for record in portal.truth(object_type):
            assert record["createdAt"][:19] <= record["updatedAt"][:19] < f"{NOW:%Y-%m-%dT%H:%M:%S}"


def test_merged_away_ids_are_gone_and_listed_by_their_winner(portal):
    found = records(portal, "contacts")
    aliases = portal.aliases("contacts")

    assert len(aliases) >= 4
    for old, current in aliases.items():
        properties = found[current]["properties"]
        assert old not in found
        assert str(old) in properties["hs_merged_object_ids"].split(";")
        assert str(old) in properties["hs_all_contact_vids"].split(";")
        assert f"{old}:" in properties["hs_calculated_merged_vids"]
    assert any(current > max(set(aliases) | {0}) for current in aliases.values())


def assert_only_the_broken_are_broken(portal, object_type):
    definitions = {d["name"]: d for d in portal.properties(object_type)}
    unreadable = {
        (int(record["id"]), name, raw)
        for record in portal.truth(object_type)
        for name, raw in record["properties"].items()
        if raw and not can_be_read(definitions[name], raw)
    }

    assert unreadable == set(portal.broken(object_type))
    assert len(unreadable) == math.ceil(0.005 * len(list(portal.truth(object_type))))


@pytest.mark.parametrize("object_type", ["contacts", "calls"])
def test_only_the_broken_values_are_broken(portal, object_type):
    """Tests may expect exactly these values, and no others, to be rejected."""
    assert_only_the_broken_are_broken(portal, object_type)


@pytest.mark.parametrize(("object_type", "count"), [("contacts", 60), ("calls", 30)])
def test_properties_are_alphabetical_and_as_many_as_promised(portal, object_type, count):
    record = next(portal.truth(object_type))

    assert list(record["properties"]) == sorted(record["properties"])
    assert len(portal.properties(object_type)) >= count


def test_every_kind_of_property_is_there(portal):
    kinds = {
        (definition["type"], definition["fieldType"])
        for object_type in ("contacts", "calls")
        for definition in portal.properties(object_type)
    }

    assert kinds >= {
        ("bool", "booleancheckbox"),
        ("bool", "calculation_equation"),
        ("date", "date"),
        ("datetime", "calculation_read_time"),
        ("datetime", "calculation_rollup"),
        ("datetime", "date"),
        ("enumeration", "booleancheckbox"),
        ("enumeration", "checkbox"),
        ("enumeration", "radio"),
        ("enumeration", "select"),
        ("json", "text"),
        ("number", "calculation_equation"),
        ("number", "calculation_rollup"),
        ("number", "calculation_score"),
        ("number", "number"),
        ("object_coordinates", "text"),
        ("phone_number", "phonenumber"),
        ("string", "file"),
        ("string", "html"),
        ("string", "phonenumber"),
        ("string", "text"),
        ("string", "textarea"),
    }


def test_values_are_null_empty_and_absent_side_by_side(portal):
    names = {d["name"] for d in portal.properties("contacts")} - {"risk_note"}
    values = [record["properties"] for record in portal.truth("contacts")]

    assert any(value is None for v in values for value in v.values())
    assert any(value == "" for v in values for value in v.values())
    assert any(names - set(v) for v in values)


def test_oddities_of_every_sort_occur(portal):
    """Each of these has broken somebody's pipeline."""
    contacts = [r["properties"] for r in portal.truth("contacts")]

    def any_value(name, pattern):
        return any(re.search(pattern, p.get(name) or "", re.DOTALL) for p in contacts)

    assert any_value("property_number", r"\.\d{50,}")
    assert any_value("property_number", r"E")
    assert any_value("associatedcompanyid", r"^\d{19}$")
    assert any_value("birthday", r"^-\d+$")
    assert any_value("birthday", r"^\d{4}-")
    assert any_value("hs_latest_sequence_enrolled_date", r"^\d{13}$")
    assert any_value("closedate", r":\d\dZ$")
    assert any_value("closedate", r"\.\d{3}Z$")
    assert any_value("property_string", "\u00a0$")
    assert any_value("property_string", r"^  ")
    assert any_value("property_string", "👩‍👩‍👧")
    assert any_value("property_string", "مرحبا")
    assert any_value("message", r"^.{65536}$")
    assert any_value("favourite_colours", r"^;.*;;|^;.*;$")


def test_update_moves_the_modified_date_and_heals_a_broken_value():
    portal = Portal.build(contacts=400, calls=0)
    record_id, name, _ = portal.broken("contacts")[0]
    at = datetime(2026, 12, 1, tzinfo=UTC)
    if record_id not in portal.records["contacts"].live:
        pytest.skip("the first broken record is archived")

    portal.update("contacts", record_id, {name: "", "firstname": "New"}, at=at)

    record = records(portal, "contacts")[record_id]
    assert record["properties"]["firstname"] == "New"
    assert record["properties"]["lastmodifieddate"] == "2026-12-01T00:00:00Z"
    assert record["updatedAt"] == "2026-12-01T00:00:00Z"
    assert record_id not in {broken[0] for broken in portal.broken("contacts")}


def test_changes_without_a_moment_follow_each_other():
    portal = Portal.build(contacts=3, calls=0)

    portal.update("contacts", 512, {"firstname": "First"})
    first = records(portal, "contacts")[512]["updatedAt"]
    portal.update("contacts", 512, {"firstname": "Second"})

    assert first < records(portal, "contacts")[512]["updatedAt"]
    assert portal.now == NOW + timedelta(seconds=2)


def test_create_archive_and_delete():
    portal = Portal.build(contacts=5, calls=0)
    before = set(records(portal, "contacts"))

    created = portal.create("contacts", {"email": "new@example.com"})
    portal.archive("contacts", 512)
    gone = min(before - {512})
    portal.delete("contacts", gone)

    after = records(portal, "contacts")
    assert set(after) == before - {gone} | {created}
    assert created > max(before)
    assert after[created]["properties"]["email"] == "new@example.com"
    assert after[created]["properties"]["firstname"] is None
    assert after[512]["archived"] is True


@pytest.mark.parametrize("keep_primary_id", [True, False])
def test_merge_chains_end_at_the_last_winner(keep_primary_id):
    """An id merged away twice answers under the winner of the second merge."""
    portal = Portal.build(contacts=20, calls=0)
    first, second, third = portal.records["contacts"].live[-3:]

    winner = portal.merge(first, second, keep_primary_id=keep_primary_id)
    last = portal.merge(third, winner, keep_primary_id=keep_primary_id)

    aliases = portal.aliases("contacts")
    assert aliases[second] == last
    assert aliases[winner] == last
    assert (last == third) is keep_primary_id
    assert second not in records(portal, "contacts")


def test_properties_come_go_and_change_type():
    portal = Portal.build(contacts=2, calls=0)

    portal.add_property("contacts", "shoe_size", "number/number")
    portal.update("contacts", 512, {"shoe_size": "44"})
    portal.archive_property("contacts", "birthday")
    portal.change_property_type("contacts", "shoe_size", "string/text")

    properties = records(portal, "contacts")[512]["properties"]
    assert properties["shoe_size"] == "44"
    assert "birthday" not in properties
    live = {d["name"]: d for d in portal.properties("contacts")}
    assert (live["shoe_size"]["type"], live["shoe_size"]["fieldType"]) == ("string", "text")
    assert "hubspotDefined" not in live["shoe_size"]
    assert "birthday" in {d["name"] for d in portal.properties("contacts", archived=True)}


@pytest.mark.parametrize(("contacts", "calls"), [(0, 5), (-1, 5), (5, -1)])
def test_counts_that_cannot_be_are_refused(contacts, calls):
    with pytest.raises(ValueError, match="1 or more"):
        Portal.build(contacts=contacts, calls=calls)


def test_changing_what_is_not_there_is_refused():
    portal = Portal.build(contacts=1, calls=0)

    with pytest.raises(KeyError):
        portal.update("contacts", 511, {"firstname": "x"})
    with pytest.raises(KeyError):
        portal.update("contacts", 512, {"no_such_property": "x"})


# ---------------------------------------------------------------- other objects


def test_other_objects_change_nothing_about_contacts_and_calls():
    """Expected values of many tests hang on them."""
    plain = Portal.build(contacts=300, calls=100)
    more = Portal.build(contacts=300, calls=100, companies=50, deals=40, tickets=30, machines=20)

    for object_type in ("contacts", "calls"):
        assert list(plain.truth(object_type)) == list(more.truth(object_type))
    assert [len(more.records[name].live) for name in ("companies", "deals", "tickets")] == [
        50, 40, 30,
    ]  # fmt: skip
    assert list(plain.truth("companies")) == []


@pytest.mark.parametrize("object_type", ["companies", "deals", "tickets", "machines"])
def test_of_other_objects_only_the_broken_values_are_broken(object_type):
    portal = Portal.build(contacts=1, calls=0, **{object_type: 600})
    assert_only_the_broken_are_broken(portal, object_type)


@pytest.mark.parametrize("object_type", ["companies", "machines"])
def test_other_objects_change_as_contacts_do(object_type):
    portal = Portal.build(contacts=1, calls=0, companies=5, machines=5)
    first, second, third = portal.records[object_type].live[:3]

    portal.add_property(object_type, "shoe_size", "number/number")
    portal.update(object_type, first, {"shoe_size": "44"})
    portal.archive(object_type, second)
    portal.delete(object_type, third)
    created = portal.create(object_type, {"shoe_size": "41"})

    found = records(portal, object_type)
    assert [found[one]["properties"]["shoe_size"] for one in (first, created)] == ["44", "41"]
    assert found[second]["archived"]
    assert third not in found


def test_a_type_that_there_is_not_is_no_key():
    with pytest.raises(KeyError):
        Portal.build(contacts=1).truth("butterflies")


# ---------------------------------------------------------------- associations

PAIRS = [("contacts", "calls"), ("companies", "contacts"), ("contacts", "deals"),
         ("machines", "contacts"), ("calls", "companies"), ("deals", "tickets")]  # fmt: skip


def with_everything(**more):
    counts = {"contacts": 200, "calls": 150, "companies": 60, "deals": 40, "tickets": 40}
    return Portal.build(**{**counts, "machines": 30, **more})


def pairs_of(links):
    return {(link.from_id, link.to_id) for link in links}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_both_directions_agree(one, other):
    portal = with_everything()
    there, back = portal.associations(one, other), portal.associations(other, one)

    assert pairs_of(there) == {(b, a) for a, b in pairs_of(back)}
    assert len(there) == len(back) == len(set(there)) > 20
    assert {link.type_id for link in there}.isdisjoint({link.type_id for link in back})


def test_some_have_none_some_several_and_one_very_many():
    portal = Portal.build(contacts=3000, calls=2500)
    counts = Counter(from_id for from_id, _ in pairs_of(portal.associations("contacts", "calls")))

    assert 512 in counts
    assert counts[512] > BUSIEST - 50
    assert len(set(portal.records["contacts"].live) - set(counts)) > 100
    assert sum(count > 1 for count in counts.values()) > 100


def test_a_contact_has_one_primary_company_at_most():
    portal = with_everything()

    def primaries(contact):
        links = portal.associations("contacts", "companies")
        return [one.to_id for one in links if (one.from_id, one.label) == (contact, "Primary")]

    contact = portal.create("contacts", {})
    first, second = portal.records["companies"].live[:2]
    portal.link("contacts", contact, "companies", first, second, labels=["Primary"])
    before = primaries(contact)
    portal.relabel("companies", first, "contacts", contact, "Primary", "Employee")

    every = [
        one.from_id
        for one in portal.associations("contacts", "companies")
        if one.label == "Primary"
    ]
    assert (before, primaries(contact)) == ([second], [first])
    assert len(every) == len(set(every))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_links_are_the_same_whenever_they_are_asked_for(one, other):
    """What happens to records first does not decide who was associated with whom."""

    def change(portal):
        first, second, third, fourth = portal.records["contacts"].live[3:7]
        winner = portal.merge(first, second)
        portal.merge(winner, third, keep_primary_id=True)
        portal.delete("contacts", fourth)
        portal.create("contacts", {})
        portal.archive(one, portal.records[one].live[-2])

    early, late = with_everything(), with_everything()
    early.associations(one, other)
    for portal in (early, late):
        change(portal)

    assert early.associations(one, other) == late.associations(one, other)
    assert early.associations(one, other) != with_everything(seed=2).associations(one, other)


@pytest.mark.parametrize("keep_primary_id", [True, False])
def test_a_merge_moves_links_to_the_winner(keep_primary_id):
    portal = with_everything()
    loser, winner = (portal.create("contacts", {}) for _ in range(2))
    first, second, third = portal.records["companies"].live[:3]
    portal.link("contacts", winner, "companies", first, labels=["Primary"])
    portal.link("contacts", winner, "companies", second)
    portal.link("contacts", loser, "companies", second, labels=["Employer"])
    portal.link("contacts", loser, "companies", third, labels=["Primary"])

    merged = portal.merge(winner, loser, keep_primary_id=keep_primary_id)

    links = [one for one in portal.associations("contacts", "companies") if one.from_id >= loser]
    assert links == [
        Link(merged, first, "HUBSPOT_DEFINED", 1, "Primary"),
        Link(merged, first, "HUBSPOT_DEFINED", 279, None),
        Link(merged, second, "USER_DEFINED", 101, "Employer"),
        Link(merged, second, "HUBSPOT_DEFINED", 279, None),
        Link(merged, third, "HUBSPOT_DEFINED", 279, None),
    ]


def test_a_heavy_portal_is_linked_in_one_go_and_keeps_its_order():
    portal = Portal.build(contacts=30, calls=1000)
    contacts, calls = portal.records["contacts"].live, portal.records["calls"].live

    for contact in reversed(contacts):
        portal.link("contacts", contact, "calls", *reversed(calls))

    links = portal.associations("calls", "contacts")
    assert pairs_of(links) == {(call, contact) for call in calls for contact in contacts}
    assert links == sorted(links)


@pytest.mark.parametrize(
    ("change", "arguments", "labels"),
    [
        ("link", ("contacts", 1, "calls", "call"), {}),
        ("link", ("contacts", "contact", "calls", 1), {}),
        ("link", ("contacts", "contact", "calls", "call"), {"labels": ["None such"]}),
        ("link", ("calls", "call", "machines", 1), {}),
        ("unlink", ("contacts", "contact", "calls", "call"), {}),
        ("relabel", ("contacts", "contact", "calls", "call"), {}),
        ("add_label", ("calls", "machines", "About"), {}),
    ],
)
def test_links_that_cannot_be_are_refused(change, arguments, labels):
    portal = with_everything()
    ids = {"contact": portal.create("contacts", {}), "call": portal.records["calls"].live[0]}
    before = portal.associations("contacts", "calls")

    with pytest.raises(KeyError):
        getattr(portal, change)(*(ids.get(one, one) for one in arguments), **labels)

    assert portal.associations("contacts", "calls") == before
