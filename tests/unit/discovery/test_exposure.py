"""Exposure: sums of who was shown where, chained by digests."""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.discovery.exposure import NONE_BEFORE, PLACES, Exposure, place_of, shares, table

COUNTS = {("b", "0x02", 1): 4, ("a", "0x01", 3): 2, ("a", "0x01", 0): 9, ("a", "0x01", 12): 1}
SEED = "0x" + "05" * 32


def test_a_table_is_one_document_whatever_order_it_was_counted_in() -> None:
    """And another digest as soon as one count, the seed or a period before it is another."""
    first = table(7, SEED, NONE_BEFORE, COUNTS)
    assert Exposure.decode(first.encode()) == first
    assert table(7, SEED, NONE_BEFORE, dict(reversed(COUNTS.items()))).digest() == first.digest()
    others = (
        table(7, SEED, NONE_BEFORE, COUNTS | {("b", "0x02", 1): 5}),
        table(7, NONE_BEFORE, NONE_BEFORE, COUNTS),
        table(7, SEED, hex0x(first.digest()), COUNTS),
    )
    assert len({first.digest(), *(one.digest() for one in others)}) == 4


def test_shares_tell_drawn_places_apart() -> None:
    """Places 3, 13, 23 are drawn; what stood below the last place that is told apart is in the sum alone."""
    a, b = shares(table(7, SEED, NONE_BEFORE, COUNTS).rows)
    assert (a.label, a.shown, a.first_ten, a.drawn) == ("a", 12, 2, 2)
    assert (b.label, b.shown, b.first_ten, b.drawn) == ("b", 4, 4, 0)
    assert [place_of(place) for place in (0, 1, PLACES, PLACES + 1)] == [0, 1, PLACES, 0]
