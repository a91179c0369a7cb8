"""Whom the log knows: who joins, who is struck, who is slowed, and what a standby finds."""

from __future__ import annotations

from collections.abc import Sequence

from hallmark.core.objected import Run
from hallmark.core.statements import Role
from hallmark.services.log.membership import Member, Membership, Note
from hallmark.store.raw import RawDatabase

OWNER, VOUCHED = b"o" * 20, b"v" * 20
NODE = b"n" * 20
FULL_NODES = [bytes([number]) * 20 for number in range(4)]


class View:
    """What is known in one process; `size` is what the quorum has cosigned, `now` the time in seconds."""

    def __init__(self, database: RawDatabase | None = None) -> None:
        self.database = database or RawDatabase("sqlite://")
        self.now, self.size, self.end = 100.0, 0, 0
        self.known = Membership(
            self.database,
            (VOUCHED,),
            cosigned=lambda: self.size,
            clock=lambda: self.now,
            new_s=10,
            slowed_s=60,
        )

    def log(self, *notes: Note) -> int:
        """Make entries durable; the position of the first."""
        first, self.end = self.end, self.end + len(notes)
        self.database.write(lambda connection: self.known.keep(connection, notes, first))
        self.known.apply(notes, first)
        return first

    def found(self, members: Sequence[bytes] = FULL_NODES) -> None:
        """Full nodes join."""
        self.log(*(joins(key, Role.FULL_NODE, VOUCHED) for key in members))

    def objects(self, author: bytes, position: int) -> None:
        """A full node objects."""
        self.log(Note(b"", author, objects=(Run(position, 1, "evidence_rejected"),)))


def joins(key: bytes, role: Role = Role.NODE, owner: bytes = OWNER) -> Note:
    """A registration."""
    return Note(key + b"s" * 12, key, joins=Member(key, role, owner))


def test_a_key_is_known_once_it_is_durable() -> None:
    """In its role; its owner is vouched for once the registration is witnessed and some seconds old."""
    view = View()
    at = view.log(joins(NODE))
    member = view.known.member(NODE, Role.NODE)
    assert member is not None
    assert member.position == at
    assert view.known.member(NODE, Role.FULL_NODE) is None
    assert (view.known.is_new(member), view.known.vouched(OWNER)) == (True, False)
    view.size = at + 1
    assert view.known.is_new(member)
    view.now += 10
    assert (view.known.is_new(member), view.known.vouched(OWNER)) == (False, True)
    view.size = 0
    assert view.known.is_new(member)
    assert view.known.vouched(VOUCHED)
    assert not view.known.vouched(b"x" * 20)


def test_whom_the_operator_vouches_for_is_not_new() -> None:
    """Nor are its nodes."""
    view = View()
    view.log(joins(NODE, owner=VOUCHED))
    member = view.known.member(NODE)
    assert member is not None
    assert not view.known.is_new(member)


def test_who_joins_again_stays_what_it_was() -> None:
    """A refreshed registration changes neither role, owner nor position."""
    view = View()
    view.log(joins(NODE))
    before = view.known.member(NODE)
    view.log(joins(NODE, Role.REVIEWER, VOUCHED))
    assert view.known.member(NODE) == before
    assert View(view.database).known.member(NODE) == before


def test_f_and_one_objections_strike_a_registration() -> None:
    """One of four is not enough, two are, also for the next process; a new registration counts again."""
    view = View()
    view.found()
    at = view.log(joins(NODE))
    view.size = at + 1
    view.objects(FULL_NODES[0], at)
    view.objects(FULL_NODES[0], at)
    assert view.known.member(NODE) is not None
    view.objects(FULL_NODES[1], at)
    assert view.known.member(NODE) is None
    view.now += 99
    assert not view.known.vouched(OWNER)
    assert View(view.database).known.member(NODE) is None
    again = view.log(joins(NODE))
    found = view.known.member(NODE)
    assert found is not None
    assert found.position == again
    assert View(view.database).known.member(NODE) == found


def test_two_objections_in_one_batch_strike() -> None:
    """As two batches do."""
    view = View()
    view.found()
    at = view.log(joins(NODE))
    view.log(*(Note(b"", key, objects=(Run(at, 1, "evidence_rejected"),)) for key in FULL_NODES[:2]))
    assert view.known.member(NODE) is None
    assert View(view.database).known.member(NODE) is None


def test_whose_entries_are_objected_to_is_slowed() -> None:
    """For a minute after the last; an objection to nothing recent changes nothing."""
    view = View()
    view.found()
    view.log(joins(NODE))
    at = view.log(Note(key=NODE))
    view.objects(FULL_NODES[0], at)
    view.objects(FULL_NODES[1], at + 50)
    assert not view.known.is_slowed(NODE)
    view.objects(FULL_NODES[1], at)
    assert view.known.is_slowed(NODE)
    view.now += 60
    assert not view.known.is_slowed(NODE)


async def test_statements_on_their_way_and_in_the_log() -> None:
    """Both are known; one that got no place is known no longer."""
    view = View()
    coming, logged = Note(b"c" * 32), Note(b"l" * 32)
    view.known.expect(coming)
    view.log(logged)
    asked = [coming.statement, logged.statement, b"n" * 32]
    assert await view.known.statements(asked) == set(asked[:2])
    assert view.known.is_coming(coming.statement)
    view.known.gone(coming)
    assert await view.known.statements(asked) == {logged.statement}


def test_owners_of_labels() -> None:
    """Are known, also to the next process."""
    view = View()
    view.log(Note(b"p" * 32, publisher=OWNER), Note(b"q" * 32, publisher=OWNER))
    assert view.known.publisher(OWNER)
    assert View(view.database).known.publisher(OWNER)
    assert not view.known.vouched(OWNER)


def test_an_old_objection_strikes_no_new_registration() -> None:
    """Said again by one, it counts for nothing; nor does it slow for ever."""
    view = View()
    view.found()
    at = view.log(joins(NODE))
    for author in FULL_NODES[:2]:
        view.objects(author, at)
    again = view.log(joins(NODE))
    view.objects(FULL_NODES[1], at)
    view.objects(FULL_NODES[2], at)
    assert view.known.member(NODE) is not None
    view.now += 61
    view.objects(FULL_NODES[1], at)
    view.objects(FULL_NODES[3], at)
    assert not view.known.is_slowed(NODE)
    for author in FULL_NODES[2:]:
        view.objects(author, again)
    assert view.known.member(NODE) is None


def test_what_was_logged_a_moment_ago_is_remembered() -> None:
    """So that another form of it cannot slip in while the store is asked."""
    view = View()
    view.log(Note(b"l" * 32))
    assert view.known.is_coming(b"l" * 32)
