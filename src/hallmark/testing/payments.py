"""Price offers and paid receipts of a little network."""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.money import Asset, FreeUse, Offer, Payment, Price
from hallmark.core.prices import Use, cost
from hallmark.core.receipt import Receipt
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.statements import IssuerEpoch, PriceOffer
from hallmark.core.tokens import IssuerKeys, TokenSpend
from hallmark.core.vault import SpendingCeiling, vault_digest
from hallmark.core.x402_payment import Authorization, Channel, name_of, payment_bytes, signed_by
from hallmark.crypto.secp256k1 import Key
from hallmark.testing.answers import Answer
from hallmark.testing.network import SETTLEMENT, LittleNetwork, key
from hallmark.testing.tokens import issuer_keys, tokens_of

ASSET = Asset(31_337, hex0x(b"\x11" * 20), 6, "DEV", "Hallmark Development Money", "1", development=True)
VAULT = b"\x12" * 20
PAYER, SESSION = key("payer"), key("session")


def offer(net: LittleNetwork, **changes: Any) -> Offer:
    """What the owner of the first node asks for answers of the network's model; changed."""
    node = net.nodes[0]
    assert node.bundle is not None
    made = Offer(
        network=hex0x(net.genesis.network),
        owner=hex0x(node.owner.address),
        payee=node.bundle.payment,
        asset=ASSET,
        vault=hex0x(VAULT),
        prices=(Price(net.card.label, 150_000, 600_000),),
        free=FreeUse(),
        since=net.now - 1_000,
        until=net.now + 3_600_000,
    )
    return msgspec.structs.replace(made, **changes)


def price_offer(net: LittleNetwork, terms: Offer, owner: Key | None = None) -> Entry:
    """The log entry of an offer, by the owner of the first node or by another key."""
    signer = owner or net.nodes[0].owner
    statement = PriceOffer(net.genesis.network, signer.address, terms.digest(), net.now)
    return net.entry(statement, (signer,), terms.encode())


def spend_bytes(net: LittleNetwork, payee: bytes, maximum: int, /, **changes: Any) -> bytes:
    """A ceiling and a spend under it, signed; what a paid receipt's entry carries. Changes are the
    spend's.
    """
    chain = net.genesis.chain_id
    ceiling = SpendingCeiling(PAYER.address, payee, SESSION.address, 10**9, 1, net.now // 1000 + 3_600)
    request, nonce, expires = sha256(b"request"), sha256(b"nonce"), net.now + 60_000
    spend = Spend(PAYER.address, payee, SETTLEMENT, request, maximum, nonce, expires)
    spend = msgspec.structs.replace(spend, **changes)
    by_payer, by_session = (
        signer.sign(vault_digest(said, chain, VAULT)) for signer, said in ((PAYER, ceiling), (SESSION, spend))
    )
    return SpendingAuthorization(ceiling, by_payer, spend, by_session).encode()


def paid_receipt(net: LittleNetwork, terms: Offer, **spend: Any) -> Entry:
    """The log entry of an answer by the first node that is honestly paid for from the vault."""
    return paid_answer(net, terms, spend=spend).entry


def paid_answer(
    net: LittleNetwork, terms: Offer, *, spend: dict[str, Any] | None = None, **changes: Any
) -> Answer:
    """An answer by the first node that is honestly paid for from the vault; changes are the answer's."""

    def pay(receipt: Receipt) -> tuple[Payment, bytes]:
        authorization = spend_bytes(net, unhex(terms.payee), 1_000, **(spend or {}))
        return payment(receipt, terms, authorization), authorization

    made = net.answers.make(net.nodes[0], paid=pay, **changes)
    return msgspec.structs.replace(made, offer=terms)


def free_answer(net: LittleNetwork, terms: Offer, **changes: Any) -> Answer:
    """An answer by the first node that nobody pays for, under an offer that says so."""
    nobody: dict[str, Any] = {"rail": "free", "payer": None, "account": 0, "price": None}
    nobody |= {"reserved": "0", "charged": "0", "position": 0}
    made = net.answers.make(
        net.nodes[0], paid=lambda receipt: (payment(receipt, terms, b"", **nobody), b""), **changes
    )
    return msgspec.structs.replace(made, offer=terms)


def x402_payment(net: LittleNetwork, payee: bytes, way: str, most: int) -> Authorization:
    """A payment by x402 for at most `most`, signed by the payer: `way` is transfer, permit, upto, voucher."""
    later, payer, token = net.now // 1000 + 600, PAYER.address, unhex(ASSET.address)
    transfer = permit = channel = None
    if way == "transfer":
        transfer = Transfer(payer, payee, most, 0, later, sha256(b"nonce"))
    elif way == "voucher":
        config = digests.Channel(payer, bytes(20), payee, SETTLEMENT, token, 900, sha256(b"salt"))
        channel = Channel(config, digests.channel_id(config, ASSET.chain_id), most)
    else:
        proxy = digests.UPTO_PROXY if way == "upto" else digests.EXACT_PROXY
        sender = b"\x15" * 20 if way == "upto" else b""
        permit = digests.Permit(token, most, proxy, 1 << 200, later, payee, 0, sender)
    scheme = {"upto": "upto", "voucher": "batch-settlement"}.get(way, "exact")
    kind: Any = {"transfer": "transfer", "voucher": "voucher"}.get(way, "permit2")
    expires = 0 if channel else later
    made = Authorization(scheme, kind, payer, most, b"", expires, b"", transfer, permit, channel, token=token)
    return sign_x402(made)


def keys_of_issuer(net: LittleNetwork, **changes: Any) -> IssuerKeys:
    """The key set of the network's issuer for its first epoch; changed."""
    named = {"network": hex0x(net.genesis.network), "issuer": hex0x(net.issuer.address), "asset": ASSET}
    return issuer_keys(**named | {"since": net.now - 1_000, "until": net.now + 3_600_000} | changes)


def issuer_epoch(net: LittleNetwork, keys: IssuerKeys, signer: Key | None = None) -> Entry:
    """The log entry of a key set, by the network's issuer or by another key."""
    issuer = signer or net.issuer.key
    statement = IssuerEpoch(net.genesis.network, net.issuer.address, keys.epoch, keys.digest(), net.now)
    return net.entry(statement, (issuer,), keys.encode())


def token_answer(
    net: LittleNetwork,
    terms: Offer,
    keys: IssuerKeys,
    spend: TokenSpend | None = None,
    /,
    **changes: Any,
) -> Answer:
    """An answer by the first node, honestly paid for by a token worth 40; changes are the record's."""
    spent = spend or TokenSpend.of(keys.digest(), tokens_of(keys, 2))

    def pay(receipt: Receipt) -> tuple[Payment, bytes]:
        due = payment(receipt, terms, b"").charged
        honest: dict[str, Any] = {"rail": "token", "payer": None, "account": 0, "charged": due}
        honest |= {"authorization": hex0x(spent.digest()), "reserved": str(spent.units * keys.unit)}
        return payment(receipt, terms, b"", **honest | changes), spent.encode()

    made = net.answers.make(net.nodes[0], paid=pay)
    return msgspec.structs.replace(made, offer=terms, issuer_keys=keys)


def sign_x402(payment: Authorization) -> Authorization:
    """The same payment with digest and signature as its fields need them."""
    said = signed_by(payment, ASSET)
    signature = PAYER.sign(said.digest)
    return msgspec.structs.replace(payment, digest=said.digest, expires=said.expires, signature=signature)


def x402_record(receipt: Receipt, terms: Offer, paid: Authorization, /, **changes: Any) -> Payment:
    """The honest record for a receipt that was paid for by x402; changed."""
    due = payment(receipt, terms, b"").charged
    honest: dict[str, Any] = {
        "rail": paid.scheme,
        "account": 0,
        "authorization": hex0x(name_of(paid, receipt.request)),
        "reserved": str(paid.amount),
        "charged": str(paid.amount) if paid.scheme == "exact" else due,
    }
    return payment(receipt, terms, b"", **honest | changes)


def x402_answer(net: LittleNetwork, terms: Offer, way: str) -> Answer:
    """An answer by the first node that is honestly paid for by x402."""

    def pay(receipt: Receipt) -> tuple[Payment, bytes]:
        paid = x402_payment(net, unhex(terms.payee), way, 40)
        return x402_record(receipt, terms, paid), payment_bytes(paid)

    return msgspec.structs.replace(net.answers.make(net.nodes[0], paid=pay), offer=terms)


def payment(receipt: Receipt, terms: Offer, spent: bytes, /, **changes: Any) -> Payment:
    """The honest record for a receipt under an offer; changed."""
    price = terms.prices[0] if terms.prices else None
    named = ZERO32
    if spent:
        spend = SpendingAuthorization.decode(spent).spend
        named = vault_digest(spend, ASSET.chain_id, VAULT)
    due = cost(price, Use(receipt.tokens_in, receipt.tokens_out)) if price else 0
    made = Payment(
        network=terms.network,
        offer=hex0x(terms.digest()),
        rail="vault",
        payer=hex0x(PAYER.address),
        payee=terms.payee,
        account=1,
        asset=terms.asset,
        price=price,
        request=hex0x(receipt.request),
        authorization=hex0x(named),
        tokens_in=receipt.tokens_in,
        tokens_out=receipt.tokens_out,
        images=0,
        milliseconds=0,
        reserved=str(due + 40),
        charged=str(due),
        position=receipt.sequence + 1,
    )
    return msgspec.structs.replace(made, **changes)
