"""The way of entries from bytes to places: admission, what is there already, quotas, sequencer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from hallmark.core.errors import HallmarkError, RateLimited
from hallmark.services.log.admission import Admission, Claim, Submission, split_many, statement_logged
from hallmark.services.log.membership import Membership
from hallmark.services.log.sequencer import Place, Placed, Sequencer
from hallmark.services.log.submitters import SignerUnknown

AT_ONCE: Final = 128
"""Entries whose signatures are looked at in one go: what a body can waste before it is stopped."""

Outcome = Placed | HallmarkError


class Submissions:
    """See the module docstring."""

    def __init__(self, admission: Admission, known: Membership, sequencer: Sequencer) -> None:
        self._admission = admission
        self._known = known
        self._sequencer = sequencer

    def open(self, source: bytes) -> None:
        """Raises RateLimited `too_much_refused` to an address not heard now, before its body is read."""
        self._admission.open_to(source)

    def split(self, body: bytes, source: bytes) -> list[bytes]:
        """The entries of an add-many body. Raises what `split_many` raises."""
        try:
            return split_many(body)
        except HallmarkError:
            self._admission.refused(source)
            raise

    async def add(self, data: bytes, source: bytes, nonce: bytes = b"") -> Placed:
        """The entry's durable place. Raises what `Admission`, `Sequencer` and the store raise."""
        (outcome,) = await self.add_all([data], source, nonce)
        if isinstance(outcome, HallmarkError):
            raise outcome
        return outcome

    async def add_all(self, entries: Sequence[bytes], source: bytes, nonce: bytes = b"") -> list[Outcome]:
        """For each entry its place, or why it got none. Raises RateLimited `too_much_refused`."""
        self._admission.open_to(source)
        outcomes: dict[int, Outcome] = {}
        admitted: dict[int, Submission] = {}
        allowed, refused = self._admission.quotas.refusals_in_body, 0
        for start in range(0, len(entries), AT_ONCE):
            if refused > allowed or not self._admission.hears(source):
                break
            claims = {}
            for number in range(start, min(start + AT_ONCE, len(entries))):
                try:
                    claims[number] = self._admission.claim(entries[number], source, nonce)
                except HallmarkError as error:
                    outcomes[number] = error
            judged = await self._judged(list(claims.values()))
            for number, found in zip(claims, judged, strict=True):
                if isinstance(found, HallmarkError):
                    outcomes[number] = found
                else:
                    admitted[number] = found
            refused += self._count(outcomes, source, start)
        outcomes |= await self._place(admitted)
        stopped = RateLimited("too_much_refused", "Too much of this body had to be refused.", 1)
        return [outcomes.get(number, stopped) for number in range(len(entries))]

    async def _judged(self, claims: list[Claim]) -> list[Submission | HallmarkError]:
        """In a thread when there are several, which leaves the log free for the rest."""
        if len(claims) <= 1:
            return [self._admitted(claim) for claim in claims]
        return await asyncio.to_thread(lambda: [self._admitted(claim) for claim in claims])

    def _admitted(self, claim: Claim) -> Submission | HallmarkError:
        try:
            return self._admission.admit(claim)
        except HallmarkError as error:
            return error

    def _count(self, outcomes: dict[int, Outcome], source: bytes, start: int) -> int:
        """How many from `start` on were refused for what they are, each against the address. Who is not
        registered yet, or no longer, may be carried by somebody who cannot know.
        """
        found = [
            outcome
            for number, outcome in outcomes.items()
            if number >= start and not isinstance(outcome, RateLimited | SignerUnknown)
        ]
        for _ in found:
            self._admission.refused(source)
        return len(found)

    async def _place(self, admitted: dict[int, Submission]) -> dict[int, Outcome]:
        """The places of those that are there, and of the others once they are durable."""
        outcomes: dict[int, Outcome] = {}
        logged = await self._logged(admitted)
        coming: dict[int, Place] = {}
        for number, submission in admitted.items():
            known = logged.get(number)
            if known is not None:
                outcomes[number] = known
                continue
            try:
                # No await between the charge and the queue: what was charged is on its way.
                if not self._sequencer.has(submission.entry_id):
                    submission = self._admission.charge(submission)
                coming[number] = self._sequencer.enqueue(submission)
            except HallmarkError as error:
                outcomes[number] = error
        places = await self._sequencer.outcomes(list(coming.values()))
        return outcomes | dict(zip(coming, places, strict=True))

    async def _logged(self, admitted: dict[int, Submission]) -> dict[int, Outcome]:
        """Those that the log has: as they are, with their places, or as another form of a statement."""
        asked = {
            number: one
            for number, one in admitted.items()
            if (self._admission.repeats(one) or one.note.statement) and not self._sequencer.has(one.entry_id)
        }
        if not asked:
            return {}
        found = await self._sequencer.places(list(asked.values()))
        missing = [one.note.statement for one in asked.values() if one.entry_id not in found]
        said = await self._known.statements([digest for digest in missing if digest])
        outcomes: dict[int, Outcome] = {}
        for number, one in asked.items():
            if one.entry_id in found:
                outcomes[number] = found[one.entry_id]
            elif one.note.statement in said:
                outcomes[number] = statement_logged()
        return outcomes
