"""The place of a receipt in an answer: found again exactly, and nothing can hide beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.core.answer import (
    DONE,
    hallmark_event,
    join_hallmark,
    read_stream,
    split_hallmark,
    split_hallmark_stream,
)
from hallmark.core.errors import InvalidInput

HALLMARK = b'{"id":"0x00","receipt":{}}'
FRAME = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text().filter(lambda key: key != "hallmark"), JSON, min_size=1))
def test_what_is_joined_is_split_again(value: dict[str, Any]) -> None:
    """Over any JSON object, content and receipt come back byte for byte."""
    content = json.dumps(value, separators=(",", ":")).encode()
    assert split_hallmark(join_hallmark(content, HALLMARK)) == (content, HALLMARK)


def test_text_that_imitates_the_member_changes_nothing() -> None:
    """An answer may talk about receipts, also in JSON inside its text."""
    content = json.dumps({"text": '},"hallmark":{"id":1}}', "nested": {"a": 1}}).encode()
    assert split_hallmark(join_hallmark(content, HALLMARK)) == (content, HALLMARK)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1}',
        b'{"hallmark":{}}',
        b'{"a":{"b":1,"hallmark":{}}}',
        b'{"a":1,"hallmark":{},"b":2}',
        b'{"a":1,"hallmark":{}} ',
        b'{"a":1, "hallmark":{}}',
        b'{"a":1,"hallmark":{},"hallmark":{}}',
        b'{"hallmark":1,"a":1,"hallmark":{}}',
        b'{"a":1,"hallmark":[]}',
        b'[1,"hallmark":{}}',
        b'{"a":1,"hallmark":{"b":1}',
        b'{"a":"\xff","hallmark":{}}',
        b"",
    ],
)
def test_other_bodies_carry_no_receipt(body: bytes) -> None:
    """A receipt elsewhere, twice, or in something that is no JSON object is not a receipt."""
    with pytest.raises(InvalidInput) as caught:
        split_hallmark(body)
    assert caught.value.reason in ("no_receipt", "bad_answer")


def test_content_without_members_or_with_a_receipt_is_not_joined() -> None:
    """Only a non-empty object without a receipt can get one."""
    for content in (b"{}", b"[]", b'{"a":1} ', b'{"hallmark":1}', b"x"):
        with pytest.raises(InvalidInput):
            join_hallmark(content, HALLMARK)


def test_a_stream_is_covered_up_to_the_receipts_event() -> None:
    """Every byte before the receipt's event is content, also when there is none at all."""
    event = hallmark_event(FRAME, HALLMARK)
    for content in (b"", b'data: {"choices":[]}\n\n', b": ping\n\ndata: {}\n\n"):
        assert split_hallmark_stream(content + event + DONE) == (content, HALLMARK)


@pytest.mark.parametrize(
    "frame",
    [
        {"choices": [{"index": 0, "delta": {"content": "smuggled"}}]},
        {"choices": [{"index": 0, "text": "smuggled"}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {"content": "smuggled"}}]},
        {"choices": ["smuggled"]},
        {"choices": {}},
        {"choices": [], "usage": {"total_tokens": 1}},
        {"choices": [], "content": "smuggled"},
        {"id": "x"},
    ],
)
def test_the_receipts_event_holds_nothing_else(frame: dict[str, Any]) -> None:
    """Text, reason or usage inside the event that nothing covers is refused."""
    event = hallmark_event(json.dumps(frame, separators=(",", ":")).encode(), HALLMARK)
    with pytest.raises(InvalidInput) as caught:
        split_hallmark_stream(b"data: {}\n\n" + event + DONE)
    assert caught.value.reason == "bad_answer"


def test_usage_follows_the_receipt_and_is_covered() -> None:
    """One event may stand after the receipt's: it counts the tokens, and the receipt covers it."""
    content = b'data: {"choices":[1]}\n\n'
    tail = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
    event = hallmark_event(FRAME, HALLMARK)
    assert split_hallmark_stream(content + event + tail + DONE) == (content + tail, HALLMARK)
    assert split_hallmark_stream(event + tail + DONE) == (tail, HALLMARK)
    assert read_stream(content + event + tail + DONE).head == content
    others = (
        tail + tail,
        b": note\n\n",
        b"data: {}\n\n",
        b'data: {"usage":null}\n\n',
        b"data: x\ndata: y\n\n",
    )
    for other in others:
        with pytest.raises(InvalidInput):
            split_hallmark_stream(content + event + other + DONE)


def test_cut_or_prolonged_streams_carry_no_receipt() -> None:
    """Without [DONE], with something between, or with anything after it, a stream is not complete."""
    event = hallmark_event(FRAME, HALLMARK)
    for body in (event, DONE, event + b": x\n\n" + DONE, event + DONE + b"x", event[:-1] + DONE, b""):
        with pytest.raises(InvalidInput) as caught:
            split_hallmark_stream(body)
        assert caught.value.reason == "no_receipt"
