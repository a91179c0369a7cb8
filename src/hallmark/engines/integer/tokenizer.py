"""Byte-level BPE of a tokenizer.json, and chats by the artifact's own table of role marks.

Text is cut by the categories of Unicode into words, numbers, runs of other signs and of space, as GPT-2's
pattern does; which category a character has is Python's `unicodedata`. Special tokens are never read out of
text: a user cannot write another role's mark.
"""

from __future__ import annotations

import functools
import heapq
import json
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.engines.protocol import ChatRequest, CompletionRequest
from hallmark.engines.vocabulary import byte_alphabet, token_bytes

ENDINGS: Final = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
TRIMMED: Final = " \t\n\r\x0b\x0c"


class ChatMarks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens that stand around a chat: one before each message by its role, `end` behind it, and `opens`
    before the answer. A role that `roles` lacks has the mark of "user".
    """

    roles: dict[str, int]
    end: int
    opens: int


class ExactTokenizer:
    """Tokens of text and chats. `table` gives the bytes of each token."""

    def __init__(self, file: bytes, chat: ChatMarks | None) -> None:
        """Read tokenizer.json. Raises InvalidInput `bad_artifact`."""
        try:
            described: dict[str, Any] = json.loads(file)
            model = described["model"]
            pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
            self._ranks = {(str(left), str(right)): rank for rank, (left, right) in enumerate(pairs)}
            self._ids: Mapping[str, int] = model["vocab"]
            table = token_bytes(described)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable() from error
        letters = {byte: letter for letter, byte in byte_alphabet().items()}
        self._letters = [letters[byte] for byte in range(256)]
        if table is None or any(letter not in self._ids for letter in self._letters):
            raise _unreadable()
        made = ("".join(pair) in self._ids for pair in self._ranks)
        if any(type(token) is not int for token in (*self._ids.values(), *table)) or not all(made):
            raise _unreadable()
        self.table, self.chat = table, chat
        self._longest = max(len(text) for text in self._ids)
        self._word = functools.lru_cache(maxsize=4096)(self._merge)

    def encode(self, request: ChatRequest | CompletionRequest) -> list[int]:
        """Token ids of a request. Raises InvalidInput `empty_prompt`."""
        tokens: list[int]
        if isinstance(request, CompletionRequest) or self.chat is None:
            tokens = self.text(request.prompt) if isinstance(request, CompletionRequest) else []
        else:
            tokens = []
            for message in request.messages:
                mark = self.chat.roles.get(message.role, self.chat.roles["user"])
                tokens += [mark, *self.text(message.content.strip(TRIMMED)), self.chat.end]
            tokens.append(self.chat.opens)
        if not tokens:
            raise InvalidInput("empty_prompt", "The prompt is empty.")
        return tokens

    def fewest(self, request: ChatRequest | CompletionRequest) -> int:
        """How many tokens `encode` gives at least, by the text's bytes and the longest token; cheap."""
        if isinstance(request, CompletionRequest):
            texts, marks = [request.prompt], 0
        else:
            texts = [message.content.strip(TRIMMED) for message in request.messages]
            marks = 2 * len(texts) + 1 if self.chat else 0
        return marks + -(-sum(len(text.encode("utf-8", "replace")) for text in texts) // self._longest)

    def text(self, text: str) -> list[int]:
        """Token ids of plain text."""
        tokens: list[int] = []
        for word in words(text):
            tokens += self._word(word)
        return tokens

    def _merge(self, word: str) -> tuple[int, ...]:
        """Of all neighbours the pair of the lowest rank, the leftmost of several, is put together until none
        has a rank. O(n log n): a pair waits in the heap, and is passed over where its parts are no more.
        """
        parts = [self._letters[byte] for byte in word.encode("utf-8", "replace")]
        end = len(parts)
        after, before = list(range(1, end + 1)), list(range(-1, end - 1))
        waiting: list[tuple[int, int, str, str]] = []

        def offer(at: int) -> None:
            if at >= 0 and after[at] < end:
                left, right = parts[at], parts[after[at]]
                rank = self._ranks.get((left, right))
                if rank is not None:
                    heapq.heappush(waiting, (rank, at, left, right))

        for at in range(end):
            offer(at)
        while waiting:
            _, at, left, right = heapq.heappop(waiting)
            other = after[at]
            if parts[at] != left or other == end or parts[other] != right:
                continue
            parts[at], parts[other] = left + right, ""
            after[at] = after[other]
            if after[at] < end:
                before[after[at]] = at
            offer(before[at])
            offer(at)
        return tuple([self._ids[part] for part in parts if part])


def words(text: str) -> Iterator[str]:
    """The pieces of a text that are merged on their own, in order; together they are the text."""
    at, end = 0, len(text)
    while at < end:
        found = next((len(e) for e in ENDINGS if text.startswith(e, at)), 0)
        if not found:
            begin = at + 1 if text[at] == " " and at + 1 < end and _kind(text[at + 1]) != "Z" else at
            kind = _kind(text[begin])
            last = begin
            while last < end and _kind(text[last]) == kind:
                last += 1
            # White space before a word leaves its last character to that word, where there are several.
            found = last - at - (kind == "Z" and last < end and last - at > 1)
        yield text[at : at + found]
        at += found


@functools.lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    """L for letters, N for numbers, Z for white space, "-" for everything else."""
    if character.isspace() and not "\x1c" <= character <= "\x1f":
        return "Z"
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "-"


def _unreadable() -> InvalidInput:
    return InvalidInput("bad_artifact", "The artifact's tokenizer.json is no byte-level BPE.")
