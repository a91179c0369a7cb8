"""The vault's events: the contract's own declarations, and what an endpoint may answer instead of a log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.core.hashing import keccak256
from hallmark.core.vault import Row, pack_rows
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.vault_events import (
    EVENTS,
    Deposited,
    Emitted,
    Leased,
    LeaseReturned,
    Settled,
    VaultEvent,
    decode_event,
    lessees,
    parameters,
    topic,
    vault_events,
)

SOURCE = (Path(__file__).parents[3] / "contracts" / "IVault.sol").read_text()
VAULT, A = b"\x0a" * 20, b"\x0b" * 20
DEPOSIT = [topic(Deposited), VAULT.rjust(32, b"\0"), A.rjust(32, b"\0")]
FIVE = (5).to_bytes(32, "big")


class Endpoint(RPC):
    """An endpoint that answers with what it was given."""

    def __init__(self, answer: object) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answer = answer

    async def call(self, method: str, *params: object) -> Any:
        assert method == "eth_getLogs"
        return self.answer


def log(**changes: object) -> dict[str, object]:
    """A log of a deposit, as JSON-RPC gives it."""
    found: dict[str, object] = {
        "address": hex0x(VAULT),
        "topics": [hex0x(word) for word in DEPOSIT],
        "data": hex0x(FIVE),
        "blockNumber": "0x9",
        "logIndex": "0x2",
        "transactionHash": hex0x(b"\x01" * 32),
    }
    return found | changes


def test_events_are_those_of_the_contract() -> None:
    """Every event of the source has a type here, with the same parameters in the same order."""
    declared = {
        name: ",".join(part.strip() for part in body.split(","))
        for name, body in re.findall(r"event (\w+)\(([^)]*)\);", SOURCE)
    }
    assert declared == {cls.__name__: cls.ABI for cls in EVENTS}
    assert all(len(parameters(cls)) == len(cls.__struct_fields__) for cls in EVENTS)
    assert len({topic(cls) for cls in EVENTS}) == len(EVENTS)


def test_a_settlement_is_read_with_its_rows() -> None:
    """Indexed and other parameters come to their fields; rows are unpacked."""
    rows = (Row(A, 5), Row(VAULT, 2**96 - 1))
    words = ["uint64", "uint256", "bytes32", "bytes"]
    body = encode(words, [3, 11, b"\x07" * 32, pack_rows(rows)])
    topics = [topic(Settled), VAULT.rjust(32, b"\0"), A.rjust(32, b"\0")]
    assert decode_event(topics, body) == Settled(VAULT, A, 3, 11, b"\x07" * 32, rows)


def test_what_is_not_the_vaults_is_nothing() -> None:
    """An event of another signature, and a log without topics, are no events here."""
    assert decode_event([keccak256(b"Paused(address)")], bytes(32)) is None
    assert decode_event([], b"") is None


@pytest.mark.parametrize(
    ("topics", "body"),
    [
        (DEPOSIT[:2], FIVE),
        ([*DEPOSIT, FIVE], FIVE),
        (DEPOSIT, b""),
        (DEPOSIT, FIVE[:31]),
        ([DEPOSIT[0], b"\xff" * 32, DEPOSIT[2]], FIVE),
        ([topic(Settled), *DEPOSIT[1:]], b"\xff" * 128),
        (
            [topic(Settled), DEPOSIT[2], DEPOSIT[2]],
            encode(["uint64", "uint256", "bytes32", "bytes"], [1, 1, VAULT.rjust(32), b"x"]),
        ),
    ],
)
def test_broken_logs_have_a_reason(topics: list[bytes], body: bytes) -> None:
    """Missing topics, short bodies, wild offsets and rows of another length are the endpoint's fault."""
    with pytest.raises(Unavailable) as error:
        decode_event(topics, body)
    assert error.value.reason == "chain_unreachable"


async def test_events_come_in_the_chains_order() -> None:
    """Whatever order the endpoint answers in; what it calls removed is left out."""
    answer = [log(), log(logIndex="0x1"), log(blockNumber="0x8"), log(removed=True, logIndex="0x5")]
    found = await vault_events(Endpoint(answer), VAULT, 8, 9)
    assert [(emitted.block, emitted.index) for emitted in found] == [(8, 2), (9, 1), (9, 2)]
    first: VaultEvent = found[0].event
    assert first == Deposited(VAULT, A, 5)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [None],
        ["0x"],
        [log(topics=None)],
        [log(blockNumber=None)],
        [log(logIndex="7")],
        [log(blockNumber="0xa")],
        [log(address=hex0x(A))],
        [log(data=None)],
        [log(transactionHash=5)],
        [log(topics=[None])],
    ],
)
async def test_answers_that_are_no_logs_have_a_reason(answer: object) -> None:
    """Nulls, other types, other blocks and other contracts are refused, never taken for nothing."""
    with pytest.raises(Unavailable) as error:
        await vault_events(Endpoint(answer), VAULT, 8, 9)
    assert error.value.reason == "chain_unreachable"


def test_who_may_hold_a_lease_on_an_account() -> None:
    """Whoever asked and did not give back, in the order of asking; another account's leases are not meant."""
    b, c = b"\x0c" * 20, b"\x0d" * 20
    ann, bob, eve = b"\xaa" * 20, b"\xbb" * 20, b"\xee" * 20
    events = (
        Leased(A, 1, 9, (Row(ann, 5), Row(bob, 5))),
        Leased(b, 1, 9, (Row(ann, 5),)),
        Leased(c, 1, 9, (Row(bob, 5),)),
        LeaseReturned(A, ann, 5),
        LeaseReturned(b, bob, 5),
        Leased(A, 2, 9, (Row(ann, 5),)),
    )
    emitted = [Emitted(event, 1, index, bytes(32)) for index, event in enumerate(events)]
    assert lessees(emitted, ann) == (b, A)
    assert lessees(emitted, bob) == (A, c)
    assert lessees(emitted, eve) == ()
