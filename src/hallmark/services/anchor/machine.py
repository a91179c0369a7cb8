"""The anchoring state machine: one `step` brings the outbox and the chain closer together.

Rules it keeps:

- the chain is asked first, every time; what an earlier step believed counts for nothing;
- at most one transaction is under way, and it is stored before it is sent;
- only the newest checkpoint goes to the chain, because a larger one covers every smaller one;
- a checkpoint that the chain no longer holds goes back to `signed` if it is the newest, and goes out again;
- two roots for one size stop everything: nothing is sent any more.

So a kill between any two lines, a chain that lost its tail, a reorganisation, a dropped or replaced
transaction, or a second submitter all come down to the same thing: the next step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from hallmark.core.errors import Conflict
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.services.anchor.chain import AnchorChain, Rejected, Submission, View
from hallmark.services.anchor.outbox import ANCHORED, Anchoring, Outbox, State
from hallmark.services.chain.contract import Stored
from hallmark.services.chain.transactions import Fees, bumped, replacing

Collect = Callable[[AnchoredCheckpoint], Awaitable[tuple[bytes, ...]]]
FOLLOWED: Final = 16
LIVE: Final = (State.WANTED, State.SIGNED, State.SENT, *ANCHORED)


class Machine:
    """Drives one outbox against one chain. `confirmations` makes `confirmed`; `resend_ms` is how long a
    transaction may wait before its fees are raised.
    """

    def __init__(
        self,
        outbox: Outbox,
        chain: AnchorChain,
        collect: Collect,
        *,
        confirmations: int,
        resend_ms: int = 30_000,
    ) -> None:
        self._outbox = outbox
        self._chain = chain
        self._collect = collect
        self._confirmations = confirmations
        self._resend_ms = resend_ms

    async def want(self, checkpoint: AnchoredCheckpoint, now: int) -> None:
        """Ask for a checkpoint to be anchored. The caller has verified its quorum.

        Raises Conflict `anchor_conflict` when this size was wanted with another root.
        """
        row = await self._outbox.add(checkpoint, now)
        if row.root != checkpoint.root:
            await self._outbox.save(_to(row, State.CONFLICT, now, "two_roots_from_log"))
        elif row.state is State.SUPERSEDED and not await self._outbox.rows(LIVE, above=row.size, limit=1):
            # What superseded it is gone from the chain, and the log has not grown since.
            await self._outbox.save(_to(row, State.WANTED, now, "wanted_again"))
        await self._refuse_conflicts()

    async def look(self, known: View) -> tuple[View, bool]:
        """The chain now, and whether what was anchored is still where it was. Raises as `step` does."""
        view = await self._chain.view()
        same = (view.latest, view.nonce) == (known.latest, known.nonce) and view.head >= known.head
        return view, same

    async def step(self, network: bytes, origin: bytes, now: int) -> View:
        """Do whatever can be done now; returns the chain as it was seen.

        Raises Unavailable (`chain_unreachable`, and what `collect` raises), Conflict `anchor_conflict`.
        """
        view = await self._chain.view()
        await self._follow(view, now)
        await self._refuse_conflicts()
        if not await self._advance_sent(view, now):
            row = await self._newest_unsent(view, now)
            if row is not None and row.state is State.WANTED:
                row = await self._sign(row, AnchoredCheckpoint(network, origin, row.size, row.root), now)
            if row is not None:
                fees = _no_lower(await self._chain.fees(), row, view.nonce)
                await self._submit(row, view.nonce, fees, now)
        return view

    async def _follow(self, view: View, now: int) -> None:
        """Compare what was mined with what the chain holds now."""
        lost = await self._outbox.rows(ANCHORED, above=view.latest.size)
        if lost:
            newest, *older = lost
            await self._outbox.save(
                _to(newest, State.SIGNED, now, "chain_lost_it"),
                *(_to(row, State.SUPERSEDED, now, "chain_lost_it") for row in older),
            )
        waiting = await self._outbox.rows((State.MINED,), limit=FOLLOWED)
        confirmed = await self._outbox.rows((State.CONFIRMED,), limit=1)
        for row in waiting + confirmed:
            await self._outbox.save(*await self._seen(row, view, now))

    async def _seen(self, row: Anchoring, view: View, now: int) -> list[Anchoring]:
        """The row as the chain shows it, if that differs."""
        stored = await self._chain.stored(row.size)
        if stored is None:
            return [_to(row, State.SUPERSEDED, now, "chain_lost_it")]
        if stored.root != row.root:
            return [_to(row, State.CONFLICT, now, "two_roots_on_chain")]
        deep = view.head - stored.block + 1 >= self._confirmations
        state = State.CONFIRMED if deep else State.MINED
        if (state, stored.block) == (row.state, row.block):
            return []
        return [await self._placed(_to(row, state, now), stored)]

    async def _advance_sent(self, view: View, now: int) -> bool:
        """See to the transaction under way; True while there is one."""
        for row in await self._outbox.rows((State.SENT,)):
            if await self._settled(row, view, now):
                continue
            if view.nonce != row.nonce:
                # Mined but reverted, replaced, or the chain went back behind it.
                again = replace(_to(row, State.SIGNED, now, "nonce_passed"), attempts=row.attempts + 1)
                await self._outbox.save(again)
                continue
            await self._push(row, now)
            return True
        return False

    async def _settled(self, row: Anchoring, view: View, now: int) -> bool:
        """True when the chain has decided about this size."""
        stored = await self._chain.stored(row.size)
        if stored is not None:
            state = State.MINED if stored.root == row.root else State.CONFLICT
            reason = "" if state is State.MINED else "two_roots_on_chain"
            await self._outbox.save(await self._placed(_to(row, state, now, reason), stored))
            return True
        if row.size <= view.latest.size:
            await self._outbox.save(_to(row, State.SUPERSEDED, now, "larger_is_anchored"))
            return True
        return False

    async def _placed(self, row: Anchoring, stored: Stored) -> Anchoring:
        """The row with the block and the transaction that really anchored it."""
        transaction = await self._chain.transaction_of(stored)
        return replace(row, block=stored.block, transaction=transaction or row.transaction)

    async def _push(self, row: Anchoring, now: int) -> None:
        """Send again what the chain forgot; raise the fees of what has waited for long."""
        if not await self._chain.knows(row.transaction):
            await self._chain.send(row.raw)
        if now - row.since > self._resend_ms:
            fees = bumped(Fees(row.fee_limit, row.fee_tip))
            await self._submit(row, row.nonce, fees, now)

    async def _newest_unsent(self, view: View, now: int) -> Anchoring | None:
        """The newest row that is still to go out; all older ones are superseded by it."""
        rows = await self._outbox.rows((State.WANTED, State.SIGNED))
        if not rows:
            return None
        newest, *older = rows
        await self._outbox.save(*(_to(row, State.SUPERSEDED, now, "newer_is_wanted") for row in older))
        return None if await self._settled(newest, view, now) else newest

    async def _sign(self, row: Anchoring, checkpoint: AnchoredCheckpoint, now: int) -> Anchoring:
        signed = replace(_to(row, State.SIGNED, now), signatures=await self._collect(checkpoint))
        await self._outbox.save(signed)
        return signed

    async def _submit(self, row: Anchoring, nonce: int, fees: Fees, now: int) -> None:
        try:
            signed = await self._chain.build(Submission(row.size, row.root, row.signatures), nonce, fees)
        except Rejected as rejected:
            # Signatures that the contract does not take are collected anew.
            wanted = _to(row, State.WANTED, now, rejected.name)
            await self._outbox.save(replace(wanted, signatures=(), attempts=row.attempts + 1))
            return
        sent = replace(
            _to(row, State.SENT, now),
            raw=signed.raw,
            transaction=signed.hash,
            nonce=nonce,
            fee_limit=fees.limit,
            fee_tip=fees.tip,
            attempts=row.attempts + 1,
        )
        await self._outbox.save(sent)
        await self._chain.send(signed.raw)

    async def _refuse_conflicts(self) -> None:
        if await self._outbox.rows((State.CONFLICT,), limit=1):
            raise Conflict(
                "anchor_conflict",
                "A checkpoint has two roots: the log or the chain lies. Nothing is anchored any more.",
                "Compare the roots in GET /status with the full nodes; see docs/chain.md.",
            )


def _no_lower(fees: Fees, row: Anchoring, nonce: int) -> Fees:
    """`fees`, or what replaces this row's transaction when one with the same nonce may still wait."""
    if not row.raw or row.nonce != nonce:
        return fees
    return replacing(fees, Fees(row.fee_limit, row.fee_tip))


def _to(row: Anchoring, state: State, now: int, reason: str = "") -> Anchoring:
    return replace(row, state=state, since=now, reason=reason[:64])
