"""An issuer's private keys of one epoch: they sign what payers blinded, at the value that was paid for."""

from __future__ import annotations

from collections.abc import Sequence

from hallmark.core.errors import InvalidInput
from hallmark.core.tokens import VALUES
from hallmark.crypto.blind_rsa import Chance
from hallmark.crypto.blind_signing import BlindSigningKey
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.tokens import Signed


class SigningKeys:
    """An issuer's private keys of one epoch, by value, beside their key set."""

    def __init__(self, keys: KeySet, signing: Sequence[BlindSigningKey]) -> None:
        """Raises InvalidInput `token_keys_other` unless they are the key set's."""
        if [key.public.spki for key in signing] != [key.spki for key in keys.keys]:
            raise InvalidInput("token_keys_other", "The private keys are not those of this key set.")
        self.keys, self._signing = keys, tuple(signing)

    def sign(self, value: int, blinded: bytes, chance: Chance) -> Signed:
        """Sign a blinded message for a value.

        Raises InvalidInput `bad_token_value`, `bad_blinded_message`.
        """
        if not 0 <= value < VALUES:
            raise InvalidInput("bad_token_value", f"Values are 0 to {VALUES - 1}.")
        return Signed(value, self._signing[value].blind_sign(blinded, chance))
