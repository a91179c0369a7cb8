"""Taking signed reviews. The reviewer's own key signs, in the browser or at the command line; the desk
checks and
passes it on into the log, and what it counts for is decided there and by the gate.
"""

from __future__ import annotations

import hmac
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Entry as LogEntry
from hallmark.core.entries import decode, entry_id
from hallmark.core.errors import Conflict, InvalidInput, VerificationFailed
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Judgement, Review
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.review.items import Item
from hallmark.services.review.actions import ReviewRequest, comment_digest
from hallmark.services.review.context import DeskPart, item_id
from hallmark.services.review.item_changes import ItemChange
from hallmark.services.review.rows import CommentRow, SubmissionRow
from hallmark.services.review.views import ItemRow, Person

SKEW_MS: Final = 10 * 60_000


class Reviewing(DeskPart):
    """See the module docstring."""

    async def review(self, person: Person, item: str, request: ReviewRequest) -> ItemRow:
        """Take a signed review; see `DeskActions.review`. What must hold, in this order, is said here.

        1. It is an entry with one signature, by the key that is signed in, which is a registered reviewer's.
        2. It is about this receipt at its place in the log, and was made about now.
        3. The person neither made the answer nor asked for it.
        4. Its screen was shown for this item, and its policy is one that the item is under.
        5. Its comment digest is that of the texts that came with it.
        """
        office, receipt = self._office, item_id(item)
        entry = decode(unhex(request.entry))
        review = self._own(person, entry)
        office.people.require_reviewer(person)
        loaded = await office.items.load(receipt)
        self._check_subject(review, receipt)
        _check_distance(loaded.item, person)
        seen = await office.screen_of(receipt, hex0x(review.screen))
        under = {*loaded.item.digests, *seen.screen.digests} or {hex0x(ZERO32)}
        if hex0x(review.policy) not in under:
            raise InvalidInput("review_other_policy", "The review names a policy that the item is not under.")
        comment = _comment(review, request, self._office.clock())
        data = entry.encode()
        row = SubmissionRow(entry_id(data), receipt, review.reviewer, data, office.clock())

        def submit(change: ItemChange) -> None:
            change.submission, change.comment = row, comment

        if await office.store.submission(row.id) is None:
            await office.items.amend(receipt, submit, judged=False)
        office.submitting.wake()
        record = (await office.items.load(receipt)).record
        return record.shown(office.clock())

    def _own(self, person: Person, entry: LogEntry) -> Review:
        review, signed = entry.statement, len(entry.signatures) == 1 and not entry.attachments
        if not isinstance(review, Review) or not signed:
            raise InvalidInput("bad_entry", "This is not a review with one signature and nothing else.")
        if review.network != self._office.network or review.judgement not in tuple(Judgement):
            raise InvalidInput("bad_entry", "The review is of another network, or its judgement is unknown.")
        try:
            signer = recover_statement(review, self._office.chain_id, entry.signatures[0])
        except VerificationFailed:
            signer = b""
        if not hmac.compare_digest(signer, review.reviewer) or hex0x(signer) != person.address:
            raise InvalidInput("review_not_yours", "The review is not signed by the key that is signed in.")
        return review

    def _check_subject(self, review: Review, receipt: bytes) -> None:
        position = self._office.evaluator.source.position(receipt)
        if position < 0:
            raise Conflict(
                "item_not_witnessed_yet", "No quorum covers this receipt yet.", "Review it once one does."
            )
        if review.item != receipt or review.subject != position:
            raise InvalidInput("review_other_item", "The review is about another receipt or another place.")
        if abs(review.at - self._office.clock()) > SKEW_MS:
            raise InvalidInput("review_not_now", "The review was not made now.", "Check the clock.")


def _check_distance(item: Item, person: Person) -> None:
    if person.address in item.parties:
        raise Conflict("reviewer_is_executor", "This key took part in making the answer.")
    if person.address in item.requesters:
        raise Conflict("reviewer_is_requester", "This key asked for the answer.")
    if person.address == item.requester_by:
        raise Conflict("reviewer_is_declarer", "This key said who asked for the answer.")


def _comment(review: Review, request: ReviewRequest, now: int) -> CommentRow | None:
    said = bool(request.comment or request.internal)
    salt = unhex(request.salt)
    expected = comment_digest(request.comment, request.internal, salt) if said else ZERO32
    if not hmac.compare_digest(review.comment, expected) or (said and salt == ZERO32):
        raise InvalidInput("comment_digest", "The review does not commit to these comments and this salt.")
    if not said:
        return None
    texts = (request.comment, request.internal)
    return CommentRow(review.item, review.comment, now, review.reviewer, salt, *texts)
