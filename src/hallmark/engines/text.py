"""Text from tokens, piece by piece: whole characters only, and nothing past a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

from hallmark.engines.vocabulary import Table

REPLACEMENT = "\ufffd"
# A UTF-8 character has at most four bytes, so an incomplete one stands for at most three replacements.
LONGEST_OPEN = 3
# Bytes that never become text do not make the window grow for ever.
LONGEST_WINDOW = 64

Decode = Callable[[Sequence[int]], str]


class Detokenizer(Protocol):
    """Turns a growing list of tokens into text that never ends in half a character."""

    def push(self, token: int) -> str:
        """Text that this token completes; "" while a character is incomplete."""
        ...

    def flush(self) -> str:
        """Whatever is left at the end, with U+FFFD for bytes that never became a character."""
        ...


class ByteDetokenizer:
    """By the bytes of each token; exactly `bytes.decode("utf-8", "replace")` of the whole, in pieces."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """See `Detokenizer`."""
        return self._decoder.decode(self._table.get(token, b""))

    def flush(self) -> str:
        """See `Detokenizer`."""
        return self._decoder.decode(b"", final=True)


class WindowDetokenizer:
    """By a library's decoder, for tokenizers whose tokens have no bytes of their own.

    Decodes a short window instead of the whole answer: from the last token that was shown, so that decoders
    which treat a first token differently (leading space) still agree with decoding everything at once.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._context = 0  # tokens at the window's start that are shown already
        self._shown = 0  # characters of the window's text that are shown already

    def push(self, token: int) -> str:
        """See `Detokenizer`."""
        self._window.append(token)
        text = self._decode(self._window)
        certain = len(text)
        while certain and len(text) - certain < LONGEST_OPEN and text[certain - 1] == REPLACEMENT:
            certain -= 1
        if certain == len(text) or len(self._window) - self._context >= LONGEST_WINDOW:
            return self._advance(text)
        new = text[self._shown : certain]
        self._shown = max(self._shown, certain)
        return new

    def flush(self) -> str:
        """See `Detokenizer`."""
        return self._advance(self._decode(self._window)) if len(self._window) > self._context else ""

    def _advance(self, text: str) -> str:
        new = text[self._shown :]
        self._window = self._window[self._context :]
        self._context = len(self._window)
        self._shown = len(self._decode(self._window))
        return new


class StopMatcher:
    """Holds back text that may be the beginning of a stop string, and cuts at the first one that appears."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Text that may be shown now. Sets `stopped` when a stop string is complete; what follows
        it is dropped.
        """
        if self.stopped:
            return ""
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def flush(self) -> str:
        """The held text, when the answer ends without a stop string."""
        shown, self._held = self._held, ""
        return shown


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
