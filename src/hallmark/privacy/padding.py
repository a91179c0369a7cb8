"""Sizes that say little: requests come in classes, and pieces of answers too.

A request is a Binary HTTP message followed by zeros (RFC 9292, section 3.8) up to a class: 1, 2, 4, 8, 16, 32
KiB and on in powers of two. An answer's body is coded as `hallmark-padded` where its client accepts that:
frames of

    u32 length || data || zeros

whose whole size is a class of its own, so that the lengths of tokens do not show. A frame without data says
only that the answer still comes.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import HallmarkError, InvalidInput

CODING: Final = "hallmark-padded"
SMALLEST_REQUEST: Final = 1024
SMALLEST_FRAME: Final = 256
LENGTH: Final = 4
LARGEST_FRAME: Final = 1 << 20
"""More data than fits is several frames."""


def request_class(size: int) -> int:
    """The class of a request of `size` bytes."""
    return _class(size, SMALLEST_REQUEST)


def pad_request(message: bytes) -> bytes:
    """The message with zeros behind it."""
    return message.ljust(request_class(len(message)), b"\0")


def frame(data: bytes) -> bytes:
    """The data in as few frames as it fits in; one for none."""
    most = LARGEST_FRAME - LENGTH
    pieces = [data[at : at + most] for at in range(0, len(data), most)] or [b""]
    return b"".join(_frame(piece) for piece in pieces)


class FrameReader:
    """Takes frames apart, in whatever pieces they come.

    What is given out does not depend on how the bytes were split: data that stands before a frame that
    cannot be read is still given out, and the next call raises.
    """

    def __init__(self) -> None:
        self._data, self._wanted = bytearray(), LENGTH
        self._failed = False

    def feed(self, data: bytes) -> bytes:
        """What complete frames held. Raises InvalidInput `bad_padding`."""
        self._data += data
        out = bytearray()
        while not self._failed and len(self._data) >= self._wanted:
            length = int.from_bytes(self._data[:LENGTH], "big")
            size = _class(LENGTH + length, SMALLEST_FRAME)
            end = LENGTH + length
            if size > LARGEST_FRAME:
                self._failed = True
            elif len(self._data) < size:
                self._wanted = size
            elif self._data.count(0, end, size) != size - end:
                self._failed = True
            else:
                out += memoryview(self._data)[LENGTH:end]
                del self._data[:size]
                self._wanted = LENGTH
        if self._failed and not out:
            raise bad()
        return bytes(out)

    def end(self) -> None:
        """Nothing more comes. Raises InvalidInput `bad_padding` when a frame is not whole."""
        if self._data:
            raise bad()


def bad() -> HallmarkError:
    """Bytes that are no frames."""
    return InvalidInput("bad_padding", "The padded body of an answer cannot be read.")


def _frame(data: bytes) -> bytes:
    whole = len(data).to_bytes(LENGTH, "big") + data
    return whole.ljust(_class(len(whole), SMALLEST_FRAME), b"\0")


def _class(size: int, smallest: int) -> int:
    return max(smallest, 1 << (size - 1).bit_length())
