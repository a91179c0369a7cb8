"""Stake.sol as Python sees it: its delays, its address, call data and errors.

Like the Anchor it is deployed by CREATE2 with salt zero, so its address is a function of its code, Anchor,
asset, beneficiary and delays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput
from hallmark.core.statements import Verdict
from hallmark.services.chain.contract import Artifact, abi_encode, call_data, create2_address, selector
from hallmark.services.chain.rpc import Reverted

DAY: Final = 86_400
LONGEST: Final = 180 * DAY


class StakeDelays(msgspec.Struct, frozen=True):
    """In seconds: how long an audit, a dispute, a referee and the log take at most to show a fault; how long
    what is taken is held; how long stake stays after it was asked back.

    Raises InvalidInput `bad_stake_delays` unless `unbonding` is longer than the first four together and
    `appeal` longer than `log`, as the contract does.
    """

    audit: int = DAY
    dispute: int = 3 * DAY
    referee: int = 2 * DAY
    log: int = DAY
    appeal: int = 7 * DAY
    unbonding: int = 14 * DAY

    def __post_init__(self) -> None:
        showing = self.audit + self.dispute + self.referee + self.log
        early = min(self.audit, self.dispute, self.referee) < 0 or self.log < 1
        if early or self.unbonding <= showing or self.appeal <= self.log or max(self.times()) > LONGEST:
            raise InvalidInput(
                "bad_stake_delays",
                "Stake could leave before a fault is shown, or be taken before anybody can object.",
                "Unbonding is longer than audit, dispute, referee and log together, appeal longer than log.",
            )

    def times(self) -> tuple[int, ...]:
        """In the contract's order."""
        return self.audit, self.dispute, self.referee, self.log, self.appeal, self.unbonding


class StakeParameters(msgspec.Struct, frozen=True):
    """What a stake contract is made for: 20-byte addresses of the network's Anchor, of the ERC-20, and of who
    gets what nobody refuted; delays.
    """

    anchor: bytes
    asset: bytes
    beneficiary: bytes
    delays: StakeDelays = StakeDelays()


class SignedVerdict(msgspec.Struct, frozen=True):
    """A full node's verdict as its log entry has it: statement, list, signature."""

    statement: Verdict
    runs: bytes
    signature: bytes


def stake_code(artifact: Artifact, parameters: StakeParameters) -> bytes:
    """Bytecode followed by the ABI-encoded constructor arguments."""
    parties = [hex0x(one) for one in (parameters.anchor, parameters.asset, parameters.beneficiary)]
    arguments = abi_encode(
        ["address", "address", "address", "(uint32,uint32,uint32,uint32,uint32,uint32)"],
        [*parties, parameters.delays.times()],
    )
    return bytes.fromhex(artifact.bytecode.removeprefix("0x")) + arguments


def stake_address(artifact: Artifact, parameters: StakeParameters) -> bytes:
    """Where this contract is on every chain."""
    return create2_address(stake_code(artifact, parameters))


def deposit_call(owner: bytes, amount: int) -> bytes:
    """Put approved tokens into an owner's account."""
    return call_data("deposit", ["address", "uint256"], [hex0x(owner), amount])


def expose_call(node: bytes, amount: int) -> bytes:
    """Have so much of the caller's stake answer for a node key."""
    return call_data("expose", ["address", "uint128"], [hex0x(node), amount])


def request_lowering_call(node: bytes, amount: int) -> bytes:
    """Ask that less answers for a node key."""
    return call_data("requestLowering", ["address", "uint128"], [hex0x(node), amount])


def lower_call(owner: bytes, node: bytes) -> bytes:
    """Lower what was asked for, once it is due."""
    return call_data("lower", ["address", "address"], [hex0x(owner), hex0x(node)])


def request_exit_call(amount: int) -> bytes:
    """Ask for stake back."""
    return call_data("requestExit", ["uint128"], [amount])


def exit_call(owner: bytes) -> bytes:
    """Pay out what was asked for, once it is due."""
    return call_data("exit", ["address"], [hex0x(owner)])


def slash_call(owner: bytes, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Take an owner's exposure by a fault entry (its whole leaf) and its audit path."""
    types = ["address", "bytes", "uint64", "uint64", "bytes32[]"]
    return call_data("slash", types, [hex0x(owner), leaf, index, size, list(proof)])


def refute_call(hold: bytes, verdicts: Sequence[SignedVerdict]) -> bytes:
    """Refute the fault behind a hold; the verdicts are put in the order that the contract asks for."""
    rows = [
        (hex0x(v.statement.author), v.statement.size, v.statement.root, v.statement.at, v.runs, v.signature)
        for v in sorted(verdicts, key=lambda v: v.statement.author)
    ]
    types = ["bytes32", "(address,uint64,bytes32,uint64,bytes,bytes)[]"]
    return call_data("refute", types, [hold, rows])


def take_call(hold: bytes) -> bytes:
    """Pay what nobody refuted to the beneficiary."""
    return call_data("take", ["bytes32"], [hold])


def stake_error(artifact: Artifact, revert: Reverted) -> str:
    """Name of the error that the contract refused with, empty when it is none that its file lists."""
    for item in artifact.abi:
        if item.get("type") == "error":
            types = ",".join(one["type"] for one in item["inputs"])
            if selector(f"{item['name']}({types})") == revert.data[:4]:
                return str(item["name"])
    return ""
