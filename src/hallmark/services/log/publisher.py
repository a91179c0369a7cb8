"""Gets the log's checkpoints cosigned: one round at a time, sent to every witness at once.

A round is one checkpoint. It is done when the policy's quorum has cosigned it. A new round begins when the
log has grown and the last one is done, or can no longer be done by those who have not refused it, or has
taken longer than `round_ms`. After one that is done the next begins `spacing_ms` after its beginning at the
earliest, for each entry that it was the first to cover, and `spacing_most_ms` at most: an entry of an idle
log is signed at once, and the more come, the more of them does one signature serve, one cosignature of each
full node and one transaction there. Witnesses that were late for a round finish it behind the next one's
back: their cosignatures are still taken, so the note of a size only ever gains lines.

Only sizes whose leaves are durable are signed, and leaves never change, so there is one root for a size. To
hold that through a restored backup too, a log that was cosigned before takes no entries until its quorum has
confirmed the end that the store has (`confirmed`), and stops for good (`alarm`) when so many witnesses have
seen another history that the others are no quorum. One witness alone can stop nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Callable
from itertools import count

import msgspec

from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.http.health import Behind
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import Note, NoteSignature, SigningKey
from hallmark.ledger.policy import Party, Policy, verify_quorum
from hallmark.ledger.store import LogStore

ROUNDS_KEPT = 16
MAX_WAITERS = 20_000


class Round(msgspec.Struct):
    """One checkpoint on its way: its log-signed note, for how long after its beginning none begins once it is
    done, cosignatures by witness name, and who refused it.
    """

    checkpoint: Checkpoint
    note: Note
    started: float
    spacing_s: float = 0.0
    lines: dict[str, NoteSignature] = {}
    refused: set[str] = set()
    done: bool = False

    def cosigned(self) -> Note:
        """The note with every cosignature so far."""
        return Note(self.note.text, (*self.note.signatures, *self.lines.values()))


class Head(msgspec.Struct, frozen=True):
    """The newest checkpoint that the quorum cosigned."""

    size: int
    note: Note
    signers: tuple[str, ...]


class Publisher:
    """See the module docstring. The links (`services.log.witness_client`) do the sending."""

    def __init__(
        self,
        store: LogStore,
        key: SigningKey,
        policy: Policy,
        *,
        clock: Callable[[], float],
        round_ms: int = 250,
        spacing_ms: int = 0,
        spacing_most_ms: int = 0,
    ) -> None:
        self.policy = policy
        self._names = {witness.name for witness in policy.witnesses}
        self.alarm = ""
        self.confirmed = False
        self.changed = asyncio.Event()
        self.store = store
        self.on_done: Callable[[Round], None] = lambda _round: None
        self._key = key
        self._clock = clock
        self._round_s, self._spacing_s = round_ms / 1000, spacing_ms / 1000
        self._spacing_most_s = max(spacing_ms, spacing_most_ms) / 1000
        self._rounds: OrderedDict[int, Round] = OrderedDict()
        self._kept: Head | None = None
        self._contradicted: set[str] = set()
        self._agreed: set[str] = set()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = count()
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        self._done_size = 0
        self._behind = Behind()

    @property
    def waited_ms(self) -> int:
        """For how long the oldest entry that no quorum covers has been waiting for one."""
        return self._behind.lasts(int(self._clock() * 1000))

    @property
    def current(self) -> Round | None:
        """The newest round."""
        return self._rounds[next(reversed(self._rounds))] if self._rounds else None

    @property
    def head(self) -> Head | None:
        """The newest checkpoint with a quorum, with every line that it has by now."""
        for round_ in reversed(self._rounds.values()):
            if round_.done:
                return Head(round_.checkpoint.size, round_.cosigned(), tuple(round_.lines))
        return self._kept

    @property
    def cosigned_size(self) -> int:
        """Size of `head`, 0 before there is one."""
        return self._done_size

    async def start(self) -> None:
        """Begin with what the store remembers.

        Raises Unavailable `log_rolled_back` when the store's own past checkpoint is not of its history.
        """
        note = await self.store.cosigned()
        if note is None:
            self.confirmed = True
        else:
            self._recall(note)
        self.advance()

    def advance(self) -> None:
        """Begin a round if the log has grown and the newest round need not be waited for."""
        current, now = self.current, self._clock()
        size = self.store.size
        self._behind.see(size, self._done_size, int(now * 1000))
        if self.alarm or (current is not None and size <= current.checkpoint.size):
            return
        left = self._due(current) - now if current is not None else 0.0
        if left > 0:
            self._come_again(left)
            return
        checkpoint = Checkpoint(self._key.verifier.name, size, self.store.tree.root(size))
        new = size - current.checkpoint.size if current is not None else 1
        spacing = min(self._spacing_s * new, self._spacing_most_s)
        self._rounds[size] = Round(checkpoint, sign(checkpoint, self._key), now, spacing)
        while len(self._rounds) > ROUNDS_KEPT:
            self._forget_oldest()
        self._signal()
        self._settle(self._rounds[size])

    def accept(self, round_: Round, witness: Party, line: NoteSignature) -> None:
        """Take a verified cosignature."""
        round_.lines[witness.name] = line
        self._settle(round_)

    def agree(self, round_: Round, witness: Party) -> None:
        """A witness has the history of a round and does not cosign it yet, because it owes
        objections to what is in it.

        That confirms the log's end as a cosignature does: nothing that a quorum has seen is missing.
        """
        self._agreed.add(witness.name)
        if self.policy.is_met(self._agreed | set(round_.lines)):
            self.confirmed = not self.alarm

    def refuse(self, round_: Round, witness: Party) -> None:
        """Take note that a witness will not, or cannot now, cosign a round."""
        round_.refused.add(witness.name)
        self.advance()

    def contradict(self, witness: Party, reason: str) -> None:
        """A witness has seen another history than the store holds; `reason` is a code for the alarm."""
        self._contradicted.add(witness.name)
        if not self.policy.is_met(self._names - self._contradicted):
            self.alarm = self.alarm or reason
            self.confirmed = False

    def latest(self) -> Note:
        """The newest checkpoint with the lines that it has, none perhaps. Raises Unavailable."""
        current = self.current
        if current is None:
            raise Unavailable("not_witnessed_yet", "The log has not signed a checkpoint yet.")
        return current.cosigned()

    async def wait(self, size: int, timeout_s: float) -> Head:
        """The newest cosigned checkpoint of at least `size`. Raises Unavailable `not_witnessed_yet`."""
        head = self.head
        if head is None or head.size < size:
            future = asyncio.get_running_loop().create_future()
            if len(self._waiters) > MAX_WAITERS:
                raise Unavailable("log_busy", "Too many are waiting for the log.", "Try again in a second.")
            heapq.heappush(self._waiters, (size, next(self._number), future))
            await asyncio.wait([future], timeout=timeout_s)
            if not future.done():
                self._waiters = [waiter for waiter in self._waiters if waiter[2] is not future]
                heapq.heapify(self._waiters)
            head = self.head
        if head is None or head.size < size:
            raise Unavailable("not_witnessed_yet", "The quorum has not cosigned that far yet.", "Ask again.")
        return head

    async def keep(self) -> None:
        """Let the store remember the newest cosigned checkpoint."""
        head = self.head
        if head is not None and (self._kept is None or self._kept.size < head.size):
            await self.store.keep_cosigned(head.size, head.note)
            self._kept = head

    def _recall(self, note: Note) -> None:
        verified = verify_quorum(self.policy, note)
        checkpoint = verified.checkpoint
        if checkpoint.size > self.store.size or self.store.tree.root(checkpoint.size) != checkpoint.root:
            raise Unavailable(
                "log_rolled_back",
                "The store does not hold the history that its own last checkpoint names.",
                "Restore the newest copy of the database, or copy the log from a full node.",
            )
        self._kept = Head(checkpoint.size, note, verified.signers)
        self._done_size = checkpoint.size

    def _settle(self, round_: Round) -> None:
        if not round_.done and self.policy.is_met(round_.lines):
            round_.done = True
            self.confirmed = not self.alarm
            self._done_size = max(self._done_size, round_.checkpoint.size)
            self.on_done(round_)
            while self._waiters and self._waiters[0][0] <= self._done_size:
                future = heapq.heappop(self._waiters)[2]
                if not future.done():
                    future.set_result(None)
        self.advance()

    def _due(self, newest: Round) -> float:
        """When the next round may begin."""
        if newest.done:
            return newest.started + newest.spacing_s
        return newest.started + (0.0 if self._hopeless(newest) else self._round_s)

    def _come_again(self, seconds: float) -> None:
        """See to the next round then, or earlier if that was the plan."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        # Remembered here, since uvloop gives a handle that cannot say it for the shortest delays.
        self._timer, self._timer_due = loop.call_later(seconds, self._late), due

    def _hopeless(self, round_: Round) -> bool:
        return not self.policy.is_met(self._names - (round_.refused - set(round_.lines)))

    def _forget_oldest(self) -> None:
        size, oldest = next(iter(self._rounds.items()))
        if oldest.done and not any(r.done for s, r in self._rounds.items() if s > size):
            self._kept = Head(size, oldest.cosigned(), tuple(oldest.lines))
        del self._rounds[size]

    def _late(self) -> None:
        self._timer = None
        self.advance()

    def _signal(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def check_policy(policy: Policy, key: SigningKey) -> None:
    """Check that a log may run under a policy. Raises VerificationFailed `policy_without_log`."""
    if key.verifier not in policy.log_keys:
        raise VerificationFailed("policy_without_log", "The policy does not name this log's key.")
