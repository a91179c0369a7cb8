"""Whom the log knows: registered keys, their owners, label owners, and the statements that it took.

A light view of the log's own entries. It exists to tell members from strangers before an entry gets a place,
and decides nothing else: what holds is for full nodes to say (ADR 3). It is written in the transaction
that makes the entries durable, so a standby that takes over knows the same.

A key is known from when its registration is durable, and no longer once f+1 full nodes have objected to that
registration; the objections themselves are counted in memory, over the last `RECENT` entries. A key
to whose entries f+1 objected lately is `slowed`. One whose owner nobody vouches for is `new` until a quorum
has cosigned its registration and some seconds have passed: long enough to object to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from hallmark.core.objected import Run
from hallmark.core.statements import Role
from hallmark.store.raw import RawDatabase, Transaction

RECENT: Final = 65_536
LATELY: Final = 4_096

KEEP_MEMBER: Final = (
    "INSERT INTO log_members (key, role, owner, position, struck) "
    "VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
    "role = excluded.role, owner = excluded.owner, position = excluded.position, struck = excluded.struck"
)
KEEP_PUBLISHER: Final = "INSERT INTO log_publishers (owner) VALUES (?) ON CONFLICT DO NOTHING"
KEEP_STATEMENT: Final = "INSERT INTO log_statements (digest) VALUES (?) ON CONFLICT DO NOTHING"
STRIKE: Final = "UPDATE log_members SET struck = 1 WHERE key = ?"


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE log_members (key BLOB PRIMARY KEY, role INTEGER NOT NULL, owner BLOB NOT NULL, "
        "position INTEGER NOT NULL, struck INTEGER NOT NULL)"
    )
    transaction.execute("CREATE TABLE log_publishers (owner BLOB PRIMARY KEY)")
    transaction.execute("CREATE TABLE log_statements (digest BLOB PRIMARY KEY)")


class Member(msgspec.Struct, frozen=True):
    """A registered key: role, owner (20 bytes each), and where the registration stands that made it one."""

    key: bytes
    role: int
    owner: bytes
    position: int = 0
    struck: bool = False


class Note(msgspec.Struct, frozen=True):
    """What the log remembers of an entry: its statement's digest (empty for receipts, which are ordered by
    sequence), who answers for it, who joins by it, who owns a label by it, what it objects to.
    """

    statement: bytes = b""
    key: bytes = b""
    joins: Member | None = None
    publisher: bytes = b""
    objects: tuple[Run, ...] = ()


class _Placed(msgspec.Struct):
    key: bytes
    against: set[bytes]


class Membership:
    """See the module docstring. `owners` are addresses that the operator vouches for, `cosigned` gives the
    size that the quorum has cosigned, `clock` seconds.
    """

    def __init__(
        self,
        database: RawDatabase,
        owners: Iterable[bytes] = (),
        *,
        cosigned: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = lambda: 0.0,
        new_s: float = 10,
        slowed_s: float = 60,
    ) -> None:
        database.migrate("log-known", (_create,))
        self._database = database
        self._cosigned, self._clock = cosigned, clock
        self._new_s, self._slowed_s = new_s, slowed_s
        self._vouched = frozenset(owners)
        self._joined: dict[bytes, float] = {}
        self._coming: set[bytes] = set()
        self._lately: OrderedDict[bytes, None] = OrderedDict()
        self._recent: OrderedDict[int, _Placed] = OrderedDict()
        self._slowed: dict[bytes, float] = {}
        members = database.read(
            lambda t: t.fetch("SELECT key, role, owner, position, struck FROM log_members")
        )
        self._members = {
            key: Member(key, role, owner, position, bool(struck))
            for key, role, owner, position, struck in members
        }
        self._registered = {member.position: key for key, member in self._members.items()}
        owners_of_labels = database.read(lambda t: t.fetch("SELECT owner FROM log_publishers"))
        self._publishers: set[bytes] = {owner for (owner,) in owners_of_labels}
        self._owned: dict[bytes, set[bytes]] = {}
        self._full_nodes = 0
        for member in self._members.values():
            if not member.struck:
                self._count(member)

    def member(self, key: bytes, *roles: Role) -> Member | None:
        """The registered key, in one of these roles (in any, without); None when it is not."""
        found = self._members.get(key)
        if found is None or found.struck or (roles and found.role not in roles):
            return None
        return found

    def vouched(self, owner: bytes) -> bool:
        """Whether the operator vouches for this owner, or it owns a registered key that is not `new`."""
        if owner in self._vouched:
            return True
        return any(not self.is_new(self._members[key]) for key in self._owned.get(owner, ()))

    def publisher(self, owner: bytes) -> bool:
        """Whether this address owns a label."""
        return owner in self._publishers

    def is_new(self, member: Member) -> bool:
        """See the module docstring."""
        if member.owner in self._vouched:
            return False
        joined = self._joined.get(member.key)
        if joined is not None and joined + self._new_s <= self._clock():
            del self._joined[member.key]
            joined = None
        return joined is not None or member.position >= self._cosigned()

    def is_slowed(self, key: bytes) -> bool:
        """Whether f+1 full nodes objected to an entry of this key lately."""
        until = self._slowed.get(key)
        if until is not None and until <= self._clock():
            del self._slowed[key]
            return False
        return until is not None

    async def statements(self, digests: Sequence[bytes]) -> set[bytes]:
        """Those of these statements (not receipts) that are in the log or on their way."""
        coming = {digest for digest in digests if digest in self._coming}
        asked = [digest for digest in digests if digest not in coming]
        if not asked:
            return coming
        marks = ", ".join("?" * len(asked))
        query = f"SELECT digest FROM log_statements WHERE digest IN ({marks})"  # noqa: S608 - question marks
        rows = await self._database.async_read(lambda t: t.fetch(query, asked))
        return coming | {digest for (digest,) in rows}

    def is_coming(self, statement: bytes) -> bool:
        """Whether this statement is on its way, or was logged a moment ago."""
        return statement in self._coming or statement in self._lately

    def expect(self, note: Note) -> None:
        """An entry is on its way."""
        if note.statement:
            self._coming.add(note.statement)

    def gone(self, note: Note) -> None:
        """An entry is on its way no longer: it has its place, or got none."""
        self._coming.discard(note.statement)

    def keep(self, transaction: Transaction, notes: Sequence[Note], first: int) -> None:
        """Write what these entries from position `first` on make known, in the transaction that logs them."""
        joining = [(m.key, m.role, m.owner, m.position, int(m.struck)) for m in self._joining(notes, first)]
        for statement, rows in (
            (KEEP_MEMBER, joining),
            (KEEP_PUBLISHER, [(note.publisher,) for note in notes if note.publisher]),
            (KEEP_STATEMENT, [(note.statement,) for note in notes if note.statement]),
            (STRIKE, [(key,) for key in self._struck_by(notes)]),
        ):
            if rows:
                transaction.executemany(statement, rows)

    def apply(self, notes: Sequence[Note], first: int) -> None:
        """These entries are durable from position `first` on."""
        for member in self._joining(notes, first):
            before = self._members.get(member.key)
            if before is not None:
                self._registered.pop(before.position, None)
            self._members[member.key] = member
            self._registered[member.position] = member.key
            self._joined[member.key] = self._clock()
            self._count(member)
        struck = self._struck_by(notes)
        for offset, note in enumerate(notes):
            if note.statement:
                self._lately[note.statement] = None
                if len(self._lately) > LATELY:
                    self._lately.popitem(last=False)
            if note.publisher:
                self._publishers.add(note.publisher)
            if note.key and not note.objects:
                self._recent[first + offset] = _Placed(note.key, set())
                if len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
        for note in notes:
            for run in note.objects:
                self._against(note.key, run)
        for key in struck:
            self._members[key] = msgspec.structs.replace(self._members[key], struck=True)
            self._count(self._members[key])

    def _joining(self, notes: Sequence[Note], first: int) -> list[Member]:
        """Keys that become members by these entries; who is one already stays as it is."""
        found: dict[bytes, Member] = {}
        for offset, note in enumerate(notes):
            if note.joins is not None and self.member(note.joins.key) is None:
                found.setdefault(note.joins.key, msgspec.structs.replace(note.joins, position=first + offset))
        return list(found.values())

    def _against(self, author: bytes, run: Run) -> None:
        """A full node objects to these positions; the f+1st slows the key that answers for one, and saying it
        again does not.
        """
        for position in range(run.first, run.end):
            placed = self._recent.get(position)
            if placed is None or author in placed.against:
                continue
            placed.against.add(author)
            if len(placed.against) == self._needed():
                self._slowed[placed.key] = self._clock() + self._slowed_s

    def _struck_by(self, notes: Sequence[Note]) -> set[bytes]:
        """Keys to whose registration f+1 object, these objections included."""
        against: dict[int, set[bytes]] = {}
        for note in notes:
            for run in note.objects:
                for position in range(run.first, run.end):
                    key, placed = self._registered.get(position), self._recent.get(position)
                    if key is None or placed is None or note.key in placed.against:
                        continue
                    if not self._members[key].struck:
                        against.setdefault(position, set()).add(note.key)
        return {
            self._registered[position]
            for position, authors in against.items()
            if len(authors | self._recent[position].against) >= self._needed()
        }

    def _needed(self) -> int:
        """f+1 of the full nodes that the authority registered."""
        return max(self._full_nodes - 1, 0) // 3 + 1

    def _count(self, member: Member) -> None:
        """A key became a member, or is one no longer."""
        owned = self._owned.setdefault(member.owner, set())
        if member.struck:
            owned.discard(member.key)
        else:
            owned.add(member.key)
        self._full_nodes += (member.role == Role.FULL_NODE) * (-1 if member.struck else 1)
