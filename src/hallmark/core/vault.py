"""What payers, enclaves and the authority sign for the vault contract (contracts/Vault.sol).

The EIP-712 domain is the vault's own: `EIP712Domain(name="Hallmark Vault", version="1", chainId,
verifyingContract)`, so a statement counts on one chain in one contract. All times are unix seconds, because
the chain's are; money is in atomic units of the vault's asset.

A row (32 bytes) is what settlements and leases carry for one account, the amount cumulative:

    payer     address 20    whose account it is
    amount    uint96  12    all that this enclave ever charged (settlement) or may ever charge (lease)
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256
from hallmark.core.typed import Address, Bytes32, TypedStruct, Uint8, Uint32, Uint64, Uint128

ROW_SIZE: Final = 32
PAYER_SIZE: Final = 20

DOMAIN_TYPE: Final = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
VAULT_NAME: Final = "Hallmark Vault"
VAULT_VERSION: Final = "1"


class SpendingCeiling(TypedStruct, frozen=True):
    """At most `max_claimable` may ever be charged for `payee`, and no lease lasts beyond `valid_until`.
    Signed by `payer`.

    `session` is the key that signs the payer's requests, zero for the payer itself. The highest nonce
    counts (1 is the first), so a ceiling can be raised, lowered and ended.
    """

    NAME: ClassVar[str] = "SpendingCeiling"

    payer: Address
    payee: Address
    session: Address
    max_claimable: Uint128
    nonce: Uint32
    valid_until: Uint32


class Lease(TypedStruct, frozen=True):
    """An enclave takes, raises or renews leases until `until`. `rows` is Keccak-256 of the packed rows.
    Signed by `enclave`.
    """

    NAME: ClassVar[str] = "Lease"

    enclave: Address
    sequence: Uint64
    until: Uint64
    rows: Bytes32


class Settlement(TypedStruct, frozen=True):
    """An enclave charges accounts. `rows` is Keccak-256 of the packed rows; `closing` 1 gives back what is
    left of the leases.

    `receipts_root` commits to the receipts that these charges are for; the contract only tells it on.
    `sequence` is one count with that of leases. Signed by `enclave`.
    """

    NAME: ClassVar[str] = "Settlement"

    enclave: Address
    sequence: Uint64
    rows: Bytes32
    receipts_root: Bytes32
    closing: Uint8


class EnclaveRegistration(TypedStruct, frozen=True):
    """The authority lets a key take leases until `valid_until` and settle for `payee`. Threshold of
    authority keys.

    `bundle` is the digest of its KeyBundle, `measurement` that of the approved Measurement that its
    evidence showed.
    """

    NAME: ClassVar[str] = "EnclaveRegistration"

    enclave: Address
    payee: Address
    bundle: Bytes32
    measurement: Bytes32
    valid_until: Uint64


class EnclaveRevocation(TypedStruct, frozen=True):
    """The authority takes a key out for good. Threshold of authority keys."""

    NAME: ClassVar[str] = "EnclaveRevocation"

    enclave: Address
    reason: Bytes32


class DepositPause(TypedStruct, frozen=True):
    """The authority stops deposits (`paused` 1) or lets them begin again. Threshold of authority keys."""

    NAME: ClassVar[str] = "DepositPause"

    paused: Uint8
    nonce: Uint64


class WithdrawalRequest(TypedStruct, frozen=True):
    """A payer asks for `amount` back without paying gas. `nonce` is the vault's `nonces(payer)`. Signed by
    `payer`.
    """

    NAME: ClassVar[str] = "WithdrawalRequest"

    payer: Address
    amount: Uint128
    nonce: Uint64
    deadline: Uint64


STATEMENTS: Final[tuple[type[TypedStruct], ...]] = (
    SpendingCeiling,
    Lease,
    Settlement,
    EnclaveRegistration,
    EnclaveRevocation,
    DepositPause,
    WithdrawalRequest,
)


class Row(msgspec.Struct, frozen=True):
    """One account's cumulative amount."""

    payer: bytes
    amount: int


def pack_rows(rows: Iterable[Row]) -> bytes:
    """The rows as the contract reads them. Raises InvalidInput `vault_rows`."""
    try:
        packed = [row.payer + row.amount.to_bytes(ROW_SIZE - PAYER_SIZE, "big") for row in rows]
    except OverflowError as error:
        raise InvalidInput("vault_rows", "An amount does not fit its field.") from error
    if not packed or any(len(row) != ROW_SIZE for row in packed):
        raise InvalidInput("vault_rows", "A settlement or lease has one row at least, each of an address.")
    return b"".join(packed)


def unpack_rows(packed: bytes) -> tuple[Row, ...]:
    """Read packed rows. Raises InvalidInput `vault_rows`."""
    if not packed or len(packed) % ROW_SIZE:
        raise InvalidInput("vault_rows", f"Rows are {ROW_SIZE} bytes each, and one at least.")
    rows = (packed[start : start + ROW_SIZE] for start in range(0, len(packed), ROW_SIZE))
    return tuple(Row(row[:PAYER_SIZE], int.from_bytes(row[PAYER_SIZE:], "big")) for row in rows)


@functools.lru_cache(maxsize=64)
def contract_domain(name: str, version: str, chain_id: int, contract: bytes) -> bytes:
    """EIP-712 domain separator of a contract (name, version, chain id, verifying contract); 32 bytes."""
    return keccak256(
        keccak256(DOMAIN_TYPE)
        + keccak256(name.encode())
        + keccak256(version.encode())
        + chain_id.to_bytes(32, "big")
        + contract.rjust(32, b"\0")
    )


class Vault(msgspec.Struct, frozen=True):
    """One vault contract: its chain and its 20-byte address."""

    chain_id: int
    address: bytes

    def digest(self, statement: TypedStruct) -> bytes:
        """The 32 bytes that are signed for it."""
        return vault_digest(statement, self.chain_id, self.address)


def vault_digest(statement: TypedStruct, chain_id: int, vault: bytes) -> bytes:
    """The 32 bytes that are signed for the vault at `vault` (20 bytes) on a chain."""
    domain = contract_domain(VAULT_NAME, VAULT_VERSION, chain_id, vault)
    return keccak256(b"\x19\x01" + domain + statement.struct_hash())
