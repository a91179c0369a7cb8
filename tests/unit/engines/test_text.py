"""Characters stay whole over token borders, and stop strings never show."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.engines.text import ByteDetokenizer, Detokenizer, StopMatcher, WindowDetokenizer
from hallmark.engines.vocabulary import byte_alphabet, token_bytes
from hallmark.testing import tiny_models


def decode(tokens: Sequence[int]) -> str:
    """Tokens that are bytes."""
    return bytes(tokens).decode("utf-8", "replace")


def both() -> list[Detokenizer]:
    """A detokenizer of either kind."""
    return [ByteDetokenizer({byte: bytes((byte,)) for byte in range(256)}), WindowDetokenizer(decode)]


def run(words: Detokenizer, data: bytes) -> list[str]:
    """The pieces of a text that comes byte by byte."""
    return [*(words.push(byte) for byte in data), words.flush()]


@pytest.mark.parametrize("words", both())
def test_a_character_appears_when_it_is_complete(words: Detokenizer) -> None:
    """The four bytes of an emoji give nothing, nothing, nothing, then the emoji."""
    assert run(words, "👋é".encode()) == ["", "", "", "👋", "", "é", ""]


@pytest.mark.parametrize("words", both())
def test_broken_bytes_become_replacement_characters(words: Detokenizer) -> None:
    """What never becomes a character is shown as U+FFFD once that is certain, at the latest at the end."""
    assert "".join(run(words, b"a\xff\xfeb\xc3")) == "a\ufffd\ufffdb\ufffd"


@given(st.text())
def test_text_in_pieces_is_the_text(text: str) -> None:
    """Over any text the pieces add up to it, and none ends in half a character."""
    for words in both():
        assert "".join(run(words, text.encode())) == text


@given(st.binary(max_size=60))
def test_any_bytes_give_what_decoding_at_once_gives(data: bytes) -> None:
    """Over any bytes the pieces add up to what decoding them at once gives."""
    for words in both():
        assert "".join(run(words, data)) == decode(data)


def test_decoders_that_strip_a_first_space_agree() -> None:
    """A decoder that drops a leading space of its first token still gives the whole text in pieces."""
    vocabulary = {1: "▁Hello", 2: "▁big", 3: "▁world"}

    def sentencepiece(tokens: Sequence[int]) -> str:
        return "".join(vocabulary[token] for token in tokens).replace("▁", " ").removeprefix(" ")

    words = WindowDetokenizer(sentencepiece)
    assert [words.push(token) for token in (1, 2, 3)] == ["Hello", " big", " world"]


def test_the_byte_alphabet_is_a_bijection() -> None:
    """Every byte has one character, and the printable ones have their own."""
    alphabet = byte_alphabet()
    assert sorted(alphabet.values()) == list(range(256))
    assert (alphabet["A"], alphabet["Ġ"], alphabet["Ċ"]) == (65, 32, 10)


def test_token_bytes_come_from_byte_level_tokenizers_only() -> None:
    """Special tokens are silent, added words are their text, and other kinds of tokenizer give no table."""
    files = tiny_models.language_files()
    tokenizer = json.loads(files["tokenizer.json"])
    tokenizer["added_tokens"].append({"id": 300, "content": "né", "special": False})
    table = token_bytes(tokenizer)
    assert table is not None
    assert (table[65], table[255], table[256], table[300]) == (b"A", b"\xff", b"", "né".encode())
    assert token_bytes(tokenizer | {"decoder": {"type": "Metaspace"}}) is None
    assert token_bytes(tokenizer | {"model": {"vocab": {"▁the": 0}}}) is None
    assert token_bytes({}) is None


@pytest.mark.parametrize(
    ("stops", "pieces", "shown", "stopped"),
    [
        (("END",), ["a", "E", "N", "D", "b"], "a", True),
        (("END",), ["aE", "Nx"], "aENx", False),
        (("END",), ["xENDyEND"], "x", True),
        (("ab", "b"), ["ca", "b"], "c", True),
        (("aab",), ["aa", "ab"], "a", True),
        (("\n",), ["one\ntwo"], "one", True),
        ((), ["anything"], "anything", False),
    ],
)
def test_stop_strings_cut(stops: tuple[str, ...], pieces: list[str], shown: str, stopped: bool) -> None:
    """Text up to the first stop string is shown, over any cutting into pieces; without one, all of it."""
    matcher = StopMatcher(stops)
    assert "".join([*(matcher.push(piece) for piece in pieces), matcher.flush()]) == shown
    assert matcher.stopped is stopped


@given(
    st.text(alphabet="ab", max_size=30), st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3)
)
def test_character_by_character_is_like_all_at_once(text: str, stops: list[str]) -> None:
    """What is shown is the text before the stop string that completes first."""
    matcher = StopMatcher(stops)
    shown = "".join([*(matcher.push(character) for character in text), matcher.flush()])
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert shown == text
    else:
        first = text[: min(ends)]
        assert shown == first[: min(first.find(stop) for stop in stops if stop in first)]
