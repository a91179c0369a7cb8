"""What a log streams to whoever follows it, as frames: `u8 kind || u32be length || body`.

| kind | body | says |
|---|---|---|
| 1 | a checkpoint note | a quorum cosigned this; the leaves below it that were not sent follow |
| 2 | `u64be start` and an entry bundle | leaves below the checkpoint named last, in order, none left out |
| 3 | `u64be size`, `u64be start` and an entry bundle | the log has `size` leaves; these are in no cosigned checkpoint yet |
| 4 | nothing | the log is there |

Nothing of it is believed: whoever reads it verifies the quorum of a note, and that the leaves give its root.
"""  # noqa: E501 - a table

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.ledger.tiles import decode_bundle, encode_bundle

MAX_BODY: Final = 1 << 20
HEAD: Final = struct.Struct(">BI")
PLACE: Final = struct.Struct(">Q")
TAIL: Final = struct.Struct(">QQ")


class Cosigned(msgspec.Struct, frozen=True):
    """A checkpoint's note, with at least a quorum's cosignatures if the log is honest."""

    note: bytes


class Covered(msgspec.Struct, frozen=True):
    """Leaves from position `start` on, below the checkpoint that was named before them."""

    start: int
    leaves: list[bytes]


class Uncovered(msgspec.Struct, frozen=True):
    """How many leaves the log says that it has, and the newest of those that no quorum covers."""

    size: int
    start: int
    leaves: list[bytes]


class Alive(msgspec.Struct, frozen=True):
    """Nothing new."""


Frame = Cosigned | Covered | Uncovered | Alive


def encode(frame: Frame) -> bytes:
    """The frame's bytes."""
    match frame:
        case Cosigned(note):
            return HEAD.pack(1, len(note)) + note
        case Covered(start, leaves):
            bundle = encode_bundle(leaves)
            return HEAD.pack(2, PLACE.size + len(bundle)) + PLACE.pack(start) + bundle
        case Uncovered(size, start, leaves):
            bundle = encode_bundle(leaves)
            return HEAD.pack(3, TAIL.size + len(bundle)) + TAIL.pack(size, start) + bundle
        case Alive():
            return HEAD.pack(4, 0)


class Frames:
    """Cuts a stream into frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises InvalidInput `bad_frame`, `bad_bundle`."""
        self._rest += data
        frames, at = [], 0
        while len(self._rest) - at >= HEAD.size:
            kind, length = HEAD.unpack_from(self._rest, at)
            if length > MAX_BODY:
                raise InvalidInput("bad_frame", f"A frame has at most {MAX_BODY} bytes.")
            if len(self._rest) - at < HEAD.size + length:
                break
            at += HEAD.size
            frames.append(_decode(kind, bytes(self._rest[at : at + length])))
            at += length
        del self._rest[:at]
        return frames


def newest_of(frames: Sequence[Frame]) -> list[Frame]:
    """The frames without checkpoints that are out of date: where a later one follows with leaves that begin
    where the earlier one's end, it covers these too, and its quorum is enough for all.
    """
    kept: list[Frame] = []
    named, end = -1, -1
    for number, frame in enumerate(frames):
        match frame:
            case Cosigned():
                after = frames[number + 1] if number + 1 < len(frames) else None
                if named >= 0 and isinstance(after, Covered) and after.start == end:
                    kept[named] = frame
                    continue
                named, end = len(kept), -1
            case Covered(start, leaves) if named >= 0 and end in (-1, start):
                end = start + len(leaves)
            case _:
                named = -1
        kept.append(frame)
    return kept


def _decode(kind: int, body: bytes) -> Frame:
    try:
        match kind:
            case 1:
                return Cosigned(body)
            case 2:
                (start,) = PLACE.unpack_from(body)
                return Covered(start, decode_bundle(body[PLACE.size :]))
            case 3:
                size, start = TAIL.unpack_from(body)
                return Uncovered(size, start, decode_bundle(body[TAIL.size :]))
            case 4 if not body:
                return Alive()
    except struct.error:
        pass
    raise InvalidInput("bad_frame", "What the log sent is no frame that this version knows.")
