"""What the vault tells: its events, read from an endpoint's logs as typed values, in the chain's order.

Nothing here is verified beyond its form: the endpoint is believed for what happened, as for every read.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.core.hashing import keccak256
from hallmark.core.vault import Row, unpack_rows
from hallmark.services.chain.rpc import RPC, data, quantity


class VaultEvent(msgspec.Struct, frozen=True):
    """Base of all events. `ABI` is the contract's declaration; fields stand in its order."""

    ABI: ClassVar[str] = ""


class Deposited(VaultEvent, frozen=True):
    """Money came into an account."""

    ABI: ClassVar[str] = "address indexed payer,address indexed from,uint256 amount"
    payer: bytes
    sender: bytes
    amount: int


class CeilingSet(VaultEvent, frozen=True):
    """A payer's ceiling for a payee is in force."""

    ABI: ClassVar[str] = (
        "address indexed payer,address indexed payee,address session,uint128 maxClaimable,uint32 nonce,"
        "uint32 validUntil"
    )
    payer: bytes
    payee: bytes
    session: bytes
    max_claimable: int
    nonce: int
    valid_until: int


class EnclaveRegistered(VaultEvent, frozen=True):
    """A quorum let a key lease and settle for a payee."""

    ABI: ClassVar[str] = (
        "address indexed enclave,address indexed payee,bytes32 bundle,bytes32 measurement,uint64 validUntil"
    )
    enclave: bytes
    payee: bytes
    bundle: bytes
    measurement: bytes
    valid_until: int


class EnclaveRevoked(VaultEvent, frozen=True):
    """A quorum took a key out."""

    ABI: ClassVar[str] = "address indexed enclave,bytes32 reason"
    enclave: bytes
    reason: bytes


class Leased(VaultEvent, frozen=True):
    """An enclave asked for leases; a row that was refused has a LeaseRefused in the same transaction."""

    ABI: ClassVar[str] = "address indexed enclave,uint64 sequence,uint64 until,bytes rows"
    enclave: bytes
    sequence: int
    until: int
    rows: tuple[Row, ...]


class LeaseRefused(VaultEvent, frozen=True):
    """An account did not allow a lease; nothing changed."""

    ABI: ClassVar[str] = "address indexed enclave,address indexed payer,uint96 allowance"
    enclave: bytes
    payer: bytes
    allowance: int


class LeaseReturned(VaultEvent, frozen=True):
    """A lease ended and its rest is free again."""

    ABI: ClassVar[str] = "address indexed enclave,address indexed payer,uint96 amount"
    enclave: bytes
    payer: bytes
    amount: int


class Settled(VaultEvent, frozen=True):
    """An enclave charged accounts; `rows` are cumulative, `total` is what they newly charged."""

    ABI: ClassVar[str] = (
        "address indexed enclave,address indexed payee,uint64 sequence,uint256 total,bytes32 receiptsRoot,"
        "bytes rows"
    )
    enclave: bytes
    payee: bytes
    sequence: int
    total: int
    receipts_root: bytes
    rows: tuple[Row, ...]


class RowTooLate(VaultEvent, frozen=True):
    """A row of the settlement came after its lease's window; nothing was charged for it."""

    ABI: ClassVar[str] = "address indexed enclave,address indexed payer,uint96 cumulative"
    enclave: bytes
    payer: bytes
    cumulative: int


class Collected(VaultEvent, frozen=True):
    """A payee was paid."""

    ABI: ClassVar[str] = "address indexed payee,uint256 amount"
    payee: bytes
    amount: int


class WithdrawalRequested(VaultEvent, frozen=True):
    """A payer asks for money back, payable from `ready_at` on; `amount` 0 cancels."""

    ABI: ClassVar[str] = "address indexed payer,uint96 amount,uint32 readyAt"
    payer: bytes
    amount: int
    ready_at: int


class Withdrawn(VaultEvent, frozen=True):
    """A payer was paid back."""

    ABI: ClassVar[str] = "address indexed payer,uint256 amount"
    payer: bytes
    amount: int


EVENTS: Final[tuple[type[VaultEvent], ...]] = (
    Deposited,
    CeilingSet,
    EnclaveRegistered,
    EnclaveRevoked,
    Leased,
    LeaseRefused,
    LeaseReturned,
    Settled,
    RowTooLate,
    Collected,
    WithdrawalRequested,
    Withdrawn,
)


class Emitted(msgspec.Struct, frozen=True):
    """An event with where it stands: block, place in it, 32-byte transaction hash."""

    event: VaultEvent
    block: int
    index: int
    transaction: bytes


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of an event."""

    kind: str
    name: str
    indexed: bool


@functools.cache
def parameters(cls: type[VaultEvent]) -> tuple[Parameter, ...]:
    """The parameters as the contract declares them."""
    words = [part.split() for part in cls.ABI.split(",")]
    return tuple(Parameter(part[0], part[-1], "indexed" in part) for part in words)


@functools.cache
def topic(cls: type[VaultEvent]) -> bytes:
    """Keccak-256 of the event's signature: its first topic."""
    kinds = ",".join(parameter.kind for parameter in parameters(cls))
    return keccak256(f"{cls.__name__}({kinds})".encode())


@functools.cache
def _by_topic() -> dict[bytes, type[VaultEvent]]:
    return {topic(cls): cls for cls in EVENTS}


def decode_event(topics: Sequence[bytes], body: bytes) -> VaultEvent | None:
    """The event that a log holds; None for one that is not the vault's (a newer contract's, the library's).

    Raises Unavailable `chain_unreachable` for a log that cannot be one.
    """
    from eth_abi.abi import decode

    cls = _by_topic().get(topics[0]) if topics else None
    if cls is None:
        return None
    declared = parameters(cls)
    try:
        indexed = iter([decode([p.kind], word)[0] for p, word in zip(_indexed(cls), topics[1:], strict=True)])
        plain = iter(decode([p.kind for p in declared if not p.indexed], body))
        return cls(*(_python(p, next(indexed if p.indexed else plain)) for p in declared))
    except Exception as error:
        # Offsets and lengths are the endpoint's: the library raises whatever they lead it to.
        raise Unavailable(
            "chain_unreachable", f"The chain endpoint answered with a broken {cls.__name__} event."
        ) from error


def _indexed(cls: type[VaultEvent]) -> list[Parameter]:
    return [parameter for parameter in parameters(cls) if parameter.indexed]


def _python(parameter: Parameter, value: Any) -> Any:
    if parameter.kind == "address":
        return bytes.fromhex(value[2:])
    return unpack_rows(value) if parameter.name == "rows" else value


async def vault_events(
    rpc: RPC, vault: bytes, first: int, last: int, *, only: Sequence[type[VaultEvent]] = EVENTS
) -> tuple[Emitted, ...]:
    """The vault's events of blocks `first` to `last`, both included, in the chain's order.

    Events of transactions that the endpoint calls removed are left out. Raises what `RPC` raises; Unavailable
    `chain_unreachable` for anything that is no log of this contract in these blocks.
    """
    wanted = [hex0x(topic(cls)) for cls in only]
    question = {
        "address": hex0x(vault),
        "fromBlock": hex(first),
        "toBlock": hex(last),
        "topics": [wanted],
    }
    found = await rpc.call("eth_getLogs", question)
    if not isinstance(found, list):
        raise Unavailable("chain_unreachable", "The chain endpoint answered with no list of logs.")
    read = [_emitted(log, vault, range(first, last + 1)) for log in found]
    return tuple(sorted((e for e in read if e is not None), key=lambda e: (e.block, e.index)))


def lessees(events: Sequence[Emitted], payer: bytes) -> tuple[bytes, ...]:
    """Addresses of the enclaves that may hold an open lease on a payer's account after these events, oldest
    first.

    Whether a lease is open says `VaultContract.lease`; a payer who leaves has each of them released. All
    events since the account was opened must be given: `Account.open_leases` is the number of those that are
    open.
    """
    holders: dict[bytes, None] = {}
    for emitted in events:
        event = emitted.event
        if isinstance(event, Leased) and any(row.payer == payer for row in event.rows):
            holders[event.enclave] = None
        elif isinstance(event, LeaseReturned) and event.payer == payer:
            holders.pop(event.enclave, None)
    return tuple(holders)


def _emitted(log: Any, vault: bytes, blocks: range) -> Emitted | None:
    if not isinstance(log, dict) or not isinstance(log.get("topics"), list):
        raise Unavailable("chain_unreachable", "The chain endpoint answered with something that is no log.")
    if log.get("removed") is True:
        return None
    block, index = quantity(log.get("blockNumber")), quantity(log.get("logIndex"))
    if data(log.get("address")) != vault or block not in blocks:
        raise Unavailable("chain_unreachable", "The chain endpoint answered with a log of something else.")
    event = decode_event([data(word) for word in log["topics"]], data(log.get("data")))
    return None if event is None else Emitted(event, block, index, data(log.get("transactionHash")))
