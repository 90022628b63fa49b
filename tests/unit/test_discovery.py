"""Which ids a run will read, whatever HubSpot's list looks like."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from hubspot_server import Reply, Request, client_for, served
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.discovery import changed, discovered, listed
from pipelines.errors import TerminalError
from pipelines.idpages import IdPage
from pipelines.keyset import Window
from pipelines.side_by_side import EMPTY_PAGES


def page(ids: list[str], after: str | None = None) -> Reply:
    paging = {"paging": {"next": {"after": after}}} if after is not None else {}
    return Reply(200, {"results": [{"id": one} for one in ids], **paging})


def pages_of(*script, after: str | None = None, at_most: int = 10_000) -> list[IdPage]:
    """The stream's pages, and it fails when the stream does."""

    async def run() -> list[IdPage]:
        found: list[IdPage] = []
        async with served(*script) as server, client_for(server.url) as client:
            async for one in listed(client, "contacts", after=after):
                found.append(one)
                assert len(found) <= at_most
        return found

    return asyncio.run(run())


def asked_after(request: Request) -> str | None:
    return parse_qs(urlsplit(request.target).query).get("after", [None])[0]


def keyset(ids: list[int], size: int):
    """A list that gives `size` ids a page, whatever `limit` it is asked with."""

    def reply(request: Request) -> Reply:
        rest = [n for n in ids if n >= int(asked_after(request) or 0)]
        return page([str(n) for n in rest[:size]], str(rest[size]) if rest[size:] else None)

    return reply


@settings(max_examples=30, deadline=None)
@given(
    ids=st.sets(st.integers(1, 10**6), max_size=700).map(sorted), size=st.sampled_from([100, 250])
)
def test_a_list_that_ignores_the_limit_gives_all_ids_from_wherever_it_goes_on(ids, size):
    """A run that was cut off after any part asks on from there, and misses nothing."""
    pages = pages_of(keyset(ids, size))

    assert [int(one) for part in pages for one in part.ids] == ids
    assert all(len(part.ids) <= 100 and part.is_fresh for part in pages)
    assert [part.after for part in pages].index(None) == len(pages) - 1
    for number, part in enumerate(pages[:-1], start=1):
        rest = pages_of(keyset(ids, size), after=part.after)
        assert [one for later in rest for one in later.ids] == [
            one for later in pages[number:] for one in later.ids
        ]


@pytest.mark.parametrize(("begun_at", "again"), [(None, "0"), ("7", "7")])
def test_parts_of_a_page_without_order_go_on_at_its_beginning(begun_at, again):
    """Any id in it may stand before ids that are lower: those would be passed by."""
    ids = [str(n) for n in range(1000, 750, -1)]

    pages = pages_of(page(ids), after=begun_at)

    assert [one for part in pages for one in part.ids] == ids
    assert [(len(part.ids), part.after) for part in pages] == [
        (100, again), (100, again), (50, None)
    ]  # fmt: skip
    assert not any(part.is_fresh for part in pages)


@pytest.mark.parametrize("odd", ["9" * 5000, "x", "-1", ""])
def test_an_id_that_is_no_number_is_asked_for_like_any_other(odd):
    """What HubSpot says to it is a row of `errors`."""
    (only,) = pages_of(page(["1", odd, "2"]))

    assert only == IdPage(("1", odd, "2"), None, is_fresh=False)


def test_empty_pages_without_end_are_not_followed_without_end():
    """Each has a new `after`, so it is no circle; nor is it a list."""
    numbers = itertools.count(1)

    with pytest.raises(TerminalError, match=f"list of contacts has {EMPTY_PAGES} empty pages"):
        pages_of(lambda _: page([], str(next(numbers))))


def test_some_empty_pages_are_no_end():
    """Records may have been deleted since the list was made."""
    gaps = [[page([], str(n)) for n in range(start + 1, start + EMPTY_PAGES)] for start in (1, 500)]

    pages = pages_of(page(["1"], "1a"), *gaps[0], page(["500"], "500a"), *gaps[1], page([]))

    assert [part.ids for part in pages] == [("1",), ("500",), ()]


def test_a_range_of_a_list_that_is_no_keyset_has_the_ids_inside():
    """Such a list is followed from its beginning, and has no range of its own."""

    async def run() -> list[str]:
        script = (page(["5", "1", "9"], "token"), page(["5", "1", "9"], "token"), page(["7", "10"]))
        async with served(*script) as server, client_for(server.url) as client:
            pages = discovered(client, "contacts", low=2, high=10, is_searched=False)
            return [one async for found in pages for one in found.ids]

    assert asyncio.run(run()) == ["5", "9", "7"]


def test_a_search_that_counts_more_than_it_shows_is_not_at_its_end():
    """Without a next page, too: what is left out in silence would be missed for ever."""

    def found(*ids: int, total: int) -> Reply:
        return Reply(200, {"total": total, "results": [{"id": str(one)} for one in ids]})

    async def run() -> list[str]:
        script = (found(1, 2, total=3), found(7, total=1))
        async with served(*script) as server, client_for(server.url) as client:
            window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
            pages = changed(client, "contacts", window)
            return [one async for page_ in pages for one in page_.ids]

    assert asyncio.run(run()) == ["1", "2", "7"]


def test_what_a_search_counts_and_does_not_show_is_left_to_the_list():
    """It only helps: an empty page of it is no proof that there is nothing."""
    ids = list(range(1, 40_001, 4))

    def reply(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(200, {"total": len(ids), "results": []})
        return keyset(ids, 100)(request)

    async def run() -> list[int]:
        async with served(reply) as server, client_for(server.url) as client:
            pages = discovered(client, "contacts", greatest=ids[-1], expected=len(ids))
            return [int(one) async for found in pages for one in found.ids]

    assert sorted(asyncio.run(run())) == ids
