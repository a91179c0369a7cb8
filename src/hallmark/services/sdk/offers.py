"""Price offers as a client reads them: what the gateway lists, and what the log proves of it.

With a trust file nothing of an offer that is `proven` is the gateway's word, but that nobody speaks against
it today. For each node:

1. The offer's entry stands in the log, below a quorum's checkpoint, and is signed by the owner that it names.
2. The node's registration stands there too, signed by the node's key and by the same owner.
3. The payee of the offer is that of the registered key bundle, and so is the settlement key.

Everything else is only what somebody said, and `NodeOffer.proven` is False.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.money import Offer
from hallmark.core.statements import PriceOffer, Registration, Role
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import LoggedPart


class NodeOffer(msgspec.Struct, frozen=True):
    """What one node asks: the offer, its digest, the node and its settlement key (0x-hex, empty: it draws on
    no accounts), what it serves, how many requests at once, and whether it answers now by the gateway's word.
    """

    offer: Offer
    digest: str
    node: str
    settlement: str
    models: tuple[str, ...]
    capacity: int
    answers: bool
    proven: bool


class _Node(msgspec.Struct, frozen=True):
    node: str
    models: tuple[str, ...]
    settlement: str | None = None
    capacity: int = 1
    answers: bool = False
    registration: LoggedPart | None = None


class _Listed(msgspec.Struct, frozen=True):
    digest: str
    nodes: tuple[_Node, ...]
    entry: LoggedPart | None = None


def read_offers(found: Mapping[str, Any], verifier: Verifier | None) -> tuple[NodeOffer, ...]:
    """The offers of `GET /v1/hallmark/offers?proofs=true`, one for each node. Raises InvalidInput
    `bad_offers`.
    """
    read = []
    try:
        for value in found["offers"]:
            listed = msgspec.convert(value, type=_Listed)
            fields = {name: value.get(name) for name in Offer.__struct_fields__}
            told = msgspec.convert(fields, type=Offer)
            for node in listed.nodes:
                proven = _proven(listed, node, verifier) if verifier is not None else None
                read.append(proven or _made(told, node, node.settlement or "", proven=False))
    except (msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("bad_offers", "The network's list of offers cannot be read.") from error
    return tuple(read)


def _proven(listed: _Listed, node: _Node, verifier: Verifier) -> NodeOffer | None:
    """The node's offer as the log has it; None when that is not shown."""
    try:
        offer = verify_offer(listed.entry, verifier)
        bundle = verify_node(node.registration, offer, verifier)
    except HallmarkError:
        return None
    if bundle.signing_key != node.node:
        return None
    settlement = bundle.settlement if isinstance(bundle.settlement, str) else ""
    return _made(offer, node, settlement, proven=True)


def verify_offer(part: LoggedPart | None, verifier: Verifier) -> Offer:
    """The offer of a log entry that a quorum saw, signed by its owner. Raises VerificationFailed
    `offer_not_proven`, and what a proof that does not hold raises.
    """
    entry = _logged(part, verifier)
    statement = entry.statement
    if not isinstance(statement, PriceOffer) or len(entry.attachments) != 1 or not entry.signatures:
        raise _not_proven("It is no offer.")
    offer = Offer.decode(entry.attachments[0])
    if statement.document != digest_of(Offer, entry.attachments[0]):
        raise _not_proven("It is another offer than the one that was signed.")
    said = (offer.network, offer.owner, statement.network)
    trust = verifier.trust
    if said != (hex0x(trust.network_id), hex0x(statement.owner), trust.network_id):
        raise _not_proven("It is of another network or owner.")
    if recover_statement(statement, trust.chain_id, entry.signatures[0]) != statement.owner:
        raise _not_proven("It is not signed by its owner.")
    return offer


def verify_node(part: LoggedPart | None, offer: Offer, verifier: Verifier) -> KeyBundle:
    """The key bundle of a node that a quorum saw registered, which the offer is for and pays. Raises as
    `verify_offer` does.
    """
    entry, trust = _logged(part, verifier), verifier.trust
    statement = entry.statement
    if not isinstance(statement, Registration) or statement.role != Role.NODE or len(entry.signatures) < 2:
        raise _not_proven("It is no registration of a node.")
    if statement.document != digest_of(KeyBundle, entry.attachments[0]):
        raise _not_proven("It is another key bundle than the one that was signed.")
    bundle = KeyBundle.decode(entry.attachments[0])
    signers = [recover_statement(statement, trust.chain_id, by) for by in entry.signatures[:2]]
    if signers != [statement.key, statement.owner] or statement.network != trust.network_id:
        raise _not_proven("It is not signed by the node and its owner.")
    if (bundle.signing_key, bundle.owner) != (hex0x(statement.key), hex0x(statement.owner)):
        raise _not_proven("Its key bundle names others.")
    if (bundle.owner, bundle.payment) != (offer.owner, offer.payee):
        raise _not_proven("It is paid at another address than the offer's.")
    if any(bad.key in (bundle.signing_key, bundle.owner) for bad in trust.compromised):
        raise _not_proven("Its key is compromised.")
    return bundle


def _logged(part: LoggedPart | None, verifier: Verifier) -> Entry:
    if part is None or part.proof is None:
        raise _not_proven("No quorum has seen it.")
    place = verifier.place(part.leaf(), part.proof)
    if place.index != part.index:
        raise _not_proven("It stands elsewhere.")
    return part.entry()


def _not_proven(why: str) -> VerificationFailed:
    return VerificationFailed("offer_not_proven", "Whom this offer pays is not shown by the log.", why)


def _made(offer: Offer, node: _Node, settlement: str, *, proven: bool) -> NodeOffer:
    return NodeOffer(
        offer,
        hex0x(offer.digest()),
        node.node,
        settlement,
        node.models,
        max(1, node.capacity),
        node.answers,
        proven,
    )


def payee_of(offer: NodeOffer) -> bytes:
    """Whom it pays; 20 bytes."""
    return unhex(offer.offer.payee)


def logged_entry(part: LoggedPart | None, verifier: Verifier) -> Entry:
    """The entry of a part that a quorum saw, at the place that it names. Raises as `verify_offer` does."""
    return _logged(part, verifier)
