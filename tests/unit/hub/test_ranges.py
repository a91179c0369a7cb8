"""Which bytes a request asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.hub.ranges import RangeNotSatisfiable, Span, byte_range, parse_range


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=4-", (4, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("Bytes= 2 - 3 ", (2, 4)),
    ],
)
def test_ranges_that_are_served(value: str, span: tuple[int, int]) -> None:
    """A range from first to last byte, from a byte on, and the last bytes, of ten."""
    assert parse_range(value, 10) == Span(*span)


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0-10",
        "bytes=10-",
        "bytes=3-2",
        "bytes=-0",
        "bytes=-",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=٣-٤",
        "items=0-1",
        "bytes=0-" + "9" * 30,
        "",
    ],
)
def test_ranges_that_are_refused(value: str) -> None:
    """What lies outside, several ranges and nonsense get 416 with the length."""
    with pytest.raises(RangeNotSatisfiable) as error:
        parse_range(value, 10)
    assert (error.value.status, error.value.reason) == (416, "bad_byte_range")
    assert error.value.headers == ((b"content-range", b"bytes */10"),)


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}"), st.integers(0, 1 << 40))
def test_every_range_is_inside_or_refused(value: str, size: int) -> None:
    """Whatever the header says, a span is not empty and inside the blob, or the answer is 416."""
    try:
        span = parse_range(value, size)
    except RangeNotSatisfiable:
        return
    assert 0 <= span.start < span.end <= size


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_byte_range_is_inside_or_refused(start: int, length: int, size: int) -> None:
    """Start and length, as Walrus's own query has them: nothing empty, nothing behind the end."""
    if 0 < length <= size - start:
        assert byte_range(start, length, size) == Span(start, start + length)
        return
    with pytest.raises(InvalidInput) as error:
        byte_range(start, length, size)
    assert (error.value.reason, error.value.status) == ("bad_byte_range", 400)
