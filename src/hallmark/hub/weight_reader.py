"""Reading a file of weights from its beginning on, never behind its end, and the errors of doing so."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from hallmark.core.errors import InvalidInput


class Reader:
    """A file of `size` bytes; `at` is where the next byte comes from. What is not there raises InvalidInput
    `weights_truncated`.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size, self.at = file, size, 0
        file.seek(0)

    def take(self, length: int) -> bytes:
        """The next bytes."""
        data = self._file.read(length) if length <= self.size - self.at else b""
        if len(data) < length:
            raise truncated()
        self.at += length
        return data

    def skip(self, length: int) -> None:
        """Pass over bytes, which must be there."""
        if length > self.size - self.at:
            raise truncated()
        self.at += length
        self._file.seek(self.at)

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """The next values, as `struct` lays them out."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def truncated() -> InvalidInput:
    """The error for a file that ends before what it says it holds."""
    return InvalidInput(
        "weights_truncated",
        "A file of weights ends before what its own header says that it holds.",
        "Was its download cut off? Compare its SHA-256 with that of its source.",
    )


def bad(message: str) -> InvalidInput:
    """The error for a file of weights that contradicts itself."""
    return InvalidInput("bad_weights", message, "Write it again with the library of its format.")
