"""The pure parts of settlement: how long a lease may be, what a settlement gains, what a receipt charged."""

from __future__ import annotations

import time

import pytest

from hallmark.core.vault import Row
from hallmark.services.chain.vault import OpenLease
from hallmark.services.node.settlement import Reading, charged_of
from hallmark.services.node.vault_account import lease_term
from hallmark.testing.network import LittleNetwork
from hallmark.testing.payments import offer, paid_receipt


def payer(number: int) -> bytes:
    """The address of one of several."""
    return bytes([number]) * 20


LEASES = {
    payer(1): OpenLease(100, 40, 1_000),
    payer(2): OpenLease(100, 40, 500),
    payer(3): OpenLease(40, 40, 0),
}


@pytest.mark.parametrize(
    ("rows", "now", "gained", "late"),
    [
        ([Row(payer(1), 70)], 1_000, 30, 0),
        ([Row(payer(1), 40)], 1_000, 0, 0),
        ([Row(payer(1), 39)], 1_000, 0, 0),
        ([Row(payer(1), 70), Row(payer(2), 45)], 801, 30, 5),
        ([Row(payer(2), 45)], 800, 5, 0),
        ([Row(payer(3), 50)], 1, 0, 10),
        ([Row(payer(9), 50)], 1, 0, 50),
        ([], 1, 0, 0),
    ],
)
def test_what_a_settlement_gains(rows: list[Row], now: int, gained: int, late: int) -> None:
    """What is beyond the chain's counts while the lease's window is open, and is lost after it."""
    assert Reading(LEASES, now, 300).gain(tuple(rows)) == (gained, late)


@pytest.mark.parametrize(
    ("wanted", "longest", "behind", "ends", "least", "most"),
    [
        (3_600, 21_600, 0, 10**6, 3_600, 3_600),
        (30_000, 21_600, 0, 10**6, 21_535, 21_540),
        (30_000, 21_600, 12, 10**6, 21_520, 21_528),
        (30_000, 300, 0, 10**6, 265, 270),
        (3_600, 21_600, 0, 100, 95, 100),
        (3_600, 21_600, 0, -5, 0, 0),
    ],
)
def test_how_long_a_lease_is(
    wanted: int, longest: int, behind: int, ends: int, least: int, most: int
) -> None:
    """As wanted, within the vault's term from its newest block on, and not beyond the ceiling's end."""
    now = time.time_ns() // 1_000_000_000
    assert least <= lease_term(wanted, longest, now - behind, now + ends) <= most


def test_what_a_receipt_charged() -> None:
    """Of a receipt on the vault's rail its record's amount; of anything else nothing."""
    net = LittleNetwork()
    entry = paid_receipt(net, offer(net)).encode()
    assert charged_of(entry) > 0
    assert charged_of(entry[:-1]) == 0
    assert charged_of(b"") == 0
