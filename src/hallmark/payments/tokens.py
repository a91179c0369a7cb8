"""The token rail: what a payer makes, sends and gets back, and what issuer and enclave make of it.

Bought and change: a payer makes a `Blank` for each token, the issuer signs its blinded message, and `finish`
gives the token, which the issuer has never seen. In a request, inside the seal:

    Hallmark-Tokens: base64 of

        u16be length || spend                  TokenSpend, see core.tokens
        change messages                        257 each: u8 value || blinded message 256

There is one change message for each value of the ladder up to what the tokens are worth together, the
smallest first: any change is then at most one token of each value, and which are used tells nothing but the
amount.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.tokens import (
    AUTHENTICATOR,
    DIGEST,
    MAX_TOKENS,
    MAX_UNITS,
    NONCE,
    SPENT_SIZE,
    TOKEN_TYPE,
    VALUES,
    Token,
    TokenSpend,
)
from hallmark.crypto.blind_rsa import Blinded, Chance, blind, finalize
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.accounts import PaymentRequired

HEADER: Final = "hallmark-tokens"
MAX_HEADER: Final = -(-(2 + DIGEST + MAX_TOKENS * SPENT_SIZE + VALUES * (1 + AUTHENTICATOR)) // 3) * 4
REQUEST_SIZE: Final = 3 + AUTHENTICATOR


class Blank(msgspec.Struct, frozen=True):
    """A token in the making: its payer's alone, but for value and `blinded.message`."""

    value: int
    nonce: bytes
    blinded: Blinded


class Signed(msgspec.Struct, frozen=True):
    """A blind signature for a token of a value."""

    value: int
    signature: bytes


class ChangeMessage(msgspec.Struct, frozen=True):
    """A blinded message that may become a token of this value."""

    value: int
    message: bytes


class TokenPayment(msgspec.Struct, frozen=True):
    """What the header says. Nothing is verified yet but its form."""

    spend: TokenSpend
    change: tuple[ChangeMessage, ...]

    def encode(self) -> str:
        """The header's value."""
        spend = self.spend.encode()
        change = b"".join(bytes((each.value,)) + each.message for each in self.change)
        return base64.b64encode(len(spend).to_bytes(2, "big") + spend + change).decode()

    @classmethod
    def decode(cls, value: bytes) -> TokenPayment:
        """Read a header, all of it. Raises InvalidInput `bad_tokens_header`."""
        try:
            data = base64.b64decode(value[: MAX_HEADER + 1], validate=True)
            end = 2 + int.from_bytes(data[:2], "big")
            spend = TokenSpend.decode(data[2:end])
        except (binascii.Error, ValueError, InvalidInput) as error:
            raise _unreadable() from error
        step, rest = 1 + AUTHENTICATOR, data[end:]
        parts = [rest[at : at + step] for at in range(0, len(rest), step)]
        change = tuple(ChangeMessage(part[0], part[1:]) for part in parts)
        whole = len(rest) == len(parts) * step and [each.value for each in change] == list(
            change_values(spend.units)
        )
        if not whole or len(value) > MAX_HEADER:
            raise _unreadable()
        return cls(spend, change)


def split(units: int) -> tuple[int, ...]:
    """Values of at most one token each that are worth exactly so many units, the smallest first. Raises
    InvalidInput `token_amount`.
    """
    if not 0 <= units <= MAX_UNITS:
        raise InvalidInput(
            "token_amount",
            f"One of each token is worth at most {MAX_UNITS} units.",
            "Buy in several steps, or of an issuer whose unit is larger.",
        )
    return tuple(value for value in range(VALUES) if units >> value & 1)


def change_values(units: int) -> tuple[int, ...]:
    """Values for which a request that spends so many units sends change messages."""
    return tuple(value for value in range(VALUES) if 1 << value <= units)


def change_due(reserved: int, charged: int, unit: int) -> tuple[int, ...]:
    """Values of the tokens that come back, all amounts in atomic units. What is less than a unit does not."""
    return split(max(reserved - charged, 0) // unit)


def choose(values: Sequence[int], units: int) -> tuple[int, ...]:
    """Which of the tokens that are held, by their places in `values`, to spend for at least so many units: as
    little more as these tokens allow, and of the tokens that give it few.

    Raises PaymentRequired `tokens_insufficient`.
    """
    # From the largest down: what fits is taken; the smallest that would cover the rest alone is kept in mind.
    order = sorted(range(len(values)), key=lambda at: -values[at])
    taken: list[int] = []
    best: tuple[int, ...] | None = None
    left = units
    for at in order:
        worth = 1 << values[at]
        if worth >= left > 0:
            best = (*taken, at)
        if worth <= left:
            taken.append(at)
            left -= worth
    found = tuple(taken) if left <= 0 and units > 0 else best
    worth_all = sum(1 << values[at] for at in found) if found else 0
    if not found or len(found) > MAX_TOKENS or worth_all > MAX_UNITS:
        raise PaymentRequired(
            "tokens_insufficient",
            "The tokens at hand do not cover what this request can cost.",
            "Buy tokens, or ask for less.",
        )
    return found


def make_blank(keys: KeySet, value: int, chance: Chance) -> Blank:
    """Begin a token of a value. `chance` gives random bytes, as `os.urandom` does."""
    nonce = chance(NONCE)
    return Blank(value, nonce, blind(keys.keys[value], keys.message(value, nonce), chance))


def finish(keys: KeySet, blank: Blank, signature: bytes) -> Token:
    """The token. Raises VerificationFailed `token_invalid` when the issuer signed something else."""
    message = keys.message(blank.value, blank.nonce)
    made = finalize(keys.keys[blank.value], message, signature, blank.blinded.inverse)
    return Token(blank.value, blank.nonce, made)


def pay_with(keys: KeySet, tokens: Iterable[Token], chance: Chance) -> tuple[TokenPayment, tuple[Blank, ...]]:
    """What a request brings, and the blanks of its change, which its payer keeps until the answer's end."""
    spend = TokenSpend.of(keys.digest, tuple(tokens))
    blanks = tuple(make_blank(keys, value, chance) for value in change_values(spend.units))
    change = tuple(ChangeMessage(blank.value, blank.blinded.message) for blank in blanks)
    return TokenPayment(spend, change), blanks


def take_change(
    keys: KeySet, blanks: Iterable[Blank], signed: Iterable[Signed], *, reserved: int, charged: int
) -> tuple[Token, ...]:
    """The tokens that come back; amounts in atomic units, as the receipt has them.

    Raises VerificationFailed `change_short` unless they are all that is due, each under the issuer's key.
    """
    due = change_due(reserved, charged, keys.document.unit)
    blank, given = {each.value: each for each in blanks}, {each.value: each.signature for each in signed}
    try:
        return tuple(finish(keys, blank[value], given[value]) for value in due)
    except (KeyError, VerificationFailed) as error:
        raise VerificationFailed(
            "change_short",
            "The change is not what the receipt leaves over.",
            "Keep the receipt: reserved less charged is what is due, and it is signed.",
        ) from error


def token_request(keys: KeySet, blank: Blank) -> bytes:
    """A TokenRequest (RFC 9578 section 6.1): u16 type || u8 last byte of the key's id || blinded message."""
    short = keys.keys[blank.value].key_id[-1:]
    return TOKEN_TYPE.to_bytes(2, "big") + short + blank.blinded.message


def read_token_request(data: bytes) -> tuple[int, bytes]:
    """The last byte of the key's id, and the blinded message. Raises InvalidInput `bad_token_request`."""
    if len(data) != REQUEST_SIZE or data[:2] != TOKEN_TYPE.to_bytes(2, "big"):
        raise InvalidInput("bad_token_request", "This is not a TokenRequest of type 0x0002.")
    return data[2], data[3:]


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "bad_tokens_header",
        "The tokens' header cannot be read.",
        "It is base64 of tokens of one key set, and of a change message for each value up to their sum.",
    )
