"""A payer's word for one request, as bytes: a ceiling signed by a wallet, a spend signed by its session key.

    ceiling     SpendingCeiling, packed   84
    signature   of the payer              65
    spend       Spend, packed            148
    signature   of the session key        65

EIP-712, in the vault's own domain (`core.vault`).
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.typed import Address, Bytes32, TypedStruct, Uint64, Uint128
from hallmark.core.vault import SpendingCeiling

SIGNATURE: Final = 65


class Spend(TypedStruct, frozen=True):
    """At most `maximum` may be charged to `payer` for the one `request`, begun before `expires` (unix ms).

    `enclave` is the settlement key (`KeyBundle.settlement`) of the one enclave that it is for: no two can
    serve the same spend, whatever they know of each other. `request` is what
    `payments.spending.request_name` calls it. Signed by the ceiling's session key, or by the payer where
    it names none. Used once.
    """

    NAME: ClassVar[str] = "Spend"

    payer: Address
    payee: Address
    enclave: Address
    request: Bytes32
    maximum: Uint128
    nonce: Bytes32
    expires: Uint64


class SpendingAuthorization(msgspec.Struct, frozen=True):
    """Both statements with their signatures; nothing is verified yet."""

    ceiling: SpendingCeiling
    by_payer: bytes
    spend: Spend
    by_session: bytes

    @property
    def session(self) -> bytes:
        """Who has to have signed the spend; 20 bytes."""
        return self.ceiling.session if any(self.ceiling.session) else self.ceiling.payer

    def encode(self) -> bytes:
        """The bytes; see the module docstring."""
        return self.ceiling.pack() + self.by_payer + self.spend.pack() + self.by_session

    @classmethod
    def decode(cls, data: bytes) -> SpendingAuthorization:
        """Read the bytes, all of them. Raises InvalidInput `bad_spending`."""
        first = SpendingCeiling.packed_size()
        second = first + SIGNATURE
        third = second + Spend.packed_size()
        if len(data) != third + SIGNATURE:
            raise InvalidInput("bad_spending", "These bytes are not a signed ceiling and a signed spend.")
        ceiling, spend = SpendingCeiling.unpack(data[:first]), Spend.unpack(data[second:third])
        return cls(ceiling, data[first:second], spend, data[third:])
