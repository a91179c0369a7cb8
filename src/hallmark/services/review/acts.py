"""What people do to one item, or to many for one reason; see `actions.DeskActions`. A person adds evidence
and
words. None of this clears an item: behind every act the evaluator judges again, in the same change.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from hallmark.core.document import unhex
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput
from hallmark.review import events as ev
from hallmark.services.review import actions as act
from hallmark.services.review.context import DeskPart, item_id
from hallmark.services.review.item_changes import ItemChange, SeenScreen
from hallmark.services.review.schema import ITEMS
from hallmark.services.review.views import ItemRow, Person

Work = Callable[[ItemChange], object]


class Acts(DeskPart):
    """Acts on items. Every one returns the item's line afterwards."""

    async def declare(
        self, person: Person | None, token: str, item: str, request: act.DeclareRequest
    ) -> ItemRow:
        """Say what an item is about; see `DeskActions.declare`."""
        office = self._office
        by = person.address if person is not None else f"token {office.people.token_name(token)}"
        if not request.klass and request.value is None and not request.requester:
            raise InvalidInput("nothing_changed", "This changes nothing.")
        value = -1 if request.value is None else request.value

        def work(entry: ItemChange) -> None:
            # A stranger could otherwise hold any item for ever by naming a class that no policy covers.
            if person is not None and person.address not in entry.item.parties:
                office.people.require_any(person)
            entry.then(ev.Declared(office.clock(), by, request.klass, value, request.requester))

        return await self._amend(item, work)

    async def assign(self, person: Person, item: str, request: act.AssignRequest) -> ItemRow:
        """Take an item, give it to another reviewer, or back."""
        return await self._amend(item, self._assigning(person, request))

    async def comment(self, person: Person, item: str, request: act.CommentRequest) -> ItemRow:
        """Remark on an item."""
        return await self._amend(item, self._commenting(person, request))

    async def reject(self, person: Person, item: str, request: act.RejectRequest) -> ItemRow:
        """End an item that is in HOLD."""
        self._office.people.require_reviewer(person)
        seen = await self._office.screen_of(item_id(item), request.screen)
        return await self._amend(item, self._rejecting(person, request, seen))

    async def appeal(self, person: Person, item: str, request: act.AppealRequest) -> ItemRow:
        """Appeal; the fold refuses who is no party."""
        event = ev.Appealed(self._office.clock(), person.address, request.text)
        return await self._amend(item, lambda entry: entry.then(event))

    async def answer_appeal(self, person: Person, item: str, request: act.AnswerAppealRequest) -> ItemRow:
        """Answer the oldest open appeal or disagreement."""
        self._office.people.require_reviewer(person)
        seen = await self._office.screen_of(item_id(item), request.screen)
        event = ev.AppealAnswered(
            self._office.clock(), person.address, request.upheld, request.text, screen=seen.screen.id
        )
        return await self._amend(item, lambda entry: entry.then(event, seen))

    async def release(self, person: Person, item: str, request: act.ReleaseRequest) -> ItemRow:
        """Break glass: the item stays HOLD, and this person answers for its use until then."""
        office = self._office
        office.people.require_any(person)
        now, limit = office.clock(), office.settings.release_ms
        if not now < request.until <= now + limit:
            hours = f"{limit / 3_600_000:g} hours"
            raise InvalidInput("release_too_long", f"A release under break-glass ends within {hours}.")
        seen = await office.screen_of(item_id(item), request.screen)
        name = office.people.name(unhex(person.address))
        event = ev.Released(
            now, person.address, name, request.reason, request.text, request.until, seen.screen.id
        )
        return await self._amend(item, lambda entry: entry.then(event, seen))

    async def bulk(self, person: Person, request: act.BulkRequest) -> act.BulkDone:
        """One act on many items that are all held for one reason, and for the same others if any; see
        `DeskActions.bulk`.

        The reasons are asked of every item before anything is done to any, and of each again when its
        turn comes.
        """
        given = [each for each in (request.assign, request.reject, request.comment) if each is not None]
        if len(given) != 1:
            raise InvalidInput("bulk_one_act", "A bulk action is exactly one act.")
        self._office.people.require_reviewer(person)
        ids = {item_id(item): item for item in request.items}
        query = sa.select(ITEMS).where(ITEMS.c.id.in_(list(ids)))
        known = {record.id: record for record in await self._office.store.records(query)}
        held = {frozenset(record.held_for) for record in known.values()}
        if len(held) > 1 or any(request.reason not in reasons for reasons in held):
            raise InvalidInput(
                "bulk_mixed_reasons",
                "These items are not all held for that reason, or some are held for others beside it.",
                "Pick items that are held for the very same reasons; load the queue again.",
            )
        done, refused = list[str](), {ids[item]: "unknown_item" for item in ids if item not in known}
        for item in known:
            try:
                work = await self._bulk_work(person, item, request)
                await self._office.items.amend(item, _still(held, work))
                done.append(ids[item])
            except HallmarkError as error:
                refused[ids[item]] = error.reason
        return act.BulkDone(tuple(done), refused)

    async def _bulk_work(self, person: Person, item: bytes, request: act.BulkRequest) -> Work:
        if request.assign is not None:
            return self._assigning(person, request.assign)
        if request.comment is not None:
            return self._commenting(person, request.comment)
        assert request.reject is not None
        return self._rejecting(person, request.reject, await self._office.screen_of(item, ""))

    def _assigning(self, person: Person, request: act.AssignRequest) -> Work:
        people = self._office.people
        people.require_reviewer(person)
        if request.to and not people.is_reviewer(unhex(request.to)):
            raise InvalidInput("not_a_reviewer", "Items are assigned to reviewers whom the log registers.")
        event = ev.Assigned(self._office.clock(), person.address, request.to)
        return lambda entry: entry.then(event)

    def _commenting(self, person: Person, request: act.CommentRequest) -> Work:
        self._office.people.require_reviewer(person)
        event = ev.Commented(self._office.clock(), person.address, request.comment, request.internal)
        return lambda entry: entry.then(event)

    def _rejecting(self, person: Person, request: act.RejectRequest, seen: SeenScreen) -> Work:
        event = ev.Rejected(
            self._office.clock(),
            person.address,
            request.reason,
            request.comment,
            request.internal,
            seen.screen.id,
        )
        return lambda entry: entry.then(event, seen)

    async def _amend(self, item: str, work: Work) -> ItemRow:
        record = await self._office.items.amend(item_id(item), work)
        return record.shown(self._office.clock())


def _still(held: set[frozenset[str]], work: Work) -> Work:
    """`work`, if the item is still held for those reasons and no others."""

    def checked(entry: ItemChange) -> None:
        if frozenset(entry.before.record.held_for) not in held:
            raise Conflict("reason_changed", "The item is not held for those reasons any more.")
        work(entry)

    return checked
