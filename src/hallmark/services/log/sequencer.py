"""The sequencer: gives entries their places, in batches, each durable with one fsync.

Rules it keeps:

- a batch starts as soon as the one before is durable, and `batch_ms` after that one began: an entry of an
  idle log goes at once, what arrives meanwhile goes into the next;
- nobody is told a place before it is durable; a batch is durable whole or not at all;
- one entry has one place: who submits it again is told the first;
- a receipt comes after a receipt of the same node with the sequence before (equivocating ones included);
- receipts go first: of what others send, a batch carries only so much beside them (`Lane`);
- admission times never go backwards;
- a process whose lease is gone appends nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import msgspec

from hallmark.core.entries import leaf
from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.core.merkle import leaf_hash
from hallmark.ledger.store import LogStore
from hallmark.services.log.admission import Submission
from hallmark.services.log.membership import Membership
from hallmark.services.log.settings import Limits
from hallmark.services.log.submitters import Lane
from hallmark.store.raw import RawDatabase, Step, Transaction

RECENT_ENTRIES = 65_536

KEEP_CHAIN = (
    "INSERT INTO log_chains (node, sequence) VALUES (?, ?) "
    "ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence"
)


def _create(transaction: Transaction) -> None:
    transaction.execute("CREATE TABLE log_chains (node BLOB PRIMARY KEY, sequence INTEGER NOT NULL)")


class Placed(msgspec.Struct, frozen=True):
    """A durable entry: its index, its admission time (unix ms), its 32-byte leaf hash."""

    index: int
    admitted: int
    leaf_hash: bytes


class Batch(msgspec.Struct, frozen=True):
    """What was made durable at once: size afterwards, how many entries, and how long it took in seconds."""

    size: int
    entries: int
    seconds: float


Place = asyncio.Future[Placed]


class Sequencer:
    """See the module docstring. One per process; `run` must be running. `now` gives unix ms; `known` is kept
    with the entries.
    """

    def __init__(
        self,
        store: LogStore,
        database: RawDatabase,
        known: Membership,
        *,
        now: Callable[[], int],
        grown: Callable[[Batch], None],
        limits: Limits | None = None,
    ) -> None:
        database.migrate("log-chains", (_create,))
        self._store = store
        self._known = known
        self._now = now
        self._grown = grown
        self._limits = limits or Limits()
        chains = database.read(lambda t: t.fetch("SELECT node, sequence FROM log_chains"))
        self._durable_chains: dict[bytes, int] = dict(chains)
        self._chains = dict(self._durable_chains)
        self._recent: OrderedDict[bytes, Placed] = OrderedDict()
        self._lanes: dict[Lane, deque[Submission]] = {lane: deque() for lane in Lane}
        self._room = {
            Lane.RECEIPTS: self._limits.batch_entries,
            Lane.MEMBERS: self._limits.batch_members,
            Lane.STRANGERS: self._limits.batch_strangers,
        }
        self._waiting: dict[tuple[bytes, int], list[Submission]] = {}
        self._early: dict[bytes, tuple[int, int]] = {}
        self._places: dict[bytes, Place] = {}
        self._bytes = 0
        self._batch_at = 0.0
        """When the next batch may begin, in the loop's seconds."""
        self._ended = False
        self._wake = asyncio.Event()
        self.fence: Step = _no_lease

    @property
    def pending(self) -> int:
        """Entries that wait for a place."""
        return len(self._places)

    def has(self, entry_id: bytes) -> bool:
        """Whether an entry is on its way, or got its place lately."""
        return entry_id in self._recent or entry_id in self._places

    def highest(self, node: bytes) -> int:
        """The highest sequence of a node's receipts in the log or on their way; -1 for none."""
        return self._chains.get(node, -1)

    async def places(self, submissions: Sequence[Submission]) -> dict[bytes, Placed]:
        """The places of those that are in the store, by entry id."""
        found = await self._store.find([submission.entry_id for submission in submissions])
        return {
            one.entry_id: Placed(place.index, place.admitted, leaf_hash(leaf(place.admitted, one.data)))
            for one in submissions
            if (place := found.get(one.entry_id)) is not None
        }

    async def outcomes(self, places: Sequence[Place]) -> list[Placed | HallmarkError]:
        """What became of what was queued: for each entry its durable place, or why it got none (`log_busy`,
        `log_standby`, `store_full`, `store_unavailable`, `receipt_out_of_order`).
        """
        results: list[Placed | HallmarkError] = []
        for place in places:
            try:
                # Shielded: an entry that two parties submitted is not cancelled with one of them.
                results.append(await asyncio.shield(place))
            except HallmarkError as error:
                results.append(error)
        return results

    async def run(self) -> None:
        """Make batches until cancelled. Raises Conflict `lease_lost` when another process took over.

        Whoever still waits when it ends is refused with `log_standby`; a batch that was on its way to the
        store may be durable all the same, and submitting again tells its places.
        """
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while any(self._lanes.values()):
                    await self._gather()
                    await self._commit(self._take())
        finally:
            self._ended = True
            for place in self._places.values():
                if not place.done():
                    place.set_exception(_standby())

    def enqueue(self, submission: Submission) -> Place:
        """Its place to come, the same for one that is on its way already."""
        loop = asyncio.get_running_loop()
        known = self._places.get(submission.entry_id)
        if known is not None:
            return known
        place: Place = loop.create_future()
        place.add_done_callback(_retrieve)
        recent = self._recent.get(submission.entry_id)
        if recent is not None:
            place.set_result(recent)
            return place
        refusal = self._refusal(submission)
        if refusal is not None:
            self._known.gone(submission.note)
            place.set_exception(refusal)
            return place
        self._places[submission.entry_id] = place
        self._bytes += len(submission.data)
        if self._is_early(submission):
            self._wait(submission)
        else:
            self._push(submission)
        return place

    def _is_early(self, submission: Submission) -> bool:
        """Whether it has to wait for the receipt before it."""
        return submission.node != b"" and submission.sequence > self.highest(submission.node) + 1

    def _refusal(self, submission: Submission) -> HallmarkError | None:
        """Why there is no room; what waits for a predecessor has a share of it, by node and all together."""
        limits, lane = self._limits, submission.standing.lane
        if self._ended:
            return _standby()
        if self._is_early(submission):
            count, size = self._early.get(submission.node, (0, 0))
            most = (limits.early_entries, limits.pending_bytes // 16)
            everybody = sum(size for _, size in self._early.values())
            if count >= most[0] or size >= most[1] or everybody >= limits.pending_bytes // 4:
                return _out_of_order()
        crowded = lane is Lane.STRANGERS and len(self._lanes[lane]) >= limits.pending_strangers
        full = self.pending >= limits.pending_entries or self._bytes >= limits.pending_bytes
        if full or crowded:
            return Unavailable("log_busy", "The log has too much to do.", "Try again in a second.")
        return None

    def _push(self, submission: Submission) -> None:
        """Into the queue, and after it the receipts that waited for it."""
        self._lanes[submission.standing.lane].append(submission)
        self._wake.set()
        if not submission.node:
            return
        if submission.sequence > self._chains.get(submission.node, -1):
            self._chains[submission.node] = submission.sequence
        for follower in self._waiting.pop((submission.node, submission.sequence + 1), ()):
            self._account(follower, -1)
            self._push(follower)

    def _wait(self, submission: Submission) -> None:
        key = (submission.node, submission.sequence)
        self._waiting.setdefault(key, []).append(submission)
        self._account(submission, 1)
        loop = asyncio.get_running_loop()
        loop.call_later(self._limits.order_wait_ms / 1000, self._give_up, submission)

    def _give_up(self, submission: Submission) -> None:
        key = (submission.node, submission.sequence)
        if submission in self._waiting.get(key, ()):
            self._waiting[key].remove(submission)
            self._account(submission, -1)
            if not self._waiting[key]:
                del self._waiting[key]
            self._fail([submission], _out_of_order())

    def _account(self, submission: Submission, by: int) -> None:
        """Keep count of what waits for a predecessor."""
        count, size = self._early.get(submission.node, (0, 0))
        if count + by:
            self._early[submission.node] = count + by, size + by * len(submission.data)
        else:
            del self._early[submission.node]

    async def _gather(self) -> None:
        """Let more entries come, for as long as the batch before was lately and this one is not full."""
        now = asyncio.get_running_loop().time()
        left = self._batch_at - now
        if left > 0 and len(self._lanes[Lane.RECEIPTS]) < self._limits.batch_entries:
            await asyncio.sleep(left)
            now = self._batch_at
        self._batch_at = now + self._limits.batch_ms / 1000

    def _take(self) -> list[Submission]:
        """The next batch: receipts, then some of what others sent, in a quarter of the bytes each."""
        batch: list[Submission] = []
        for lane, queue in self._lanes.items():
            room, size = self._room[lane], 0
            most = self._limits.batch_bytes if lane is Lane.RECEIPTS else self._limits.batch_bytes // 4
            while queue and room and size < most:
                batch.append(queue.popleft())
                room, size = room - 1, size + len(batch[-1].data)
        return batch

    async def _commit(self, batch: list[Submission]) -> None:
        """Make a batch durable and tell its places; on failure fail it and all that came after it."""
        try:
            try:
                await self._append(batch)
            except Conflict as error:
                if error.reason != "duplicate_entry":
                    raise
                await self._append(await self._without_known(batch))
        except HallmarkError as error:
            queued = [one for queue in self._lanes.values() for one in queue]
            everyone = [*batch, *queued, *(one for waiting in self._waiting.values() for one in waiting)]
            for queue in self._lanes.values():
                queue.clear()
            self._waiting.clear()
            self._early.clear()
            self._chains = dict(self._durable_chains)
            lost = isinstance(error, Conflict)
            self._fail(
                everyone, Unavailable("log_standby", "This process is not the log.") if lost else error
            )
            if lost:
                raise

    async def _append(self, batch: list[Submission]) -> None:
        if not batch:
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        admitted = max(self._now(), self._store.last_admitted)
        leaves = [leaf(admitted, submission.data) for submission in batch]
        chains: dict[bytes, int] = {}
        for submission in batch:
            if submission.node and submission.sequence > self._durable_chains.get(submission.node, -1):
                chains[submission.node] = max(submission.sequence, chains.get(submission.node, -1))

        notes, next_place = [submission.note for submission in batch], self._store.size

        def within(transaction: Transaction) -> None:
            self.fence(transaction)
            if chains:
                transaction.executemany(KEEP_CHAIN, list(chains.items()))
            self._known.keep(transaction, notes, next_place)

        first = await self._store.append(leaves, within=within)
        self._known.apply(notes, first)
        self._durable_chains |= chains
        self._grown(Batch(first + len(leaves), len(leaves), loop.time() - started))
        for offset, submission in enumerate(batch):
            self._done(submission, Placed(first + offset, admitted, leaf_hash(leaves[offset])))

    async def _without_known(self, batch: list[Submission]) -> list[Submission]:
        """The batch without entries that are in the log already; those are told their places."""
        found = await self.places(batch)
        for submission in batch:
            if submission.entry_id in found:
                self._done(submission, found[submission.entry_id])
        return [submission for submission in batch if submission.entry_id not in found]

    def _done(self, submission: Submission, placed: Placed) -> None:
        self._recent[submission.entry_id] = placed
        if len(self._recent) > RECENT_ENTRIES:
            self._recent.popitem(last=False)
        self._bytes -= len(submission.data)
        self._known.gone(submission.note)
        place = self._places.pop(submission.entry_id)
        if not place.done():
            place.set_result(placed)

    def _fail(self, batch: Sequence[Submission], error: HallmarkError) -> None:
        for submission in batch:
            place = self._places.pop(submission.entry_id, None)
            if place is None:
                continue
            self._bytes -= len(submission.data)
            self._known.gone(submission.note)
            if not place.done():
                place.set_exception(error)


def _no_lease(_transaction: Transaction) -> None:
    raise Conflict("lease_lost", "This process never was the log.")


def _standby() -> Unavailable:
    return Unavailable("log_standby", "This process is not the log.", "Ask the one that is.")


def _out_of_order() -> Conflict:
    return Conflict(
        "receipt_out_of_order",
        "The receipt before this one of the same node is not in the log.",
        "Submit the receipts of a node in the order of their sequence.",
    )


def _retrieve(place: Place) -> None:
    """Mark a failure as seen: who submitted may have gone away."""
    if not place.cancelled():
        place.exception()
