"""Splitting server-sent events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import TooLarge
from hallmark.http.sse import Splitter, data_of, event_of


@given(st.lists(st.binary(max_size=20)), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
def test_nothing_is_lost_or_added(pieces: list[bytes], end: bytes) -> None:
    """Whatever goes in comes out byte for byte, and the cuts do not depend on how it arrived."""
    whole = end.join(pieces)
    at_once, by_byte = Splitter(), Splitter()
    events = at_once.feed(whole)
    assert b"".join(events) + at_once.rest == whole
    singly = [event for i in range(len(whole)) for event in by_byte.feed(whole[i : i + 1])]
    assert b"".join(singly) + by_byte.rest == whole


def test_events_and_their_data() -> None:
    """Events end at a blank line; data lines are joined; comments carry none."""
    splitter = Splitter()
    assert splitter.feed(b"data: a\ndata:b\n\n: ping\n\ndata: c") == [b"data: a\ndata:b\n\n", b": ping\n\n"]
    assert splitter.rest == b"data: c"
    assert data_of(b"data: a\ndata:b\n\n") == b"a\nb"
    assert data_of(b": ping\n\n") is None
    assert data_of(event_of(b"{}")) == b"{}"


def test_an_endless_event_is_refused() -> None:
    """An event over the limit raises instead of filling the memory."""
    splitter = Splitter(limit=10)
    with pytest.raises(TooLarge):
        splitter.feed(b"data: 0123456789")
