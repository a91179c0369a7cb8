"""What this node's owner asks for answers: offers that the owner signed, as the host brings them."""

from __future__ import annotations

from typing import Final

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.money import Offer
from hallmark.core.prices import check_offer
from hallmark.core.statements import PriceOffer
from hallmark.crypto.secp256k1 import recover_statement

KEPT: Final = 16
"""Offers that are held at once: the newest in force counts, and one that begins later waits."""


class OfferInForce:
    """An offer with its digest (32 bytes) and its exact bytes."""

    def __init__(self, offer: Offer, document: bytes, at: int) -> None:
        self.offer, self.document, self.at = offer, document, at
        self.digest = digest_of(Offer, document)


class Offers:
    """The offers of one owner. What was said later counts from when it holds."""

    def __init__(self, configuration: EnclaveConfiguration) -> None:
        self._configuration = configuration
        self._known: list[OfferInForce] = []

    def take(self, entry: bytes) -> bytes:
        """Take an offer from its exact log entry; its digest.

        Raises VerificationFailed `offer_refused` with the reason as its hint: it is not signed by this node's
        owner, is another network's, pays somebody else, or cannot be meant.
        """
        try:
            known = self._read(entry)
        except HallmarkError as error:
            raise VerificationFailed(
                "offer_refused", "The owner's offer cannot be used.", error.reason
            ) from error
        if all(one.digest != known.digest for one in self._known):
            self._known = [*self._known, known][-KEPT:]
        return known.digest

    def at(self, now: int) -> OfferInForce | None:
        """What holds for a request that begins at `now` (unix ms); None: nothing is offered."""
        found = [one for one in self._known if one.offer.since <= now < one.offer.until]
        return max(found, key=lambda one: one.at, default=None)

    @property
    def newest(self) -> OfferInForce | None:
        """The offer that was said last."""
        return max(self._known, key=lambda one: one.at, default=None)

    def _read(self, data: bytes) -> OfferInForce:
        entry, mine = decode(data), self._configuration
        statement = entry.statement
        if not isinstance(statement, PriceOffer) or len(entry.attachments) != 1 or not entry.signatures:
            raise VerificationFailed("not_an_offer", "This entry is no offer.")
        document = entry.attachments[0]
        offer = Offer.decode(document)
        check_offer(offer)
        owner = unhex(mine.owner)
        if recover_statement(statement, mine.chain_id, entry.signatures[0]) != owner:
            raise VerificationFailed("offer_of_another", "The offer is not signed by this node's owner.")
        said = (hex0x(statement.network), hex0x(statement.owner), offer.network, offer.owner, offer.payee)
        if said != (mine.network, mine.owner, mine.network, mine.owner, mine.payment):
            raise VerificationFailed("offer_names_other", "The offer names another network, owner or payee.")
        if statement.document != digest_of(Offer, document):
            raise VerificationFailed("offer_names_other", "The offer is not the one that was signed.")
        return OfferInForce(offer, document, statement.at)
