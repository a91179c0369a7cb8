"""Checking an anchor: the contract itself is read, the record is only a hint where to look."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.services.chain.contract import AnchorContract, Stored
from hallmark.services.chain.rpc import RPC

SHA256: Final = 32
_SEAL = object()


class ConfirmedAnchor(msgspec.Struct, frozen=True):
    """A checkpoint that the contract held at the time of asking. Only `check_anchor` makes one, and
    `read_again` of what it made.

    `confirmations` counts the block that took the checkpoint and those on top of it; `time` is that
    block's, in unix ms.
    """

    chain_id: int
    contract: bytes
    size: int
    root: bytes
    block: int
    time: int
    confirmations: int
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("ConfirmedAnchor is made by check_anchor alone.")


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    chain_id: int
    contract: bytes
    size: int
    root: bytes
    block: int
    time: int
    confirmations: int


def kept_anchor(anchor: ConfirmedAnchor) -> bytes:
    """An anchor for `read_again`: the SHA-256 of the body, and the body in MessagePack."""
    fields = [getattr(anchor, name) for name in _Kept.__struct_fields__]
    body = msgspec.msgpack.encode(fields)
    return sha256(body) + body


def read_again(row: bytes) -> ConfirmedAnchor | None:
    """An anchor that this owner's process kept after the contract had held it; None when it is not whole.
    What the contract holds stays there while the chain does, which is for the caller to ask of a later one.
    """
    if sha256(row[SHA256:]) != row[:SHA256]:
        return None
    try:
        found = msgspec.msgpack.decode(row[SHA256:], type=_Kept)
    except msgspec.MsgspecError:
        return None
    return ConfirmedAnchor(**msgspec.structs.asdict(found), seal=_SEAL)


async def check_anchor(
    rpc: RPC, contract: bytes, record: AnchorRecord, *, chain_id: int, confirmations: int = 1
) -> ConfirmedAnchor:
    """Check that the chain holds the record's checkpoint in `contract` (from the trust file), deep enough.

    1. The record names the trust file's chain and contract, not one of its own choosing.
    2. The endpoint serves that chain, and the contract is there.
    3. The contract has a checkpoint of that size, with that root.
    4. The contract counts blocks as the endpoint does: its block there has the time that the contract noted.
       (On some second layers `block.number` is another chain's.) A block that the endpoint lacks passes.
    5. That block has at least `confirmations` confirmations.

    The record's transaction and confirmations are not used, its block only to tell a chain that lacks the
    checkpoint from one that has not come so far. The endpoint is believed for what the chain says.

    Raises VerificationFailed when the record is contradicted: `anchor_other_chain`, `anchor_other_contract`,
    `anchor_missing`, `anchor_root_differs`; Unavailable when the chain did not say: `other_chain`,
    `anchor_not_deployed`, `anchor_unreadable`, `anchor_not_reached`, `anchor_block_mismatch`,
    `anchor_not_deep_enough`, `chain_unreachable`.
    """
    if record.chain_id != chain_id:
        raise VerificationFailed("anchor_other_chain", f"The record is of chain {record.chain_id}.")
    if unhex(record.contract) != contract:
        raise VerificationFailed(
            "anchor_other_contract", "The record names another contract than the trust file."
        )
    if await rpc.chain_id() != chain_id:
        raise Unavailable("other_chain", "The endpoint serves another chain than the trust file names.")
    anchor = AnchorContract(rpc, contract)
    if not await anchor.deployed():
        raise Unavailable("anchor_not_deployed", f"The chain has no contract at {hex0x(contract)}.")
    stored = await _stored(anchor, record.size)
    if stored is None:
        head = await rpc.head()
        if head < record.block:
            raise Unavailable(
                "anchor_not_reached",
                f"The endpoint is at block {head}; the anchor is said to be in block {record.block}.",
                "Ask again when the endpoint has caught up, or ask another one.",
            )
        raise VerificationFailed(
            "anchor_missing",
            f"The chain holds no checkpoint of size {record.size}.",
            "The chain may have lost its tail; ask the network for a newer anchor.",
        )
    if stored.root != unhex(record.root):
        raise VerificationFailed(
            "anchor_root_differs", f"The chain holds another root for size {record.size}."
        )
    time = await rpc.block_time(stored.block)
    if time not in (None, stored.time):
        raise Unavailable(
            "anchor_block_mismatch",
            f"Block {stored.block} of the endpoint is not the one that the contract noted.",
            "Confirmations cannot be counted on this chain.",
        )
    depth = await rpc.head() - stored.block + 1
    if depth < max(1, confirmations):
        raise Unavailable(
            "anchor_not_deep_enough", f"The anchor has {max(0, depth)} of {confirmations} confirmations."
        )
    return ConfirmedAnchor(
        chain_id, contract, stored.size, stored.root, stored.block, stored.time * 1000, depth, _SEAL
    )


async def _stored(anchor: AnchorContract, size: int) -> Stored | None:
    """What the contract holds; an answer that is none of an Anchor's says nothing about the record."""
    try:
        return await anchor.stored(size)
    except VerificationFailed as error:
        raise Unavailable(
            "anchor_unreadable",
            f"The endpoint does not answer for the contract as an Anchor does ({error.reason}).",
            "Ask another endpoint; compare the trust file's contract.",
        ) from error
