"""What prices, offers and payment records are made of. Amounts are integers of an asset's atomic units.

A price of tokens is an amount for a million of them, because one token costs less than any asset's smallest
unit: 150,000 of USDC's units for a million tokens is 0.15 USDC. What a use costs is worked out in millionths
and rounded up once, at the end, so that drawing it in many small steps takes exactly what one step would.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from hallmark.core.document import Document, Hex20, Hex32, Uint63

MILLION: Final = 1_000_000
MAX_AMOUNT: Final = (1 << 96) - 1
"""The largest amount anywhere: what a row of a settlement can hold."""


# As text: JSON readers of other languages lose whole numbers over 53 bits.
Amount = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,28})$(?!\n)")]


class Asset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ERC-20 token on one EVM chain.

    `name` and `version` are of its EIP-712 domain. `development` says that it is worth nothing, and every
    surface that shows an amount of it says so.
    """

    chain_id: Uint63
    address: Hex20
    decimals: Uint63
    symbol: str
    name: str
    version: str
    development: bool = False


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one model costs, in atomic units. What is 0 is not counted; a price with nothing counted is no
    price.
    """

    label: str
    million_tokens_in: Uint63 = 0
    million_tokens_out: Uint63 = 0
    image: Uint63 = 0
    second: Uint63 = 0
    call: Uint63 = 0


class FreeUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request costs nothing when it can use no more than this, or is to one of `models` (labels);
    `everything` has no bounds.
    """

    tokens_in: Uint63 = 0
    tokens_out: Uint63 = 0
    everything: bool = False
    models: tuple[str, ...] = ()


class Offer(Document, frozen=True):
    """What a node's owner asks for answers: the terms that a receipt names.

    `payee` is the payment address of the owner's key bundles; `vault` the contract that holds accounts, empty
    where there is none. An offer holds for requests that begin at `since` or later and before `until` (unix
    ms); one that is running keeps the offer that it began under.
    """

    TAG = "hallmark/offer/v1"
    remembered = True

    network: Hex32
    owner: Hex20
    payee: Hex20
    asset: Asset | None
    vault: Hex20 | None
    prices: tuple[Price, ...]
    free: FreeUse
    since: Uint63
    until: Uint63


Rail = Literal["free", "vault", "exact", "upto", "batch-settlement", "token"]


class Payment(Document, frozen=True):
    """What one answer's money was: the record that a receipt's `payment` commits to.

    `request` and `charged` repeat the receipt's. `reserved` is the most that the request could have cost,
    `authorization` the digest of what the payer signed for it (32 zero bytes when nothing was), `account` its
    number in the enclave's books (0: none). `position` is that of the event which ended the request in the
    enclave's journal of accounts: it shows a journal that was put back. `price` is the offer's own for this
    model, so that the sum can be worked out from this record alone. On the rail `free` nobody pays:
    there is no payer and both amounts are 0. On the rail `token` no payer is known: `authorization` is the
    digest of the tokens that were spent (`core.tokens.TokenSpend`), `reserved` what they are worth together.
    """

    TAG = "hallmark/payment/v1"
    remembered = True

    network: Hex32
    offer: Hex32
    rail: Rail
    payer: Hex20 | None
    payee: Hex20
    account: Uint63
    asset: Asset | None
    price: Price | None
    request: Hex32
    authorization: Hex32
    tokens_in: Uint63
    tokens_out: Uint63
    images: Uint63
    milliseconds: Uint63
    reserved: Amount
    charged: Amount
    position: Uint63
