"""Every version of HubSpot's API lands the same, and `crm doctor --compare` says if one would not.

That each version lands everything is in `test_truth`; here versions meet one another.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import BY_THE_CLOCK, assert_one_line, crm, dump, json_lines, rows, synced

from pipelines.simulator.app import app
from pipelines.simulator.portal import Portal
from pipelines.simulator.server import serve
from pipelines.simulator.variants import Deviation, Variants

pytestmark = pytest.mark.own_version

WAREHOUSE = "warehouse.duckdb"
VERSION = "SOURCES__HUBSPOT__API_VERSION"
GONE_IN_2026_09 = {"number_display_hint", "text_display_hint", "currency_property_name"}
FOLDED = Variants(missing_ids_2026_09=200)


@pytest.fixture
def portal():
    return Portal.build(contacts=130, calls=40, seed=6)


# ---------------------------------------------------------------- syncing


def test_2026_09_lands_the_same_tables_but_for_hints_that_it_does_not_give(
    portal, simulator, tmp_path
):
    """Switching the version is one setting, and may not move a single cell of a record."""
    v3, newest = tmp_path / "v3.duckdb", tmp_path / "newest.duckdb"
    synced(simulator(portal=portal), v3)
    synced(simulator(portal=portal, api_version="2026-09", variants=FOLDED), newest)

    without = BY_THE_CLOCK | GONE_IN_2026_09
    assert dump(newest, without=without) == dump(v3, without=without)
    for name in GONE_IN_2026_09:
        assert rows(v3, f"select count({name}) > 0 from crm.properties") == [(True,)]
        assert rows(newest, f"select count({name}) from crm.properties") == [(0,)]


@pytest.mark.parametrize(
    ("version", "variants", "said"),
    [
        pytest.param("v3", Variants(), ("OBJECT_NOT_FOUND", 207), id="v3"),
        pytest.param("2026-09", FOLDED, ("OBJECT_NOT_FOUND", 200), id="2026-09, folded into 200"),
        pytest.param(
            "2026-09", replace(FOLDED, error_fields="message only"), ("NOT_RETURNED", 200),
            id="2026-09, errors without fields",
        ),
        pytest.param(
            "2026-03", Variants(error_fields="message only"), ("NOT_RETURNED", 207),
            id="2026-03, errors without fields", marks=pytest.mark.slow,
        ),
        pytest.param(
            "2026-09", Variants(), ("OBJECT_NOT_FOUND", 207), id="2026-09, still 207",
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_ids_that_are_not_found_are_accounted_for_whatever_the_answer_looks_like(
    version, variants, said, simulator, tmp_path
):
    """A partial answer is told by its body; ids are compared, not believed."""
    portal = Portal.build(contacts=130, calls=0)
    lost = frozenset(portal.records["contacts"].live[3:5])
    variants = replace(variants, deviation=Deviation(version=version, unknown=lost))
    running = simulator(portal=portal, api_version=version, variants=variants)

    outcome = synced(running, tmp_path / WAREHOUSE, ("contacts",))

    (row,) = outcome.runs
    assert (row.status, row.error_ids) == ("complete", 2)
    assert rows(
        tmp_path / WAREHOUSE,
        "select object_id::bigint, category, http_status from crm.errors "
        "where stage = 'read' order by all",
    ) == [(record_id, *said) for record_id in sorted(lost)]


# ---------------------------------------------------------------- crm doctor --compare


def compare_with(version: str, running, folder, **env: str) -> tuple[int, list[str]]:
    """The exit code of `crm doctor --compare`, and its lines about that."""
    done = crm("doctor", "--compare", version, cwd=folder, simulator=running, env=env)
    assert done.stderr == ""
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    return done.returncode, [line for line in lines if line.split()[1] == "compare"]


def cells_of(portal, object_type: str) -> tuple[int, int]:
    """How many records and cells there are to compare, of a portal that fits the sample."""
    read = [
        d for d in portal.properties(object_type) if d["dataSensitivity"] == "non_sensitive"
    ]  # and four of the envelope
    count = len(list(portal.truth(object_type)))
    return count, count * (len(read) + 4)


@pytest.mark.parametrize(
    ("configured", "other"),
    [
        pytest.param("v3", "2026-09", id="v3 with 2026-09"),
        pytest.param("2026-09", "2026-03", id="dated ones", marks=pytest.mark.slow),
    ],
)
def test_compare_counts_what_it_held_against_each_other(
    configured, other, portal, simulator, tmp_path
):
    """It is worth as much as what was looked at: live and archived records, every cell."""
    running = simulator(portal=portal, variants=replace(FOLDED, warnings=True))

    exit_code, lines = compare_with(other, running, tmp_path, **{VERSION: configured})

    assert exit_code == 0
    assert lines == [
        f"ok compare {name}: {configured} and {other} agree: {records:,} records, {cells:,} cells"
        for name in ("contacts", "calls")
        for records, cells in [cells_of(portal, name)]
    ]
    assert running.statistics.count < 60
    assert not any(tmp_path.iterdir())


def test_compare_reads_a_sample_of_a_large_portal(simulator, tmp_path):
    """The oldest 100, the newest 100 and some archived ones: it may not take an hour."""
    running = simulator(contacts=6000, calls=0)

    exit_code, (contacts, calls) = compare_with("2026-03", running, tmp_path)

    assert exit_code == 0
    assert ": 250 records, " in contacts
    assert calls.endswith(": 0 records, 0 cells")


def test_compare_names_what_differs_and_shows_no_value(portal, simulator, tmp_path):
    """Properties and ids, so that somebody can look; values may be personal data."""
    first, second, third, fourth, *_ = portal.records["contacts"].live
    portal.update("contacts", second, {"email": "jane.doe@private.example"})
    deviation = Deviation(
        version="2026-09",
        undefined=frozenset({"city"}),
        kinds={"annual_budget": "string/text"},
        values={first: {"lastname": "Hidden-Person"}, second: {"email": None}},
        unlisted=frozenset({third}),
        unknown=frozenset({fourth}),
    )
    running = simulator(portal=portal, variants=Variants(deviation=deviation))

    exit_code, (contacts, calls) = compare_with("2026-09", running, tmp_path)

    number, text = "number/number as DOUBLE", "string/text as VARCHAR"
    assert exit_code == 4
    assert contacts.startswith("NO compare contacts: v3 and 2026-09 differ (")
    assert contacts.split(" compared): ")[1].split("; ") == [
        "only v3 defines city",
        f"types differ of annual_budget ({number} in v3, {text} in 2026-09)",
        f"only v3 lists 1 record: {third}",
        f"only v3 returns 1 record: {fourth}",
        f"values differ of lastname (1 record: {first})",
        f"only v3 has values of email (1 record: {second})",
    ]
    assert calls.startswith("ok compare calls: v3 and 2026-09 agree")


def test_compare_in_json_is_a_finding_like_the_others(portal, simulator, tmp_path):
    """One object a line, for whatever reads the other checks."""
    deviation = Deviation(version="2026-09", undefined=frozenset({"hs_call_title"}))
    running = simulator(portal=portal, variants=Variants(deviation=deviation))

    done = crm(
        "doctor", "--compare", "2026-09", "--log-format", "json", cwd=tmp_path, simulator=running
    )

    found = [line for line in json_lines(done.stdout) if line["check"] == "compare"]
    assert done.returncode == 4
    assert [line["ok"] for line in found] == [True, False]
    assert "only v3 defines hs_call_title" in found[1]["is"]


def test_a_record_changed_between_the_two_readings_is_no_difference(portal, simulator, tmp_path):
    """People go on working while versions are compared: what differs is read again."""
    first = portal.records["contacts"].live[0]
    running = simulator(portal=portal)
    answering, changes = app(portal, token=running.token, requests_per_10s=10_000), []

    async def meddling(scope, receive, send):
        if scope["path"] == "/crm/objects/2026-09/contacts/batch/read" and not changes:
            changes.append(portal.update("contacts", first, {"lastname": "Changed meanwhile"}))
        await answering(scope, receive, send)

    with serve(meddling) as url:
        exit_code, lines = compare_with("2026-09", replace(running, base_url=url), tmp_path)

    assert changes
    assert (exit_code, lines[0][:21]) == (0, "ok compare contacts: ")


def test_a_property_that_the_settings_name_and_the_version_lacks_is_a_difference(
    portal, simulator, tmp_path
):
    """A run of that version would refuse its settings; exit 2 would blame them now."""
    deviation = Deviation(version="2026-09", undefined=frozenset({"city"}))
    running = simulator(portal=portal, variants=Variants(deviation=deviation))
    names = {"SOURCES__HUBSPOT__CONTACTS__PROPERTIES": '["email", "city"]'}

    exit_code, (contacts, _) = compare_with("2026-09", running, tmp_path, **names)

    assert exit_code == 4
    assert contacts.startswith("NO compare contacts: in 2026-09, sources.hubspot.contacts.")
    assert "'city'" in contacts


def test_a_version_that_does_not_answer_is_one_line(portal, simulator, tmp_path):
    """HubSpot's own page for unknown paths says nothing to anybody."""
    running = simulator(portal=portal, versions=["v3", "2026-03"])

    exit_code, lines = compare_with("2026-09", running, tmp_path)

    assert exit_code == 4
    assert lines == [f"NO compare HubSpot does not know version 2026-09: 404 at {running.base_url}"]


def test_a_configured_version_that_hubspot_has_retired_is_named(portal, simulator, tmp_path):
    """Versions end after 18 months: the line must not send people after the address alone."""
    running = simulator(portal=portal, versions=["2026-03", "2026-09"])

    done = crm("sync", "--quiet", cwd=tmp_path, simulator=running)

    assert_one_line(done, 4, running.base_url, "HTML", "sources.hubspot.api_version")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        pytest.param("2027-03", ["'2027-03'", "2026-03, 2026-09"], id="unknown"),
        pytest.param("v3", ["v3", "2026-03, 2026-09"], id="the configured one"),
    ],
)
def test_a_version_that_cannot_be_compared_ends_with_2(version, words, running_once, tmp_path):
    """Nothing is sent for a typing error; the line has the versions there are."""
    before = running_once.statistics.count

    done = crm("doctor", "--compare", version, cwd=tmp_path, simulator=running_once)

    assert_one_line(done, 2, *words)
    assert (done.stdout, running_once.statistics.count) == ("", before)


@pytest.fixture(scope="module")
def running_once(shared_simulator):
    """A portal for commands that must not reach it."""
    return shared_simulator(contacts=1, calls=0)
