"""Prices: whole numbers from the first parse, nothing served for nothing by rounding."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.amounts import parse_amount, show_amount
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput
from hallmark.core.money import MAX_AMOUNT, Asset, FreeUse, Offer, Price
from hallmark.core.prices import Use, check_offer, cost, is_free, price_of

DOLLAR = Asset(31_337, hex0x(b"\x11" * 20), 6, "DEV", "Development Dollar", "1", development=True)
OFFER = Offer(
    network=hex0x(b"\1" * 32),
    owner=hex0x(b"\2" * 20),
    payee=hex0x(b"\3" * 20),
    asset=DOLLAR,
    vault=hex0x(b"\4" * 20),
    prices=(Price("pydoc", 150_000, 600_000), Price("digits", call=5)),
    free=FreeUse(tokens_in=64, tokens_out=64),
    since=1_000,
    until=2_000,
)


@pytest.mark.parametrize(
    ("text", "units"),
    [("5.00", 5_000_000), ("0.000001", 1), ("12", 12_000_000), ("0", 0), ("1.2500000000", 1_250_000)],
)
def test_amounts_are_read_exactly(text: str, units: int) -> None:
    """Zeros at the end are no part of an amount; everything else counts."""
    assert parse_amount(text, 6) == units


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0000001", "amount_below_unit"),
        ("1e3", "bad_amount"),
        ("-1", "bad_amount"),
        ("1,000", "bad_amount"),
        ("", "bad_amount"),
        (".5", "bad_amount"),
        ("٣", "bad_amount"),
        ("1\n", "bad_amount"),
        ("9" * 31, "bad_amount"),
        (str(MAX_AMOUNT), "amount_too_large"),
    ],
)
def test_what_is_no_amount_is_refused(text: str, reason: str) -> None:
    """A price under one unit is an error here; elsewhere it is cut to nothing and served for free."""
    with pytest.raises(InvalidInput) as refused:
        parse_amount(text, 6)
    assert refused.value.reason == reason


@given(st.integers(0, MAX_AMOUNT), st.integers(0, 18))
def test_what_is_shown_reads_back(units: int, decimals: int) -> None:
    """Nothing is rounded for people either."""
    shown = show_amount(units, msgspec.structs.replace(DOLLAR, decimals=decimals))
    assert parse_amount(shown.removesuffix(" DEV").replace(",", ""), decimals) == units


def test_amounts_have_two_decimals_and_a_symbol() -> None:
    """As people write money."""
    assert show_amount(1_234_500_000, DOLLAR) == "1,234.50 DEV"
    assert show_amount(1, DOLLAR) == "0.000001 DEV"


def test_a_cost_is_rounded_up_once() -> None:
    """One token of a model at 0.15 for a million costs one unit, not none; seven cost two, not seven."""
    price = Price("m", 150_000, 0)
    assert [cost(price, Use(tokens_in=n)) for n in (0, 1, 6, 7, 1_000_000)] == [0, 1, 1, 2, 150_000]
    assert cost(Price("m", second=3), Use(milliseconds=1_001)) == 6
    assert cost(Price("m", call=3, image=2), Use(images=4)) == 11


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.lists(st.integers(0, 1_000), max_size=30))
def test_drawing_token_by_token_costs_what_one_step_does(a: int, b: int, steps: list[int]) -> None:
    """A cost never falls as a use grows, and its steps add up to the whole."""
    price, before, drawn, tokens = Price("m", a, b), 0, 0, 0
    for step in steps:
        tokens += step
        now = cost(price, Use(tokens_in=17, tokens_out=tokens))
        assert now >= before
        drawn, before = drawn + now - before, now
    assert drawn == (cost(price, Use(tokens_in=17, tokens_out=tokens)) if steps else 0)


def test_a_cost_has_an_end() -> None:
    """What could cost more than an account can hold is refused, not wrapped around."""
    with pytest.raises(InvalidInput) as refused:
        cost(Price("m", (1 << 63) - 1), Use(tokens_in=(1 << 60)))
    assert refused.value.reason == "amount_too_large"


@pytest.mark.parametrize(
    ("most", "free"),
    [
        (Use(tokens_in=64, tokens_out=64), True),
        (Use(tokens_in=65, tokens_out=1), False),
        (Use(tokens_in=1, tokens_out=65), False),
        (Use(tokens_in=1, tokens_out=1, images=1), False),
        (Use(), False),
    ],
)
def test_small_requests_are_free_by_the_offer(most: Use, free: bool) -> None:
    """What decides is the most that a request can use; a call that counts no tokens is never small."""
    assert is_free(OFFER, most, "m") is free
    assert not is_free(msgspec.structs.replace(OFFER, free=FreeUse()), most, "m")
    assert is_free(msgspec.structs.replace(OFFER, free=FreeUse(everything=True)), most, "m")
    free_model = msgspec.structs.replace(OFFER, free=FreeUse(models=("m",)))
    assert is_free(free_model, most, "m")
    assert not is_free(free_model, most, "other")


def test_a_model_without_a_price_is_not_served_for_nothing() -> None:
    """It is refused by name."""
    assert price_of(OFFER, "digits").call == 5
    with pytest.raises(InvalidInput) as refused:
        price_of(OFFER, "other")
    assert refused.value.reason == "no_price"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"until": 1_000}, "offer_range"),
        ({"prices": (Price("a", 1), Price("a", 2))}, "price_repeated"),
        ({"prices": (Price("a"),)}, "price_missing"),
        ({"prices": ()}, "price_missing"),
        ({"asset": None}, "offer_without_asset"),
        ({"asset": msgspec.structs.replace(DOLLAR, decimals=19)}, "bad_asset"),
        ({"asset": msgspec.structs.replace(DOLLAR, chain_id=0)}, "bad_asset"),
    ],
)
def test_an_offer_that_cannot_be_meant_is_refused(change: dict[str, object], reason: str) -> None:
    """Before it is signed."""
    check_offer(OFFER)
    with pytest.raises(InvalidInput) as refused:
        check_offer(msgspec.structs.replace(OFFER, **change))
    assert refused.value.reason == reason


def test_an_offer_travels_as_its_bytes() -> None:
    """It reads back, and what is added or out of order is refused."""
    data = OFFER.encode()
    assert Offer.decode(data) == OFFER
    free = msgspec.structs.replace(OFFER, asset=None, vault=None, prices=(), free=FreeUse(everything=True))
    check_offer(free)
    assert Offer.decode(free.encode()) == free
    for bad in (data + b" ", data.replace(b'"since":1000', b'"since":1e3'), data[:-1] + b',"x":1}'):
        with pytest.raises(InvalidInput):
            Offer.decode(bad)
