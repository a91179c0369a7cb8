"""What a full node owes to the log: a verdict on the entries that do not hold, a fault on every proven lie.

Rules that it keeps:

1. One verdict covers everything that is owed at the moment (`core.objected` bounds it); what comes up while
   it is on its way goes into the next.
2. f+1 objections to an entry suffice. Whose turn is first follows from the entries' position, so that the
   work goes round; the others wait a moment and then object only to what f+1 have not objected to by then.
3. A thing owed is submitted again until it is in the log, so a crash or a log that is down loses nothing:
   what is owed follows from the log itself. When the log says when to come again, that is when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.objected import Run, batches, digest_of_runs, encode_runs, runs_of
from hallmark.core.statements import Fault, Role, Verdict, code
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import Signer, sign_statement
from hallmark.http.client import Pool, Timeouts
from hallmark.http.retry import retry_after_of
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica
from hallmark.verification.objections import ARTIFACT_CONTENT, UNDECIDABLE_REASONS, full_nodes, tolerated
from hallmark.verification.outcome import JUDGING_FAILED

TIMEOUTS: Final = Timeouts(connect=2.0, head=10.0, idle=10.0)
TURN_MS: Final = 150
"""How long each full node behind the first f+1 waits for those before it."""
TURN_POSITIONS: Final = 256
BATCHES_AT_ONCE: Final = 4
SENT_KEPT: Final = 65_536
FOR_GOOD: Final = frozenset((400, 409, 413, 422))

Name = tuple[str, int]


class PendingEntry(msgspec.Struct, frozen=True):
    """An entry that is ready to be submitted: what it is about, and its bytes."""

    names: tuple[Name, ...]
    data: bytes


class Objector:
    """Signs and submits; each thing owed is made once per process and sent until the log has it."""

    def __init__(
        self, replica: Replica, signer: Signer, pool: Pool, log_url: str, now: Callable[[], int]
    ) -> None:
        self._replica = replica
        self._signer = signer
        self._pool = pool
        self._url = log_url.rstrip("/") + "/add"
        self._now = now
        self._unsent: list[PendingEntry] = []
        self._said: set[Name] = set()
        self._seen: dict[int, int] = {}

    @property
    def registered(self) -> bool:
        """Whether this node's key counts as a full node's, so that its verdicts would."""
        registry = self._replica.registry
        known = registry.member(self._signer.address, Role.FULL_NODE, registry.size)
        return known is not None and not known.faults

    def owed(self, end: int) -> tuple[int, ...]:
        """Positions below `end` that this node must object to before it may cosign."""
        return self._replica.objections_due(self._signer.address, end)

    async def perform(self) -> int:
        """Submit what is owed and due; milliseconds until more is, 0 when nothing waits for its turn.

        Raises Unavailable `log_unreachable` when something could not be placed.
        """
        if not self.registered:
            return 0
        waits = self._make_verdicts()
        self._make_faults()
        while self._unsent:
            taken = await self._submit(self._unsent[0])
            done = self._unsent.pop(0)
            kind, count = done.names[0][0], len(done.names)
            if taken:
                get_logger().warning("objection_submitted", kind=kind, count=count)
            else:  # nothing that comes after it has to wait for what the log will never take
                get_logger().error("objection_refused", kind=kind, count=count)
        return waits

    def _make_verdicts(self) -> int:
        """Verdicts on what is due now; how long the nearest of the others has to wait, in ms."""
        owed = [at for at in self.owed(self._replica.size) if ("verdict", at) not in self._said]
        now, rank = self._now(), self._rank()
        self._seen = {at: self._seen.get(at, now) for at in owed}
        left = {at: self._seen[at] + rank(at) * TURN_MS - now for at in owed}
        due = [at for at in owed if left[at] <= 0]
        found = [(at, self._replica.failures(at)[0]) for at in due]
        for runs in _lists(found)[:BATCHES_AT_ONCE]:
            names = tuple(("verdict", at) for run in runs for at in range(run.first, run.end))
            self._sign(names, *self._verdict(runs))
        waiting = [ms for ms in left.values() if ms > 0]
        more = any(("verdict", at) not in self._said for at in due)
        return 1 if more else min(waiting, default=0)

    def _rank(self) -> Callable[[int], int]:
        """How many turns this node lets others go first, by position: none for f+1 of all full nodes."""
        registry = self._replica.registry
        everybody, first = sorted(full_nodes(registry)), tolerated(registry) + 1
        own = everybody.index(self._signer.address) if self._signer.address in everybody else 0

        def rank(at: int) -> int:
            place = (own - at // TURN_POSITIONS) % max(len(everybody), 1)
            return max(place - first + 1, 0)

        return rank

    def _verdict(self, runs: Sequence[Run]) -> tuple[TypedStruct, bytes]:
        objected = encode_runs(runs)
        network, size = self._replica.genesis.network, self._replica.size
        root, digest = self._replica.root(), digest_of_runs(objected)
        return Verdict(network, self._signer.address, size, root, digest, self._now()), objected

    def _make_faults(self) -> None:
        for due in self._replica.faults_due(self._signer.address):
            if (due.kind, due.second) in self._said:
                continue
            statement = Fault(
                self._replica.genesis.network,
                self._signer.address,
                due.culprit,
                code(due.kind),
                due.first,
                due.second,
                self._now(),
            )
            self._sign(((due.kind, due.second),), statement)

    def _sign(self, names: tuple[Name, ...], statement: TypedStruct, *attachments: bytes) -> None:
        signature = sign_statement(statement, self._replica.genesis.chain_id, self._signer)
        self._unsent.append(PendingEntry(names, Entry(statement, (signature,), attachments).encode()))
        if len(self._said) >= SENT_KEPT:
            self._said.clear()
        self._said.update(names)

    async def _submit(self, owed: PendingEntry) -> bool:
        """Whether the log has it; False when it refuses it for good. Raises Unavailable `log_unreachable`."""
        headers = ((b"content-type", b"application/octet-stream"),)
        try:
            async with self._pool.request(
                "POST", self._url, headers, owed.data, timeouts=TIMEOUTS
            ) as response:
                await response.read(65_536)
                status, again = response.status, retry_after_of(response)
                useless = response.header(b"x-should-retry") == b"false"
        except HallmarkError as error:
            raise Unavailable("log_unreachable", "The log cannot take what is owed.", error.reason) from error
        if status == 200 or (useless and status in FOR_GOOD):
            return status == 200
        refused = Unavailable("log_unreachable", f"The log answers {status} to what is owed.")
        refused.retry_after = again
        raise refused


def _lists(found: Sequence[tuple[int, str]]) -> list[list[Run]]:
    """Lists that one verdict each may carry (`verification.dispute_checks` says what may stand together)."""
    plain = batches(runs_of(pair for pair in found if pair[1] not in UNDECIDABLE_REASONS))
    own_bug = batches(runs_of(pair for pair in found if pair[1] == JUDGING_FAILED))
    return [*plain, *own_bug, *([Run(at, 1, reason)] for at, reason in found if reason == ARTIFACT_CONTENT)]
