"""Stake.sol on a real EVM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hallmark.core.entries import Entry
from hallmark.core.statements import code
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.contract import call_data, read_contract
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.stake import (
    StakeDelays,
    exit_call,
    expose_call,
    lower_call,
    refute_call,
    request_exit_call,
    request_lowering_call,
    stake_address,
    stake_code,
    stake_error,
    take_call,
)
from hallmark.testing.anvil import running_anvil, toolchain
from hallmark.testing.stakes import BENEFICIARY, FULL_NODES, STRANGER, StakeOnChain, new_stake

pytestmark = pytest.mark.integration

OWNER = Key(b"\x31" * 32)
NODE, OTHER = Key(b"\x32" * 32).address, Key(b"\x33" * 32).address
DELAYS = StakeDelays()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[StakeOnChain]:
    """A fresh contract, in which an owner has 1,000, of which 400 answer for a node."""
    rpc = RPC(url)
    made = await new_stake(rpc)
    await made.deposit(OWNER, 1_000)
    assert not await made.send(expose_call(NODE, 400), OWNER)
    yield made
    await rpc.aclose()


async def test_the_address_follows_from_code_and_parameters(chain: StakeOnChain) -> None:
    """Who knows Anchor, asset, beneficiary and delays knows the contract."""
    assert chain.address == stake_address(chain.artifact, chain.parameters)


async def test_exposure_is_at_most_half_of_the_stake(chain: StakeOnChain) -> None:
    """All exposures together, and what leaves backs none."""
    assert await chain.send(expose_call(OTHER, 101), OWNER) == "NotEnoughStake"
    assert not await chain.send(expose_call(OTHER, 100), OWNER)
    assert await chain.account(OWNER.address) == (1_000, 500, 0)
    assert await chain.send(expose_call(NODE, 399), OWNER) == "NotEnoughStake"
    await chain.deposit(OWNER, 100)
    assert not await chain.send(request_exit_call(100), OWNER)
    assert await chain.send(expose_call(OTHER, 101), OWNER) == "NotEnoughStake"


async def test_stake_leaves_after_the_delay_and_not_before(chain: StakeOnChain) -> None:
    """Exposure and stake wait for the unbonding delay; what is exposed holds back twice as much."""
    assert await chain.send(exit_call(OWNER.address)) == "NothingPending"
    assert await chain.send(request_exit_call(1_001), OWNER) == "NotEnoughStake"
    assert not await chain.send(request_exit_call(1_000), OWNER)
    assert not await chain.send(request_lowering_call(NODE, 0), OWNER)
    await chain.pass_time(DELAYS.unbonding - 60)
    assert await chain.send(exit_call(OWNER.address)) == "TooEarly"
    assert await chain.send(lower_call(OWNER.address, NODE)) == "TooEarly"
    await chain.pass_time(61)
    assert await chain.send(exit_call(OWNER.address)) == "NotEnoughStake"
    assert not await chain.send(lower_call(OWNER.address, NODE))
    before = await chain.token.balance(OWNER.address)
    assert not await chain.send(exit_call(OWNER.address))
    assert await chain.token.balance(OWNER.address) == before + 1_000
    assert await chain.account(OWNER.address) == (0, 0, 0)
    assert await chain.send(exit_call(OWNER.address)) == "NothingPending"


async def test_what_is_being_lowered_is_not_counted_on(chain: StakeOnChain) -> None:
    """From the request on: it can be lowered just before a fault is shown. A fault still takes all of it."""
    owner = OWNER.address
    assert await chain.backing(owner, NODE) == 400
    assert not await chain.send(request_lowering_call(NODE, 150), OWNER)
    assert await chain.backing(owner, NODE) == 150
    await chain.pass_time(DELAYS.unbonding + 1)
    assert await chain.backing(owner, NODE) == 150
    index = chain.add(chain.fault(NODE))
    assert not await chain.send(chain.slashing(owner, index, await chain.anchor()))
    assert await chain.account(owner) == (600, 0, 0)
    assert await chain.backing(owner, NODE) == 0


async def test_a_fault_in_the_log_takes_the_exposure_and_holds_it(chain: StakeOnChain) -> None:
    """Also while it is being lowered; the beneficiary gets it when the appeal window is over, once."""
    assert not await chain.send(request_lowering_call(NODE, 0), OWNER)
    assert not await chain.send(request_exit_call(1_000), OWNER)
    await chain.pass_time(DELAYS.unbonding - 60)
    entry = chain.fault(NODE)
    index = chain.add(entry)
    size = await chain.anchor()
    slashing, hold = chain.slashing(OWNER.address, index, size), chain.hold(OWNER.address, entry)
    assert not await chain.send(slashing)
    assert await chain.account(OWNER.address) == (600, 0, 600)
    assert await chain.send(slashing) == "AlreadyHeld"
    assert await chain.send(expose_call(NODE, 1), OWNER) == "Ejected"
    assert await chain.send(lower_call(OWNER.address, NODE)) == "NothingPending"
    assert await chain.send(take_call(hold)) == "TooEarly"
    before = await chain.token.balance(BENEFICIARY)
    await chain.pass_time(DELAYS.appeal + 1)
    assert not await chain.send(take_call(hold))
    assert await chain.token.balance(BENEFICIARY) == before + 400
    assert await chain.send(take_call(hold)) == "NotHeld"
    assert not await chain.send(exit_call(OWNER.address))
    assert await chain.token.balance(chain.address) == 0


async def test_one_fault_is_one_hold(chain: StakeOnChain) -> None:
    """Another full node's entry on the same pair, in either order, takes nothing more."""
    first = chain.add(chain.fault(NODE))
    again = chain.add(chain.fault(NODE, author=FULL_NODES[1], first=1, second=0))
    size = await chain.anchor()
    assert not await chain.send(chain.slashing(OWNER.address, first, size))
    assert await chain.send(chain.slashing(OWNER.address, again, size)) == "AlreadyHeld"


async def test_what_is_no_such_fault_takes_nothing(chain: StakeOnChain) -> None:
    """Another kind or network, a stranger's word, a forged one, another leaf, no proof, nothing exposed."""
    wrong = {
        "NotSlashable": chain.fault(NODE, kind=code("refuted_verdict")),
        "OtherNetwork": chain.fault(NODE, network=bytes(32)),
        "UnknownAuthor": chain.fault(NODE, author=STRANGER),
        "NothingExposed": chain.fault(OTHER),
    }
    places = {reason: chain.add(entry) for reason, entry in wrong.items()}
    good = chain.add(chain.fault(NODE))
    forged = chain.add(Entry(chain.fault(NODE).statement, chain.fault(NODE, author=STRANGER).signatures))
    size = await chain.anchor()
    for reason, index in places.items():
        assert await chain.send(chain.slashing(OWNER.address, index, size)) == reason
    assert await chain.send(chain.slashing(OWNER.address, forged, size)) == "UnknownAuthor"
    assert await chain.send(chain.slashing(OWNER.address, 0, size)) == "NotAFault"
    changed = chain.leaves[good][:-1] + b"\x01"
    assert (await chain.send(chain.slashing(OWNER.address, good, size, leaf=changed))).startswith("0x")
    unanchored = chain.add(chain.fault(NODE))
    assert (await chain.send(chain.slashing(OWNER.address, unanchored, size + 1))).startswith("0x")
    assert await chain.account(OWNER.address) == (1_000, 400, 0)


async def test_a_refuted_fault_gives_everything_back(chain: StakeOnChain) -> None:
    """Two of four full nodes object: no quorum is without one of them. The key may be exposed again."""
    entry = chain.fault(NODE)
    index = chain.add(entry)
    size = await chain.anchor()
    hold = chain.hold(OWNER.address, entry)
    good = [chain.verdict(key, [1, index], size) for key in FULL_NODES[1:3]]
    assert await chain.send(refute_call(hold, good)) == "NotHeld"
    assert not await chain.send(chain.slashing(OWNER.address, index, size))
    for reason, verdicts in {
        "TooFewObjections": good[:1],
        "AuthorsNotAscending": [good[0], good[0]],
        "UnknownAuthor": [good[0], chain.verdict(STRANGER, [index], size)],
        "DoesNotObject": [good[0], chain.verdict(FULL_NODES[2], [index + 1], size)],
    }.items():
        assert await chain.send(refute_call(hold, verdicts)) == reason
    early = chain.verdict(FULL_NODES[2], [index], index)
    assert await chain.send(refute_call(hold, [good[0], early])) == "DoesNotObject"
    other = chain.verdict(FULL_NODES[2], [index], size, network=bytes(32))
    assert await chain.send(refute_call(hold, [good[0], other])) == "UnknownAuthor"
    assert not await chain.send(refute_call(hold, good))
    assert await chain.account(OWNER.address) == (1_000, 0, 0)
    assert not await chain.send(expose_call(NODE, 500), OWNER)
    assert await chain.send(refute_call(hold, good)) == "NotHeld"
    assert await chain.send(chain.slashing(OWNER.address, index, size)) == "AlreadyHeld"
    await chain.pass_time(DELAYS.appeal + 1)
    assert await chain.send(take_call(hold)) == "NotHeld"


async def test_after_the_window_nothing_is_refuted(chain: StakeOnChain) -> None:
    """An objection that comes too late changes nothing."""
    entry = chain.fault(NODE)
    index = chain.add(entry)
    size = await chain.anchor()
    assert not await chain.send(chain.slashing(OWNER.address, index, size))
    await chain.pass_time(DELAYS.appeal + 1)
    late = [chain.verdict(key, [index], size) for key in FULL_NODES[:2]]
    assert await chain.send(refute_call(chain.hold(OWNER.address, entry), late)) == "TooLate"


async def test_the_contract_refuses_delays_that_do_not_add_up(chain: StakeOnChain) -> None:
    """Its constructor asserts what the settings assert, whoever deploys it."""
    artifact = read_contract(toolchain().contracts / "Stake.json")

    async def refused(*times: int) -> str:
        code_ = stake_code(artifact, chain.parameters)[: -6 * 32] + b"".join(
            t.to_bytes(32, "big") for t in times
        )
        try:
            await chain.rpc.call("eth_call", {"data": "0x" + code_.hex()}, "latest")
        except Reverted as revert:
            return stake_error(artifact, revert)
        return ""

    assert await refused(1, 1, 1, 1, 2, 5) == ""
    assert await refused(1, 1, 1, 1, 2, 4) == "BadDelays"
    assert await refused(1, 1, 1, 1, 1, 5) == "BadDelays"
    assert await refused(1, 1, 1, 0, 2, 5) == "BadDelays"
    assert await refused(1, 1, 1, 1, 2, 181 * 86_400) == "BadDelays"


async def test_nothing_but_money_that_came_is_deposited(chain: StakeOnChain) -> None:
    """A deposit of nothing, or without approval, is refused."""
    data = call_data("deposit", ["address", "uint256"], ["0x" + OWNER.address.hex(), 0])
    assert await chain.send(data, OWNER) == "NothingReceived"
    data = call_data("deposit", ["address", "uint256"], ["0x" + OWNER.address.hex(), 5])
    assert (await chain.send(data, OWNER)).startswith("0x")
    assert await chain.account(OWNER.address) == (1_000, 400, 0)
