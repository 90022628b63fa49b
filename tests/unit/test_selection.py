"""Which records a backfill is asked for."""

from __future__ import annotations

from pipelines.selection import in_file


def test_values_of_hs_object_id_are_ids_like_any_others(tmp_path):
    """In one spelling, and what is none is malformed, not a value to ask HubSpot for."""
    file = tmp_path / "ids.txt"
    file.write_text("007\n7\nabc\n")

    selection = in_file(file, "hs_object_id")

    assert selection.id_property is None
    assert selection.ids.ids.to_list() == ["7"]
    assert selection.ids.malformed.rows() == [(3, "abc")]
