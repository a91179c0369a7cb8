"""Answers are read as an enclave writes them, to the byte, and not at all otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from hallmark.core.answer import COMMENT
from hallmark.engines.openai_response import Shape, Usage
from hallmark.engines.protocol import Array
from hallmark.engines.tensor_response import Head, whole
from hallmark.services.sdk.replay_answers import Said, read_text, same_tensors

SHAPE = Shape("x", 1, "m", chat=True)
OUTPUTS: dict[str, Array] = {"p": np.array([[0.5, 0.25]], "float32"), "label": np.array([1])}
LABELS = ("no", "yes")
Forge = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize(
    "forged",
    [
        lambda a: a["choices"][0]["message"].update(tool_calls=[{"function": {"name": "pay"}}]),
        lambda a: a["choices"][0]["message"].update(refusal="no"),
        lambda a: a["choices"][0].update(index=1),
        lambda a: a["choices"][0].update(finish_reason=""),
        lambda a: a["choices"].append({"index": 1, "message": {"role": "assistant", "content": ""}}),
        lambda a: a.update(sources=["nowhere"]),
        lambda a: a.update(choices=[1]),
        lambda a: a.update(choices=5),
        lambda a: a.update(choices=[]),
        lambda a: a["choices"][0].update(message="x"),
        lambda a: a.update(created="1"),
    ],
)
def test_an_answer_that_holds_more_or_is_of_another_form_says_nothing(forged: Forge) -> None:
    """The right text beside anything else, in several choices or in none."""
    answer = SHAPE.whole("ab", "stop", Usage(3, 2))
    assert read_text(answer, chat=True, streams=False) == Said("ab", "stop", "m", Usage(3, 2))
    value = json.loads(answer)
    assert compact(value) == answer
    forged(value)
    assert read_text(compact(value), chat=True, streams=False) is None


def compact(value: object) -> bytes:
    """JSON as an enclave writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"id":"\\ud800"}', b"null", b"9" * 5000]
)
def test_bytes_that_are_no_answer_end_in_no_other_exception(content: bytes, streams: bool) -> None:
    """Whatever a node signed."""
    assert read_text(content, chat=True, streams=streams) is None
    assert read_text(b"data: " + content + b"\n\n", chat=True, streams=streams) is None
    assert not same_tensors(content, "m", OUTPUTS, LABELS, stored=streams)


def test_a_member_that_is_there_twice_says_nothing() -> None:
    """Of two members of one name, readers take one or the other."""
    answer = SHAPE.whole("ab", "stop", Usage(3, 2)).replace(
        b'"content":"ab"', b'"content":"cd","content":"ab"'
    )
    assert read_text(answer, chat=True, streams=False) is None


def test_a_stream_is_read_as_an_enclave_writes_it() -> None:
    """Role, texts, ending, counts, and comments between them; nothing more, nothing behind the ending."""
    begin, end = SHAPE.first() + SHAPE.text("a") + COMMENT + SHAPE.text("b"), SHAPE.finish("stop")
    counts = SHAPE.usage(Usage(3, 2))
    assert read_text(begin + end + counts, chat=True, streams=True) == Said("ab", "stop", "m", Usage(3, 2))
    assert read_text(begin, chat=True, streams=True) == Said("ab", "", "m")
    assert read_text(COMMENT + begin[len(SHAPE.first()) :], chat=True, streams=True) == Said("ab", "", "m")
    plain = Shape("x", 1, "m", chat=False)
    assert read_text(plain.text("a") + plain.finish("length"), chat=False, streams=True) == Said(
        "a", "length", "m"
    )
    tools = SHAPE.text("b").replace(b'"content":"b"', b'"content":"b","tool_calls":[]')
    for other in (
        begin + end + end, begin + end + SHAPE.text("c"), begin + counts, begin + tools, begin + b": z\n\n",
        begin + begin, begin + Shape("y", 1, "m", chat=True).text("c"), begin[:-1], begin[:-2],
        begin + b'"x"', begin + b"\n\n",
    ):  # fmt: skip
        assert read_text(other, chat=True, streams=True) is None, other


@pytest.mark.parametrize("stored", [False, True])
def test_outputs_and_labels_are_compared_to_the_byte(stored: bool) -> None:
    """As it was asked: element types, shapes, data and labels; nothing beside them."""
    answer = whole(Head("x", 1, "m"), OUTPUTS, LABELS, stored=stored)
    assert same_tensors(answer, "m", OUTPUTS, LABELS, stored=stored)
    assert not same_tensors(answer, "another", OUTPUTS, LABELS, stored=stored)
    for outputs in (
        OUTPUTS | {"p": OUTPUTS["p"].astype("float64")}, OUTPUTS | {"p": OUTPUTS["p"].reshape(2, 1)},
        OUTPUTS | {"label": np.array([0])}, {"p": OUTPUTS["p"]},
    ):  # fmt: skip
        other = whole(Head("x", 1, "m"), outputs, LABELS, stored=stored)
        if other != answer:
            assert not same_tensors(other, "m", OUTPUTS, LABELS, stored=stored)
        else:
            assert not stored
    value = msgspec.json.decode(answer)
    for change in (
        {"labels": ["yes", "no"]},
        {"outputs": {"p": [[1.0]]}},
        {"safetensors": "é"},
        {"safetensors": "AAAA"},
    ):
        assert not same_tensors(msgspec.json.encode(value | change), "m", OUTPUTS, LABELS, stored=stored)
    assert not same_tensors(answer, "m", OUTPUTS, LABELS, stored=not stored)
