"""The bodies by which witnesses are asked to cosign a round, made once for all that are at the same size."""

from __future__ import annotations

from hallmark.ledger.pushed import MAX_BUNDLE, Pushed
from hallmark.ledger.store import LogStore
from hallmark.ledger.tiles import encode_bundle
from hallmark.ledger.witness import AddCheckpoint
from hallmark.services.log.publisher import Round

MAX_LEAVES = 4_096


class WitnessRequests:
    """Keeps the bodies of one round, the newest: `plain` as C2SP tlog-witness has them, `pushed` with the
    leaves that the round adds (`ledger.pushed`).
    """

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._round: Round | None = None
        self._plain: dict[int, bytes] = {}
        self._pushed: dict[int, bytes | None] = {}

    async def plain(self, round_: Round, old: int) -> bytes:
        """The body for a witness that last cosigned `old` leaves."""
        self._turn(round_)
        body = self._plain.get(old)
        if body is None:
            proof = await self._store.consistency_proof(old, round_.checkpoint.size)
            body = AddCheckpoint(old, proof, round_.note).encode()
            if self._round is round_:
                self._plain[old] = body
        return body

    async def pushed(self, round_: Round, old: int) -> bytes | None:
        """The same with the leaves from `old` on; None where there are none, or too many to push."""
        self._turn(round_)
        if old not in self._pushed:
            body = await self._with_leaves(round_, old)
            if self._round is not round_:
                return body
            self._pushed[old] = body
        return self._pushed[old]

    async def _with_leaves(self, round_: Round, old: int) -> bytes | None:
        size = round_.checkpoint.size
        if not 0 < size - old <= MAX_LEAVES:
            return None
        bundle = encode_bundle(await self._store.leaves(old, size))
        if len(bundle) > MAX_BUNDLE:
            return None
        return Pushed(await self.plain(round_, old), bundle).encode()

    def _turn(self, round_: Round) -> None:
        """Forget the round before: a witness that is late for it has its body made again."""
        if self._round is not round_:
            self._round = round_
            self._plain, self._pushed = {}, {}
