"""Vault.sol on a real EVM: enclave keys, leases and settlements, and everything that must not count."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from hallmark.core.hashing import keccak256, sha256
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.vault import (
    EnclaveRegistration,
    EnclaveRevocation,
    Lease,
    Row,
    Settlement,
    SpendingCeiling,
    Vault,
    pack_rows,
    unpack_rows,
)
from hallmark.crypto.secp256k1 import HALF_ORDER
from hallmark.services.chain.vault import (
    CeilingInForce,
    OpenLease,
    collect_call,
    lease_call,
    register_call,
    release_call,
    revoke_call,
    settle_call,
)
from hallmark.services.chain.vault_events import (
    Collected,
    Deposited,
    Leased,
    LeaseRefused,
    LeaseReturned,
    RowTooLate,
    Settled,
    vault_events,
)
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.leases import Leases
from hallmark.testing.anvil import CHAIN_ID, running_anvil
from hallmark.testing.vaults import (
    AUTHORITY,
    FOREVER,
    SHORT,
    VaultOnChain,
    fresh_vault,
    named_key,
    new_payers,
)

pytestmark = pytest.mark.integration

ONE, TWO, STRANGER = named_key("enclave one"), named_key("enclave two"), named_key("stranger")
PAYEE, OTHER = named_key("payee").address, named_key("other payee").address
ANN, BOB, CAT = (named_key(f"payer {number}").address for number in range(3))
NOBODY = named_key("nobody").address
ORDER = 2 * HALF_ORDER + 1


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[VaultOnChain]:
    """A vault with two enclaves of one payee, and three payers with 100 each, signed away to that payee."""
    async with fresh_vault(url) as chain:
        await chain.register(ONE, PAYEE)
        await chain.register(TWO, PAYEE)
        await new_payers(chain, PAYEE, 100, 3)
        yield chain


async def leased(chain: VaultOnChain, *rows: Row) -> int:
    """Have enclave one take leases; gives their end."""
    until = await chain.now() + SHORT.lease - 20
    await chain.send(chain.lease(ONE, until, rows))
    return until


async def test_charges_move_from_lease_to_payee(chain: VaultOnChain) -> None:
    """One signature charges all rows by what they grew; what is earned goes to the payee alone."""
    until = await leased(chain, Row(ANN, 50), Row(BOB, 60), Row(CAT, 70))
    await chain.send(chain.settle(ONE, [Row(ANN, 10), Row(BOB, 20), Row(CAT, 30)]))
    await chain.send(chain.settle(ONE, [Row(ANN, 15), Row(BOB, 20)]))
    assert await chain.vault.lease(ONE.address, ANN) == OpenLease(50, 15, until)
    assert await chain.vault.lease(ONE.address, BOB) == OpenLease(60, 20, until)
    assert await chain.vault.earned(PAYEE) == 65
    assert (await chain.vault.account(ANN)).free == 50
    await chain.send(collect_call(PAYEE))
    assert await chain.token.balance(PAYEE) == 65
    assert await chain.refusal(collect_call(PAYEE)) == "NothingToDo"
    assert await chain.token.balance(chain.address) == 235


async def test_closing_gives_back_the_rest(chain: VaultOnChain) -> None:
    """The last settlement returns what was not charged, to account and ceiling; another lease may follow."""
    await leased(chain, Row(ANN, 50))
    await chain.send(chain.settle(ONE, [Row(ANN, 20)], closing=True))
    assert await chain.vault.lease(ONE.address, ANN) == OpenLease(20, 20, 0)
    account = await chain.vault.account(ANN)
    assert (account.free, account.open_leases) == (80, 0)
    assert await chain.vault.ceiling(ANN, PAYEE) == CeilingInForce(100, 20, 1, FOREVER)
    until = await leased(chain, Row(ANN, 100))
    assert await chain.vault.lease(ONE.address, ANN) == OpenLease(100, 20, until)


async def test_two_enclaves_never_hold_the_same_credit(chain: VaultOnChain) -> None:
    """A second lease gets what the first left, and not more; other rows of the same batch stand."""
    until = await leased(chain, Row(ANN, 70))
    await chain.send(chain.lease(TWO, until, [Row(ANN, 31), Row(BOB, 40)]))
    assert await chain.vault.lease(TWO.address, ANN) == OpenLease(0, 0, 0)
    assert await chain.vault.lease(TWO.address, BOB) == OpenLease(40, 0, until)
    await chain.send(chain.lease(TWO, until, [Row(ANN, 30)]))
    assert (await chain.vault.account(ANN)).free == 0


async def test_the_ceiling_holds_over_all_enclaves_of_a_payee(chain: VaultOnChain) -> None:
    """Under a ceiling of 60 two enclaves lease 60 together, with 100 deposited; lowering stops renewals."""
    payer = named_key("payer 0")
    await chain.send(chain.ceiling(payer, PAYEE, 60, nonce=2))
    until = await leased(chain, Row(ANN, 40))
    await chain.send(chain.lease(TWO, until, [Row(ANN, 21)]))
    assert (await chain.vault.lease(TWO.address, ANN)).allowance == 0
    await chain.send(chain.lease(TWO, until, [Row(ANN, 20)]))
    assert await chain.refusal(chain.settle(TWO, [Row(ANN, 21)], sequence=9)) == "RowAboveLease"
    await chain.send(chain.ceiling(payer, PAYEE, 30, nonce=3))
    await chain.send(chain.lease(ONE, until + 5, [Row(ANN, 40)]))
    assert (await chain.vault.lease(ONE.address, ANN)).until == until
    await chain.send(chain.ceiling(payer, PAYEE, 90, nonce=4, until=until + 1))
    await chain.send(chain.lease(ONE, until + 2, [Row(ANN, 41)]))
    assert (await chain.vault.lease(ONE.address, ANN)).allowance == 40
    await chain.send(chain.lease(ONE, until + 1, [Row(ANN, 41)]))
    assert (await chain.vault.lease(ONE.address, ANN)).allowance == 41


async def test_without_a_ceiling_nothing_is_leased(chain: VaultOnChain) -> None:
    """A payee for whom nobody signed gets no lease, and an account that does not exist gives none."""
    foreign = named_key("foreign enclave")
    await chain.register(foreign, OTHER)
    until = await chain.now() + 100
    await chain.send(
        chain.lease(foreign, until, [Row(ANN, 1), Row(bytes(20), 0), Row(NOBODY, 0), Row(b"\xff" * 20, 5)])
    )
    for payer in (ANN, bytes(20), NOBODY, b"\xff" * 20):
        assert await chain.vault.lease(foreign.address, payer) == OpenLease(0, 0, 0)
        assert (await chain.vault.account(payer)).open_leases == 0


async def test_replayed_stale_and_reordered_settlements(chain: VaultOnChain) -> None:
    """A settlement counts once; an older one after a newer one is refused; cumulative rows lose nothing."""
    await leased(chain, Row(ANN, 50))
    first = chain.settle(ONE, [Row(ANN, 10)], sequence=5)
    second = chain.settle(ONE, [Row(ANN, 25)], sequence=6)
    await chain.send(second)
    assert await chain.refusal(first) == "StaleSequence"
    assert await chain.refusal(second) == "StaleSequence"
    assert await chain.refusal(chain.settle(ONE, [Row(ANN, 24)], sequence=7)) == "RowGoesBack"
    await chain.send(chain.settle(ONE, [Row(ANN, 25)], sequence=7))
    assert await chain.vault.earned(PAYEE) == 25
    huge = chain.settle(ONE, [Row(ANN, 25)], sequence=2**48)
    assert await chain.refusal(huge) == "SafeCastOverflowedUintDowncast"


async def test_one_bad_row_refuses_all(chain: VaultOnChain) -> None:
    """A row above its lease, or below what is settled, leaves every account as it was."""
    await leased(chain, Row(ANN, 50), Row(BOB, 50))
    await chain.send(chain.settle(ONE, [Row(BOB, 10)]))
    assert await chain.refusal(chain.settle(ONE, [Row(ANN, 10), Row(BOB, 51)])) == "RowAboveLease"
    assert await chain.refusal(chain.settle(ONE, [Row(ANN, 10), Row(BOB, 9)])) == "RowGoesBack"
    assert await chain.refusal(chain.settle(ONE, [Row(ANN, 10), Row(ANN, 9)])) == "RowGoesBack"
    twice = chain.settle(ONE, [Row(ANN, 10), Row(ANN, 12)])
    await chain.send(twice)
    assert await chain.vault.earned(PAYEE) == 22


async def test_a_lying_host_has_nobody_else_charged(chain: VaultOnChain) -> None:
    """It tells its enclave that one payer has the credit and the lease of another. The settlement names who
    asked, and the other pays nothing; one in which the host names the other is refused.
    """
    until = await leased(chain, Row(BOB, 50))
    frames, place = itertools.count(), Vault(CHAIN_ID, chain.address)
    loop = asyncio.get_running_loop()

    def lie(message: control.FromEnclave) -> None:
        if isinstance(message, control.AccountWanted):
            units = control.Units(50)
            bobs = control.AccountState(message.id, "", units, units, units, until, SHORT.lease)
            loop.call_soon(enclave.on_state, bobs)

    now = 1_000 * await chain.now()
    journal, _ = AccountJournal.begin(
        b"", bytes(32), lie, lambda size: next(frames).to_bytes(size, "big"), now=now
    )
    enclave = Leases(ONE, journal, lie, lambda: now, 60)
    ceiling = SpendingCeiling(ANN, PAYEE, bytes(20), 100, 1, FOREVER)
    spend = Spend(ANN, PAYEE, ONE.address, bytes(32), 10, bytes(32), 2**50)
    asked = SpendingAuthorization(ceiling, bytes(65), spend, bytes(65))
    account = await enclave.room(asked, place, 10)
    journal.write(journal.accounts.reserve(account, bytes(32), bytes(32), most=10, expires=2**50))
    journal.write(journal.accounts.draw(bytes(32), 10))
    journal.write(journal.accounts.end(bytes(32), 10))
    told = enclave.settle(control.Settle(1, {}), place)
    assert unpack_rows(told.rows) == (Row(ANN, 10),)
    swapped = pack_rows([Row(BOB, 10)])
    for rows, error in ((swapped, "BadSignature"), (told.rows, "")):
        statement = Settlement(ONE.address, told.sequence, keccak256(rows), told.receipts_root, 0)
        call = settle_call(statement, rows, told.signature)
        assert await chain.refusal(call) == error
    await chain.send(call)
    assert await chain.vault.earned(PAYEE) == 0
    assert await chain.vault.lease(ONE.address, BOB) == OpenLease(50, 0, until)


async def test_rows_that_come_too_late_charge_nothing(chain: VaultOnChain) -> None:
    """After the window a row is skipped, while the others of the same settlement count."""
    await leased(chain, Row(ANN, 50))
    await chain.pass_time(SHORT.lease + SHORT.settlement)
    until = await chain.now() + 100
    await chain.send(chain.lease(ONE, until, [Row(BOB, 50)]))
    await chain.send(chain.settle(ONE, [Row(ANN, 30), Row(BOB, 20), Row(CAT, 5)]))
    assert await chain.vault.earned(PAYEE) == 20
    await chain.send(release_call(ONE.address, ANN))
    assert (await chain.vault.account(ANN)).free == 100
    assert await chain.refusal(release_call(ONE.address, ANN)) == "LeaseNotEnded"
    assert await chain.refusal(release_call(ONE.address, BOB)) == "LeaseNotEnded"


async def test_signatures_are_bound_to_everything(chain: VaultOnChain) -> None:
    """Other rows, root, sequence, closing, key, vault, chain or kind: none of them has a signature."""
    await leased(chain, Row(ANN, 50))
    rows = pack_rows([Row(ANN, 10)])
    good = Settlement(ONE.address, 9, keccak256(rows), b"\x05" * 32, 0)
    signature = chain.sign(good, ONE)
    assert await chain.refusal(settle_call(good, rows, signature)) == ""
    more = pack_rows([Row(ANN, 11)])
    elsewhere = VaultOnChain(chain.rpc, chain.parameters, b"\x44" * 20)
    lease = Lease(ONE.address, 9, 0, keccak256(rows))
    wrong = [
        (good, more, signature),
        (replace(good, receipts_root=bytes(32)), rows, signature),
        (replace(good, sequence=10), rows, signature),
        (replace(good, closing=1), rows, signature),
        (replace(good, enclave=TWO.address), rows, signature),
        (good, rows, chain.sign(good, STRANGER)),
        (good, rows, elsewhere.sign(good, ONE)),
        (good, rows, ONE.sign(good.signing_digest(CHAIN_ID))),
        (good, rows, chain.sign(lease, ONE)),
    ]
    for settlement, packed, by in wrong:
        assert await chain.refusal(settle_call(settlement, packed, by)) == "BadSignature"
    await chain.rpc.call("anvil_setChainId", 1)
    try:
        assert await chain.refusal(settle_call(good, rows, signature)) == "BadSignature"
    finally:
        await chain.rpc.call("anvil_setChainId", CHAIN_ID)


async def test_malformed_signatures_and_rows(chain: VaultOnChain) -> None:
    """The high-s twin, short, long and zero signatures are refused, and so are rows of another length."""
    await leased(chain, Row(ANN, 50))
    rows = pack_rows([Row(ANN, 10)])
    good = Settlement(ONE.address, 9, keccak256(rows), b"\x05" * 32, 0)
    signature = chain.sign(good, ONE)
    high = (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    twin = signature[:32] + high + bytes([55 - signature[64]])
    assert await chain.refusal(settle_call(good, rows, twin)) == "ECDSAInvalidSignatureS"
    for bad in (signature[:64], signature + b"\0", b""):
        assert await chain.refusal(settle_call(good, rows, bad)) == "ECDSAInvalidSignatureLength"
    assert await chain.refusal(settle_call(good, rows, bytes(65))) == "ECDSAInvalidSignature"
    for packed in (b"", rows[:-1], rows + b"\0"):
        other = replace(good, rows=keccak256(packed))
        assert await chain.refusal(settle_call(other, packed, chain.sign(other, ONE))) == "BadRows"


async def test_only_registered_keys_lease_and_settle(chain: VaultOnChain) -> None:
    """A stranger does neither; a key after its registration's end leases no more, but settles what it has."""
    soon = await chain.now() + 120
    brief = named_key("brief enclave")
    await chain.register(brief, PAYEE, until=soon)
    await chain.send(chain.lease(brief, soon - 1, [Row(ANN, 50)]))
    assert await chain.refusal(chain.lease(STRANGER, soon, [Row(ANN, 1)])) == "EnclaveNotRegistered"
    assert await chain.refusal(chain.settle(STRANGER, [Row(ANN, 1)])) == "EnclaveNotRegistered"
    await chain.pass_time(150)
    late = await chain.now() + 50
    assert await chain.refusal(chain.lease(brief, late, [Row(ANN, 50)])) == "EnclaveNotRegistered"
    await chain.send(chain.settle(brief, [Row(ANN, 10)]))
    await chain.register(brief, PAYEE)
    await chain.send(chain.lease(brief, late, [Row(ANN, 50)]))


async def test_a_revoked_key_is_out_for_good(chain: VaultOnChain) -> None:
    """It charges and leases nothing more, its leases come back at once, and it is never registered again."""
    until = await leased(chain, Row(ANN, 50))
    await chain.revoke(ONE)
    assert await chain.refusal(chain.settle(ONE, [Row(ANN, 10)])) == "EnclaveIsRevoked"
    assert await chain.refusal(chain.lease(ONE, until, [Row(ANN, 60)])) == "EnclaveIsRevoked"
    again = EnclaveRegistration(ONE.address, PAYEE, bytes(32), bytes(32), 2**40 - 1)
    assert await chain.refusal(register_call(again, chain.quorum(again))) == "EnclaveIsRevoked"
    await chain.send(release_call(ONE.address, ANN))
    assert (await chain.vault.account(ANN)).free == 100
    unborn = named_key("unborn enclave")
    await chain.revoke(unborn)
    first = replace(again, enclave=unborn.address)
    assert await chain.refusal(register_call(first, chain.quorum(first))) == "EnclaveIsRevoked"
    revocation = EnclaveRevocation(unborn.address, bytes(32))
    assert await chain.refusal(revoke_call(revocation, chain.quorum(revocation))) == "EnclaveIsRevoked"


async def test_registration_needs_a_quorum_and_keeps_its_payee(chain: VaultOnChain) -> None:
    """Too few, one twice, a stranger, unsorted, another statement or payee, or no later end: refused."""
    new = EnclaveRegistration(named_key("new").address, PAYEE, b"\x01" * 32, b"\x02" * 32, FOREVER)
    two = chain.quorum(new)
    outside = sorted((AUTHORITY[0], STRANGER), key=lambda key: key.address)
    for signatures, error in (
        ((), "TooFewSignatures"),
        (two[:1], "TooFewSignatures"),
        ((two[0], two[0]), "SignersNotAscending"),
        (two[::-1], "SignersNotAscending"),
        (tuple(chain.sign(new, key) for key in outside), "UnknownSigner"),
        ((*two, bytes(65)), "ECDSAInvalidSignature"),
    ):
        assert await chain.refusal(register_call(new, signatures)) == error
    for other in (replace(new, payee=OTHER), replace(new, bundle=bytes(32)), replace(new, valid_until=9)):
        assert await chain.refusal(register_call(other, two)) in ("UnknownSigner", "SignersNotAscending")
    assert await chain.refusal(register_call(new, two)) == ""
    moved = EnclaveRegistration(ONE.address, OTHER, bytes(32), bytes(32), 2**40 - 1)
    assert await chain.refusal(register_call(moved, chain.quorum(moved))) == "BadRegistration"
    nobody = replace(new, payee=bytes(20))
    assert await chain.refusal(register_call(nobody, chain.quorum(nobody))) == "BadRegistration"
    same = replace(moved, payee=PAYEE, valid_until=FOREVER)
    assert await chain.refusal(register_call(same, chain.quorum(same))) == "StaleNonce"


async def test_a_lease_has_a_term_and_does_not_shrink(chain: VaultOnChain) -> None:
    """It ends in the future, at most one term ahead; its allowance only grows; its signature is its own."""
    now = await chain.now()
    for until in (0, now, now + SHORT.lease + 60, 2**64 - 1):
        assert await chain.refusal(chain.lease(ONE, until, [Row(ANN, 10)])) == "BadTerm"
    until = await leased(chain, Row(ANN, 50))
    assert await chain.refusal(chain.lease(ONE, until, [Row(ANN, 49)])) == "LeaseShrinks"
    rows = pack_rows([Row(ANN, 60)])
    lease = Lease(ONE.address, 50, until, keccak256(rows))
    signature = chain.sign(lease, ONE)
    other = replace(lease, until=until - 1)
    assert await chain.refusal(lease_call(other, rows, signature)) == "BadSignature"
    await chain.send(lease_call(lease, rows, signature))
    assert await chain.refusal(lease_call(lease, rows, signature)) == "StaleSequence"


async def test_gas_of_a_settlement(chain: VaultOnChain) -> None:
    """Each account more costs less than 6,500 gas, so that 100 cost less than 10,000 each."""
    payers = await new_payers(chain, PAYEE, 10**9, 12, name="gas")
    rows = [Row(payer.address, 10**8) for payer in payers]
    await chain.send(chain.lease(ONE, await chain.now() + 200, rows))
    two = await chain.send(chain.settle(ONE, [Row(row.payer, 1_234_567) for row in rows[:2]]))
    twelve = await chain.send(chain.settle(ONE, [Row(row.payer, 2_345_678) for row in rows]))
    each = (twelve - two) / 10
    assert each < 6_500
    assert two + 98 * each < 100 * 10_000


async def test_events_tell_what_happened(chain: VaultOnChain) -> None:
    """Leases, refusals, charges, late rows and payments are read back from the chain, in order."""
    first = await chain.rpc.head() + 1
    until = await leased(chain, Row(ANN, 50), Row(BOB, 101))
    await chain.send(chain.settle(ONE, [Row(ANN, 10), Row(CAT, 5)], closing=True))
    await chain.send(collect_call(PAYEE))
    found = await vault_events(chain.rpc, chain.address, first, await chain.rpc.head())
    assert [emitted.event for emitted in found] == [
        LeaseRefused(ONE.address, BOB, 101),
        Leased(ONE.address, 1, until, (Row(ANN, 50), Row(BOB, 101))),
        LeaseReturned(ONE.address, ANN, 40),
        RowTooLate(ONE.address, CAT, 5),
        Settled(ONE.address, PAYEE, 2, 10, sha256((2).to_bytes(8, "big")), (Row(ANN, 10), Row(CAT, 5))),
        Collected(PAYEE, 10),
    ]
    came = await vault_events(chain.rpc, chain.address, 0, first, only=(Deposited,))
    assert [emitted.event for emitted in came] == [Deposited(payer, payer, 100) for payer in (ANN, BOB, CAT)]
