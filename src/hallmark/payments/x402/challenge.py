"""What a 402 says: every way to pay for one request, made from the node's offer and the most that it can
cost.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.money import Asset, Offer
from hallmark.payments.x402.messages import PaymentRequired, Requirements, Resource, network_of

TIMEOUT_S: Final = 300
"""For how long what a client signs must hold: an answer, and its settlement."""
DEPOSIT_TIMES: Final = 10
"""The first deposit that is proposed to a client, in prices of this request."""


class Settling(msgspec.Struct, frozen=True):
    """Who settles: `sender` (20 bytes) alone may settle `upto`, `authorizer` (20 bytes) alone signs claims
    and refunds of channels, whose payer waits `withdraw_delay` seconds for its money without it (0: the chain
    has no channels). `permit2` says that it has Permit2's contracts.
    """

    authorizer: bytes
    sender: bytes
    withdraw_delay: int
    permit2: bool = True


def requirements(offer: Offer, most: int, settling: Settling) -> tuple[Requirements, ...]:
    """Every way to pay `most` atomic units, in the order of `rails.RAILS`; `exact` by EIP-3009 and by
    Permit2.

    Raises InvalidInput `offer_without_asset`, `price_below_unit` (nothing is served for a price of nothing).
    """
    asset = offer.asset
    if asset is None:
        raise InvalidInput("offer_without_asset", "Prices need the asset that they are in.")
    if most < 1:
        raise InvalidInput(
            "price_below_unit",
            "This request's price is below the asset's smallest unit.",
            "The owner must price it at a unit or more, or serve it for nothing.",
        )
    domain: dict[str, object] = {"name": asset.name, "version": asset.version}
    channel = {
        **domain,
        "assetTransferMethod": "eip3009",
        "receiverAuthorizer": "0x" + settling.authorizer.hex(),
        "withdrawDelay": settling.withdraw_delay,
        "minDeposit": str(DEPOSIT_TIMES * most),
    }
    sender = "0x" + settling.sender.hex()
    permit = {**domain, "assetTransferMethod": "permit2"}
    offered = []
    if settling.withdraw_delay:
        offered.append(_one(offer, asset, "batch-settlement", most, channel))
    if settling.permit2:
        offered.append(_one(offer, asset, "upto", most, {**permit, "facilitatorAddress": sender}))
    offered.append(_one(offer, asset, "exact", most, domain))
    if settling.permit2:
        offered.append(_one(offer, asset, "exact", most, permit))
    return tuple(offered)


def challenge(
    offered: tuple[Requirements, ...], url: str, reason: str, extensions: dict[str, object] | None = None
) -> PaymentRequired:
    """The 402 for `url`; `reason` is the code of what is missing."""
    return PaymentRequired(offered, reason, Resource(url, mime_type="application/json"), extensions or {})


def _one(offer: Offer, asset: Asset, scheme: str, most: int, extra: dict[str, object]) -> Requirements:
    return Requirements(
        scheme, network_of(asset.chain_id), str(most), asset.address, offer.payee, TIMEOUT_S, extra
    )
