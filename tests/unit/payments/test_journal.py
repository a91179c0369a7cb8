"""The sealed journal: what a host can do to it is seen, but for what the log has to tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.money import MAX_AMOUNT
from hallmark.payments.accounts import Accounts, Event
from hallmark.payments.journal import HEAD, Journal, read_journal

KEY, NAME = b"\1" * 32, b"\2" * 32


def written(count: int, *, key: bytes = KEY, name: bytes = NAME) -> tuple[list[bytes], list[Event]]:
    """Frames of `count` events of one account, and the events."""
    accounts = Accounts()
    events: list[Event] = [accounts.grant(1, b"\3" * 20, 10_000)]
    for number in range(1, count):
        request = number.to_bytes(32, "big")
        events.append(accounts.reserve(1, request, request, most=5, expires=9))
    journal = Journal(key, name)
    frames = [journal.frame(event, at.to_bytes(12, "big")) for at, event in enumerate(events)]
    return frames, events


def test_a_journal_reads_back_and_goes_on() -> None:
    """Every event in order; a journal that goes on after a restart is one journal."""
    frames, events = written(5)
    read = read_journal(b"".join(frames[:3]), KEY, NAME, at_least=3)
    assert (list(read.events), read.position) == (events[:3], 3)
    journal = Journal(KEY, NAME, position=read.position, before=read.before)
    later = journal.frame(events[3], b"n" * 12)
    assert list(read_journal(b"".join(frames[:3]) + later, KEY, NAME).events) == events[:4]


def test_the_largest_amounts_are_kept_exactly() -> None:
    """An account of a token with eighteen decimals holds more than 64 bits."""
    event = Accounts().grant(1, b"\3" * 20, MAX_AMOUNT, MAX_AMOUNT)
    frame = Journal(KEY, NAME).frame(event, b"n" * 12)
    assert read_journal(frame, KEY, NAME).events == (event,)


def test_a_half_written_frame_is_no_frame() -> None:
    """Whatever a crash left of the last one is cut off, and the journal goes on before it."""
    frames, events = written(3)
    whole = b"".join(frames)
    for left in range(1, len(frames[2])):
        read = read_journal(whole[: len(whole) - left], KEY, NAME)
        assert (list(read.events), read.size) == (events[:2], len(frames[0] + frames[1]))


@given(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["drop", "swap", "double", "foreign"]))
def test_frames_cannot_be_moved(first: int, second: int, act: str) -> None:
    """Left out before the end, exchanged, doubled, or of another journal with the same key."""
    frames, events = written(5)
    changed = list(frames)
    if act == "drop":
        del changed[first]
    elif act == "swap":
        changed[first], changed[second] = changed[second], changed[first]
    elif act == "double":
        changed.insert(first, frames[second])
    else:
        changed[first] = written(5, name=b"\4" * 32)[0][first]
    if changed == frames:
        assert list(read_journal(b"".join(changed), KEY, NAME).events) == events
        return
    with pytest.raises(VerificationFailed) as refused:
        read_journal(b"".join(changed), KEY, NAME)
    assert refused.value.reason == "journal_forged"


@given(st.data())
def test_no_bit_can_be_changed(data: st.DataObject) -> None:
    """One flipped bit anywhere is refused; in a length it can cut the end off, as a crash does, and shows."""
    frames, events = written(3)
    whole = bytearray(b"".join(frames))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = read_journal(bytes(whole), KEY, NAME)
    except VerificationFailed as error:
        assert error.reason == "journal_forged"  # noqa: PT017 - either outcome may stand
        return
    assert read.position < 3
    assert list(read.events) == events[: read.position]
    with pytest.raises(VerificationFailed) as refused:
        read_journal(bytes(whole), KEY, NAME, at_least=3)
    assert refused.value.reason == "journal_cut"


def test_a_journal_that_was_put_back_shows_in_the_log() -> None:
    """A prefix opens, as it must after a crash; the position that a logged receipt names tells them apart."""
    frames, _ = written(4)
    with pytest.raises(VerificationFailed) as refused:
        read_journal(b"".join(frames[:2]), KEY, NAME, at_least=3)
    assert refused.value.reason == "journal_cut"
    read_journal(b"".join(frames[:3]), KEY, NAME, at_least=3)


def test_another_key_reads_nothing() -> None:
    """Not even how many events there are is believed."""
    frames, _ = written(2)
    with pytest.raises(VerificationFailed) as refused:
        read_journal(b"".join(frames), b"\x09" * 32, NAME)
    assert refused.value.reason == "journal_forged"


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_reason(data: bytes) -> None:
    """What is no journal is refused, or is no whole frame."""
    try:
        assert read_journal(data, KEY, NAME).events == ()
    except VerificationFailed as error:
        assert error.reason == "journal_forged"  # noqa: PT017 - either outcome may stand


def test_a_nonce_has_twelve_bytes() -> None:
    """Nothing shorter is padded."""
    with pytest.raises(InvalidInput):
        Journal(KEY, NAME).frame(written(1)[1][0], b"\0" * 11)
    assert HEAD.size == 24
