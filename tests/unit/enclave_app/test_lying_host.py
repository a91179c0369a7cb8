"""A host that lies about the vault: whom it can and cannot have charged by it."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.hashing import sha256
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.vault import Row, SpendingCeiling, unpack_rows
from hallmark.services.enclave import control
from hallmark.services.enclave.leases import Leases
from hallmark.testing.billing import SETTLEMENT, VAULT, MemoryHost
from hallmark.testing.runtime import MemoryRuntime

ANN, BOB = b"\xaa" * 20, b"\xbb" * 20
MOST = 100


@pytest.fixture
def host() -> MemoryHost:
    """One that says what a test has it say."""
    return MemoryHost()


@pytest.fixture
def leases(runtime: MemoryRuntime, host: MemoryHost) -> Leases:
    """An enclave's, in front of it."""
    found = host.bill(runtime.configuration, runtime.now)._leases
    assert found is not None
    return found


async def serve(leases: Leases, host: MemoryHost, payer: bytes, number: int, charged: int) -> None:
    """Answer request `number` of a payer."""
    ceiling = SpendingCeiling(payer, bytes(20), bytes(20), 10**9, 1, 2**32 - 1)
    request = sha256(payer + bytes([number]))
    spend = Spend(payer, bytes(20), SETTLEMENT.address, request, MOST, request, 2**50)
    account = await leases.room(SpendingAuthorization(ceiling, bytes(65), spend, bytes(65)), VAULT, MOST)
    assert host.journal is not None
    accounts, write = host.journal.accounts, host.journal.write
    write(accounts.reserve(account, request, request, most=MOST, expires=2**50))
    write(accounts.draw(request, charged))
    write(accounts.end(request, charged))


def rows(leases: Leases, settled: dict[bytes, int], *, closing: bool = False) -> tuple[Row, ...]:
    """What the enclave signs for where its host says that so much is settled."""
    said = {payer: control.Units(amount) for payer, amount in settled.items()}
    signed = leases.settle(control.Settle(1, said, closing), VAULT)
    return unpack_rows(signed.rows) if signed.rows else ()


def leased(host: MemoryHost) -> list[bytes]:
    """On whose accounts the enclave has signed leases."""
    asked = [unpack_rows(one.rows) for one in host.asked if isinstance(one, control.LeaseSigned)]
    return [row.payer for one in asked for row in one]


async def test_a_payer_is_charged_for_answers_alone(leases: Leases, host: MemoryHost) -> None:
    """Whatever the host says that this key holds on its account: who is new here begins at nothing."""
    host.allowance = 500
    await serve(leases, host, ANN, 1, 40)
    assert rows(leases, {}) == (Row(ANN, 40),)


async def test_a_row_names_who_signed(leases: Leases, host: MemoryHost) -> None:
    """The host says of one payer what is another's, credit and lease: what is signed names the one who asked,
    in leases and in settlements, so the vault charges nobody else.
    """
    await serve(leases, host, BOB, 1, 40)
    host.allowance, host.until = 10**6, 2**40
    await serve(leases, host, ANN, 1, 30)
    host.allowance = host.until = 0
    await serve(leases, host, ANN, 2, 7)
    assert leased(host)[0] == BOB
    assert rows(leases, {}) == (Row(BOB, 40), Row(ANN, 37))


async def test_payers_who_come_at_once_have_an_account_each(leases: Leases, host: MemoryHost) -> None:
    """Also where none was known, and both leases are signed before either is in a block."""
    await asyncio.gather(serve(leases, host, ANN, 1, 40), serve(leases, host, BOB, 1, 30))
    assert sorted(leased(host)) == [ANN, BOB]
    assert set(rows(leases, {})) == {Row(ANN, 40), Row(BOB, 30)}


@pytest.mark.parametrize("closing", [False, True])
async def test_a_row_below_what_is_settled_is_left_out(
    leases: Leases, host: MemoryHost, *, closing: bool
) -> None:
    """One refuses the whole settlement, others' rows too. So it was where a journal was lost that had charged
    more; what goes beyond that is charged again.
    """
    await serve(leases, host, ANN, 1, 40)
    host.allowance = 0
    await serve(leases, host, BOB, 1, 30)
    assert rows(leases, {ANN: 50}, closing=closing) == (Row(BOB, 30),)
    await serve(leases, host, ANN, 2, 40)
    assert rows(leases, {ANN: 50, BOB: 30}) == (Row(ANN, 80),)
