"""A host that lies about the vault: whom it can and cannot have charged by it."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.vault import Row, SpendingCeiling, unpack_rows
from hallmark.services.enclave import control
from hallmark.services.enclave.leases import Leases
from hallmark.testing.billing import NUMBER, SETTLEMENT, TERM, VAULT, MemoryHost
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


async def serve(leases: Leases, host: MemoryHost, payer: bytes, number: int, charged: int) -> int:
    """Answer request `number` of a payer; the account that it was charged to."""
    ceiling = SpendingCeiling(payer, bytes(20), bytes(20), 10**9, 1, 2**32 - 1)
    request = sha256(payer + bytes([number]))
    spend = Spend(payer, bytes(20), SETTLEMENT.address, request, MOST, request, 2**50)
    account = await leases.room(SpendingAuthorization(ceiling, bytes(65), spend, bytes(65)), VAULT, MOST)
    assert host.journal is not None
    accounts, write = host.journal.accounts, host.journal.write
    write(accounts.reserve(account, request, request, most=MOST, expires=2**50))
    write(accounts.draw(request, charged))
    write(accounts.end(request, charged))
    return account


def rows(leases: Leases, settled: dict[int, int], *, closing: bool = False) -> tuple[Row, ...]:
    """What the enclave signs for where its host says that so much is settled."""
    said = {account: control.Units(amount) for account, amount in settled.items()}
    signed = leases.settle(control.Settle(1, said, closing), VAULT)
    return unpack_rows(signed.rows) if signed.rows else ()


def signed_leases(host: MemoryHost) -> int:
    """How many leases the enclave has signed."""
    return sum(isinstance(asked, control.LeaseSigned) for asked in host.asked)


def spent(host: MemoryHost, account: int = NUMBER) -> int:
    """What an account was charged."""
    assert host.journal is not None
    return host.journal.accounts.account(account).spent


async def test_a_payer_is_charged_for_answers_alone(leases: Leases, host: MemoryHost) -> None:
    """Not for what the host says that this key charged before: an account that is new here begins at
    nothing.
    """
    host.allowance = host.spent = 500
    await serve(leases, host, ANN, 1, 40)
    assert spent(host) == 40
    assert rows(leases, {}) == (Row(NUMBER, 40),)


@pytest.mark.parametrize("closing", [False, True])
async def test_a_row_below_what_is_settled_is_left_out(
    leases: Leases, host: MemoryHost, *, closing: bool
) -> None:
    """One refuses the whole settlement, others' rows too. So it was where a journal was lost that had charged
    more; what goes beyond that is charged again.
    """
    await serve(leases, host, ANN, 1, 40)
    host.number, host.allowance = NUMBER + 1, 0
    await serve(leases, host, BOB, 1, 30)
    assert rows(leases, {NUMBER: 50}, closing=closing) == (Row(NUMBER + 1, 30),)
    host.number = NUMBER
    await serve(leases, host, ANN, 2, 40)
    assert rows(leases, {NUMBER: 50, NUMBER + 1: 30}) == (Row(NUMBER, 80),)


async def refused(leases: Leases, host: MemoryHost, payer: bytes, number: int = 9) -> HallmarkError:
    """Why a request is not served."""
    with pytest.raises(HallmarkError) as found:
        await serve(leases, host, payer, number, 1)
    return found.value


async def test_no_lease_is_signed_on_the_account_of_another(leases: Leases, host: MemoryHost) -> None:
    """The host says that one payer's number is another's, too."""
    await serve(leases, host, ANN, 1, 40)
    host.allowance = 0
    error = await refused(leases, host, BOB)
    assert (type(error), error.reason) == (Conflict, "account_of_another")
    assert (signed_leases(host), spent(host)) == (1, 40)


async def test_of_two_payers_with_one_number_one_gets_a_lease(leases: Leases, host: MemoryHost) -> None:
    """Also where both come at once, and neither was known."""
    served = await asyncio.gather(
        *(serve(leases, host, payer, 1, 40) for payer in (ANN, BOB)), return_exceptions=True
    )
    assert [getattr(one, "reason", one) for one in served] == [NUMBER, "account_of_another"]
    assert (signed_leases(host), spent(host)) == (1, 40)


async def test_a_payer_whose_number_becomes_that_of_another_is_not_served_there(
    runtime: MemoryRuntime, leases: Leases, host: MemoryHost
) -> None:
    """Not with the request that showed it, and with no later one."""
    await serve(leases, host, BOB, 1, 40)
    host.number, host.allowance = NUMBER + 1, 0
    await serve(leases, host, ANN, 1, 30)
    host.number, host.free = NUMBER, 10**9
    runtime._clock += 1000 * (TERM - 30)  # the lease is nearly over, so the host is asked
    for number in (2, 3):
        assert (await refused(leases, host, ANN, number)).reason == "account_of_another"
    assert (spent(host), spent(host, NUMBER + 1), signed_leases(host)) == (40, 30, 2)


async def test_a_lease_that_comes_back_with_another_number_is_none(
    leases: Leases, host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is drawn on either."""
    send = host.send

    def moved(message: control.FromEnclave) -> None:
        host.number += isinstance(message, control.LeaseSigned)
        send(message)

    monkeypatch.setattr(leases._asked, "_send", moved)
    error = await refused(leases, host, ANN)
    assert (type(error), error.reason) == (Unavailable, "lease_unavailable")
    assert host.journal is not None
    assert host.journal.accounts.accounts == {}


@pytest.mark.parametrize("number", [-1, 1 << 32, 1 << 60])
async def test_a_number_that_no_vault_gives_is_none(leases: Leases, host: MemoryHost, number: int) -> None:
    """Numbers from 2^32 on are accounts of other rails."""
    host.number, host.allowance, host.until = number, 10**6, 2**40
    assert (await refused(leases, host, ANN)).reason == "account_unknown"
