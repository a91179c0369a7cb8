"""The plain words of payments: what was charged for what, and never more than the record says. Charged is not
moved: what of it the vault has paid out, the chain alone says. The same words stand in
web/src/verify/payment-words.ts.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hallmark.core.amounts import show_amount
from hallmark.core.document import hex0x
from hallmark.core.money import Asset, Payment, Price
from hallmark.core.tokens import TokenSpend
from hallmark.crypto.token_keys import KeySet
from hallmark.verification.wording import short

SYMBOL: Final = re.compile(r"[A-Za-z0-9.]{1,11}", re.ASCII)
MAX_DECIMALS: Final = 18
DEVELOPMENT: Final = "development money, worth nothing"
RAILS: Final = {
    "vault": "from its account in the vault",
    "exact": "by a transfer that it signed",
    "upto": "by a transfer up to a limit that it signed",
    "batch-settlement": "from its payment channel",
    "token": "by unlinkable tokens",
}
ANONYMOUS: Final = "anonymous"
TOKENS_TELL: Final = (
    "the issuer cannot see by the tokens which of its buyers paid, but it knows who bought, who was paid and "
    "when, and time and amounts can give a payer away"
)


class Spent(msgspec.Struct, frozen=True):
    """Tokens that paid: their issuer, and what each is known by in the log, as 0x-hex."""

    issuer: str
    nullifiers: tuple[str, ...]


def spent_of(spend: TokenSpend, keys: KeySet) -> Spent:
    """What to say of tokens of a key set."""
    return Spent(keys.document.issuer, tuple(hex0x(keys.nullifier(token)) for token in spend.tokens))


def charged(units: int) -> str:
    """What a receipt alone says of money."""
    return f"{units} atomic units are charged"


def amount(units: int, asset: Asset | None) -> str:
    """An amount with the asset's symbol; in atomic units where the asset cannot be shown so."""
    if asset is None:
        return f"{units} atomic units"
    if not SYMBOL.fullmatch(asset.symbol) or not 0 <= asset.decimals <= MAX_DECIMALS:
        return f"{units} atomic units of token {short(asset.address)}"
    return show_amount(units, asset)


def prices(record: Payment, price: Price) -> str:
    """What was used, at which price."""
    asset, parts = record.asset, []
    if price.million_tokens_in:
        parts.append(f"{record.tokens_in} tokens in at {amount(price.million_tokens_in, asset)} a million")
    if price.million_tokens_out:
        parts.append(f"{record.tokens_out} tokens out at {amount(price.million_tokens_out, asset)} a million")
    if price.image:
        parts.append(f"{record.images} images at {amount(price.image, asset)} each")
    if price.second:
        parts.append(f"{record.milliseconds} ms at {amount(price.second, asset)} for each second begun")
    if price.call:
        parts.append(f"one call at {amount(price.call, asset)}")
    return ", ".join(parts) or "nothing that is counted"


def paid(record: Payment) -> str:
    """Who is charged what by whom, for which request; or that nobody is."""
    request, offer = short(record.request), short(record.offer)
    if record.rail == "free":
        used = f"{record.tokens_in} tokens in and {record.tokens_out} tokens out"
        return f"nobody is charged for request {request}, {used}: offer {offer} serves it for nothing"
    asset = record.asset
    units = amount(int(record.charged), asset)
    if asset is not None and asset.development:
        units = f"{units} ({DEVELOPMENT})"
    anonymous = record.rail == "token"
    who = f"payer {short(record.payer)}" if record.payer else "no payer"
    who = "an anonymous payer" if anonymous else who
    way = f"{RAILS[record.rail]}; {TOKENS_TELL}" if anonymous else RAILS[record.rail]
    used = prices(record, record.price) if record.price else "at no price"
    return (
        f"{who} is charged {units} by payee {short(record.payee)} for request {request}: {used}; "
        f"{amount(int(record.reserved), asset)} was reserved; under offer {offer}, {way}; "
        "it buys no proof and no good answer, and what of it has been moved is not shown here"
    )


def detail(record: Payment, spent: Spent | None = None) -> dict[str, str]:
    """What a mark carries of a payment: its words, and each thing by name; with the tokens, where shown."""
    asset, price = record.asset, record.price
    found = {
        "what": paid(record),
        "rail": record.rail,
        "payee": record.payee,
        "offer": record.offer,
        "request": record.request,
        "tokens": f"{record.tokens_in} in, {record.tokens_out} out",
    }
    if record.rail == "free":
        return found
    return found | {
        "payer": ANONYMOUS if record.rail == "token" else record.payer or "",
        "asset": asset.address if asset else "",
        "chain": str(asset.chain_id) if asset else "",
        "development": "yes" if asset and asset.development else "",
        "price": prices(record, price) if price else "",
        "reserved": record.reserved,
        "charged": record.charged,
        "shown": amount(int(record.charged), asset),
        "authorization": record.authorization,
        **({"issuer": spent.issuer, "nullifiers": " ".join(spent.nullifiers)} if spent else {}),
    }
