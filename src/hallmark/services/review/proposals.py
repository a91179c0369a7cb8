"""Policies at the desk: what is in force, what is proposed, and what a policy would have done. The desk
signs none:
the authority does, with its own keys, and the log says from when one counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import ClearingPolicy
from hallmark.core.errors import InvalidInput, NotFound, Unavailable
from hallmark.review.decisions import marks_from_json
from hallmark.review.dryrun import PastItem, dry_run
from hallmark.review.files import read_policy, write_policy
from hallmark.review.items import ItemState
from hallmark.review.wording import about, policy_sentence, requirement_sentence
from hallmark.services.review import notices
from hallmark.services.review.actions import ProposeRequest
from hallmark.services.review.context import DeskContext, DeskPart
from hallmark.services.review.item_changes import load
from hallmark.services.review.item_writer import deliveries
from hallmark.services.review.policies_in_force import PROPOSAL, Stands
from hallmark.services.review.schema import DELIVERIES, ITEMS, PROPOSALS
from hallmark.services.review.views import Count, DryRun, Person, PolicyPage, PolicyRow, RequirementRow

MOST_PAST: Final = 20_000
BATCH: Final = 100
MOST_WAITING: Final = 4
MOST_PROPOSALS: Final = 200


class Proposals(DeskPart):
    """See the module docstring."""

    def __init__(self, office: DeskContext) -> None:
        super().__init__(office)
        self._trying = asyncio.Semaphore(1)
        self._waiting = 0

    async def policies(self) -> tuple[PolicyRow, ...]:
        """Every clearing policy in force, then those proposed that are not, newest first."""
        standing = self._office.policies.all()
        rows = [self._row(stands) for stands in standing]
        known = {row.digest for row in rows}
        return (*rows, *(row for row, _ in await self._proposed() if row.digest not in known))

    async def policy(self, name: str) -> PolicyPage:
        """One policy; a proposal where none of that name is in force. Raises NotFound `policy_unknown`."""
        proposed = [(row, policy) for row, policy in await self._proposed() if row.name == name]
        history = self._office.policies.history(name)
        found = [(self._row(stands), stands.policy) for stands in history] or proposed
        if not found:
            raise NotFound("policy_unknown", "There is no clearing policy of this name.", "See /policies.")
        row, policy = found[0]
        known = {version.digest for version, _ in found}
        states = await self._states(name)
        return PolicyPage(
            row,
            tuple(
                RequirementRow(need.question, need.state, requirement_sentence(need))
                for need in policy.requires
            ),
            policy.not_required,
            write_policy(policy),
            (*(version for version, _ in found), *(row for row, _ in proposed if row.digest not in known)),
            states.get("HOLD", 0),
            states.get("CLEAR", 0) + states.get("FINAL", 0),
        )

    async def dry_run(self, toml: str, since: int) -> DryRun:
        """Try a policy file on items born since a time, at most the newest 20,000, by the marks
        that they have
        now. Raises InvalidInput `bad_policy`, Unavailable `dry_run_busy`.
        """
        candidate = read_policy(toml)
        if self._waiting >= MOST_WAITING:
            raise Unavailable("dry_run_busy", "Others are trying policies.", "Try again in a moment.")
        self._waiting += 1
        try:
            async with self._trying:
                in_force = self._office.policies.policies()
                tried = await asyncio.to_thread(lambda: dry_run(self._past(since), candidate, in_force))
        finally:
            self._waiting -= 1
        return DryRun(
            tried.policy,
            tried.digest,
            since,
            tried.judged,
            tried.held,
            tried.cleared,
            tried.newly_held,
            tried.newly_cleared,
            tuple(Count(code, count, about(code)) for code, count in tried.reasons),
            tried.held_examples,
            tried.cleared_examples,
            tried.sentence,
        )

    async def propose(self, person: Person, request: ProposeRequest) -> PolicyRow:
        """Keep a proposal. Raises InvalidInput `bad_policy`, `version_not_newer`; Unauthorized."""
        office = self._office
        office.people.require_any(person)
        policy = read_policy(request.toml)
        history = office.policies.history(policy.name)
        if history and history[0].policy.version >= policy.version:
            raise InvalidInput(
                "version_not_newer",
                f"Version {history[0].policy.version} of this policy is in force already.",
                "Give the proposal a higher version.",
            )
        now = office.clock()
        row = self._row(Stands(policy, PROPOSAL, -1), now)
        kept = {
            "digest": policy.digest(),
            "name": policy.name,
            "version": policy.version,
            "document": policy.encode(),
            "toml": request.toml,
            "text": request.text,
            "by": unhex(person.address),
            "at": now,
        }
        sentence = f"{row.sentence} The authority has not signed it; it gates nothing."
        data = notices.Data(hex0x(office.network), sentence, policy=row, by=person.address)
        body = notices.told("policy.proposed", now, data)

        def work(connection: sa.Connection) -> None:
            known = connection.scalar(
                sa.select(PROPOSALS.c.digest).where(PROPOSALS.c.digest == kept["digest"])
            )
            if known is None:
                connection.execute(PROPOSALS.insert().values(**kept))
                receivers = office.webhooks.receivers("policy.proposed")
                for delivery in deliveries("policy.proposed", body, b"", now, receivers):
                    connection.execute(DELIVERIES.insert().values(**delivery))

        await office.store.write(work)
        office.webhooks.wake()
        return row

    async def _proposed(self) -> list[tuple[PolicyRow, ClearingPolicy]]:
        query = sa.select(PROPOSALS).order_by(PROPOSALS.c.at.desc()).limit(MOST_PROPOSALS)
        found = []
        for row in await self._office.store.read(query):
            policy = ClearingPolicy.decode(bytes(row.document))
            found.append((self._row(Stands(policy, PROPOSAL, -1), row.at), policy))
        return found

    def _row(self, stands: Stands, at: int = 0) -> PolicyRow:
        policy = stands.policy
        if stands.index >= 0:
            at = self._office.watch.leaves.entry(stands.index)[0]
        return PolicyRow(
            policy.name,
            policy.version,
            hex0x(policy.digest()),
            policy.enforcement,
            stands.source,
            stands.index,
            at,
            policy.classes,
            policy.min_value,
            policy_sentence(policy),
        )

    async def _states(self, name: str) -> dict[str, int]:
        """Items by state that were last judged under a policy."""
        counted = (await self._office.store.counts()).get("policy", {})
        by_key = {key.partition(" "): count for key, count in counted.items()}
        return {state: count for (state, _, policy), count in by_key.items() if policy == name}

    def _past(self, since: int) -> Iterator[PastItem]:
        """Items as they are, oldest first, with the marks of the evaluator's last look, to be judged now.
        Reads a batch at a time, in the calling thread.
        """
        store, now = self._office.store, self._office.clock()
        where = sa.and_(ITEMS.c.born >= since, ITEMS.c.state != ItemState.REJECTED.value)
        key = sa.tuple_(ITEMS.c.born, ITEMS.c.number)
        keys = sa.select(ITEMS.c.born, ITEMS.c.number).where(where)
        newest = keys.order_by(ITEMS.c.born.desc(), ITEMS.c.number.desc()).offset(MOST_PAST).limit(1)
        before = store.database.read(lambda c: c.execute(newest).first())
        after = (before.born, before.number) if before is not None else (-1, -1)
        ordered = sa.select(ITEMS).where(where).order_by(ITEMS.c.born, ITEMS.c.number).limit(BATCH)
        while records := store.records_now(ordered.where(key > sa.tuple_(*map(sa.literal, after)))):
            after = (records[-1].born, records[-1].number)
            histories = store.events_now([record.id for record in records])
            for record in records:
                if record.marks:
                    item = load(record, histories[record.id]).item
                    yield PastItem(item, marks_from_json(msgspec.json.decode(record.marks)), now)
