"""Cards: what is read of the top of a README."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.hub.card import MOST_CARD, read_card, summary

GOOD = b"""---
license: apache-2.0
pipeline_tag: text-generation
tags: [small, 2024-01-01]
base_model: a/b
gated: no
---
# A model
"""


def test_a_card_is_text() -> None:
    """Every value stays the text that it is, whatever YAML would make of it."""
    card = read_card(GOOD)
    assert (card["gated"], card["tags"]) == ("no", ["small", "2024-01-01"])
    assert summary(card) == {
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["text-generation", "small", "2024-01-01", "license:apache-2.0", "base_model:a/b"],
    }
    for without in (b"", b"# A model\n", b"---\n---\n", b"text\n---\nlicense: x\n---\n"):
        assert read_card(without) == {}


@pytest.mark.parametrize(
    "text",
    [
        b"---\nlicense: x\n",
        b"---\n- a\n---\n",
        b"---\na: [\n---\n",
        b"---\na: &x [1]\nb: *x\n---\n",
        b"---\nlicense: [a, b]\n---\n",
        b"---\ntags: {a: b}\n---\n",
        b"---\ntags: [[a]]\n---\n",
        b"---\n? [a, b]\n: c\n---\n",
        b"---\n\xff\n---\n",
        b"---\na: " + b"[" * 30 + b"]" * 30 + b"\n---\n",
        b"---\na: " + b"[" * 5000 + b"\n---\n",
        b"---\n" + b"# x\n" * (MOST_CARD // 4 + 1) + b"---\n",
        b"---\na: [" + b"1," * 11_000 + b"]\n---\n",
        b"---\na: !!python/object/apply:os.system [ls]\nlicense: [\n---\n",
    ],
)
def test_cards_that_are_refused(text: bytes) -> None:
    """Each ends in the one reason: broken, too much, too deep, or growing."""
    with pytest.raises(InvalidInput) as refused:
        read_card(text)
    assert refused.value.reason == "bad_card"


@given(st.text(max_size=200), st.binary(max_size=100))
def test_any_text_is_read_or_refused(text: str, data: bytes) -> None:
    """No other library's error comes out of a card."""
    reasons = set()
    for readme in (f"---\n{text}\n---\n".encode("utf-8", "replace"), b"---\n" + data + b"\n---\n", data):
        try:
            summary(read_card(readme))
        except InvalidInput as error:
            reasons.add(error.reason)
    assert reasons <= {"bad_card"}
