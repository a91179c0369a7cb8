"""The receipt: what an enclave signs about one answer. This table is the authority on its fields and their
order.

Digests of content are salted with 32 random bytes that travel to the owner only; destroying the salt is
deletion.
A zero `artifact` means that no artifact of ours ran (an upstream provider did, see `upstream`); zero
`payment` means that no
payment record exists. `previous` is the receipt digest of this key's receipt with `sequence - 1`, zero for
sequence 0.
Times are unix milliseconds by the node's clock.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from hallmark.core.hashing import sha256
from hallmark.core.typed import Address, Bytes32, TypedStruct, Uint8, Uint64, Uint128

RECEIPT_VERSION = 1
REQUEST_TAG = b"hallmark/request/v1\0"
RESPONSE_TAG = b"hallmark/response/v1\0"


class Mode(enum.IntEnum):
    """How the answer was made, which decides how it can be proved."""

    VANILLA = 0
    TEE = 1
    REPLAY = 2
    ZKML = 3


class Receipt(TypedStruct, frozen=True):
    """One answer by one node. See the module docstring; packed size 566 bytes."""

    NAME: ClassVar[str] = "Receipt"

    version: Uint8
    network: Bytes32
    node: Address
    bundle: Bytes32
    sequence: Uint64
    previous: Bytes32
    request: Bytes32
    response: Bytes32
    mode: Uint8
    artifact: Bytes32
    manifest: Bytes32
    upstream: Bytes32
    parameters: Bytes32
    route: Bytes32
    inputs: Bytes32
    payment: Bytes32
    charged: Uint128
    tokens_in: Uint64
    tokens_out: Uint64
    beacon_size: Uint64
    beacon_root: Bytes32
    started: Uint64
    finished: Uint64
    policy: Bytes32
    client_nonce: Bytes32

    def digest(self) -> bytes:
        """The receipt's id: its EIP-712 struct hash; 32 bytes. Independent of signature and chain."""
        return self.struct_hash()


def request_digest(salt: bytes, path: str, body: bytes) -> bytes:
    """SHA-256(tag || salt || u16be path length || path || body): the exact request; `salt` is 32 bytes."""
    name = path.encode()
    return sha256(REQUEST_TAG, salt, len(name).to_bytes(2, "big"), name, body)


def response_prefix(salt: bytes) -> bytes:
    """What a rolling response digest starts from: response = SHA-256(this || every byte emitted)."""
    return RESPONSE_TAG + salt


def response_digest(salt: bytes, body: bytes) -> bytes:
    """SHA-256(tag || salt || bytes emitted before the receipt); `salt` is 32 bytes."""
    return sha256(response_prefix(salt), body)
