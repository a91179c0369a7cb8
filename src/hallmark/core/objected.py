"""What a full node objects to: runs of log positions, each with one reason.

A verdict commits to a list of runs and carries it as its one attachment. Layout, big-endian, 44 bytes a run:

    u64 first || u32 count || bytes32 reason (text code)

Runs ascend and do not overlap. A thousand junk entries in a row cost one run; a list has at most `MAX_RUNS`
runs over at most `MAX_POSITIONS` positions, so that no entry is heavy to carry or to judge.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.core.statements import code, text_of

RUN_SIZE: Final = 44
MAX_RUNS: Final = 128
MAX_POSITIONS: Final = 4_096
TAG: Final = b"hallmark/objected/v1\0"
_HEAD: Final = struct.Struct(">QI")


class Run(msgspec.Struct, frozen=True):
    """Positions `first` up to, not including, `end`, and the reason code that holds against each of them."""

    first: int
    count: int
    reason: str

    @property
    def end(self) -> int:
        """The position behind the last one."""
        return self.first + self.count

    def covers(self, position: int) -> bool:
        """True when `position` is inside."""
        return self.first <= position < self.end


def runs_of(found: Iterable[tuple[int, str]]) -> list[Run]:
    """Runs over (position, reason) pairs, whatever their order; neighbours with one reason join."""
    runs: list[Run] = []
    for position, reason in sorted(found):
        last = runs[-1] if runs else None
        if last is not None and last.end == position and last.reason == reason:
            runs[-1] = Run(last.first, last.count + 1, reason)
        else:
            runs.append(Run(position, 1, reason))
    return runs


def batches(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs in lists that one verdict each can carry; a run that is too long is cut."""
    lists: list[list[Run]] = []
    room = 0
    for run in runs:
        first, left = run.first, run.count
        while left:
            if not room or len(lists[-1]) == MAX_RUNS:
                lists.append([])
                room = MAX_POSITIONS
            part = min(left, room)
            lists[-1].append(Run(first, part, run.reason))
            first, left, room = first + part, left - part, room - part
    return lists


def encode_runs(runs: Sequence[Run]) -> bytes:
    """The list's bytes."""
    return b"".join(_HEAD.pack(run.first, run.count) + code(run.reason) for run in runs)


def decode_runs(data: bytes) -> tuple[Run, ...]:
    """Read a list. Raises InvalidInput `objected_malformed` unless it is as the module docstring says."""
    if not data or len(data) % RUN_SIZE or len(data) > RUN_SIZE * MAX_RUNS:
        raise _malformed()
    runs = []
    end = total = 0
    for at in range(0, len(data), RUN_SIZE):
        first, count = _HEAD.unpack_from(data, at)
        raw = data[at + _HEAD.size : at + RUN_SIZE]
        reason = text_of(raw)
        if not reason.isascii() or not reason.isprintable() or not reason or code(reason) != raw:
            raise _malformed()
        total += count
        if not count or first < end or total > MAX_POSITIONS:
            raise _malformed()
        end = first + count
        runs.append(Run(first, count, reason))
    return tuple(runs)


def digest_of_runs(data: bytes) -> bytes:
    """What the verdict commits to; 32 bytes."""
    return sha256(TAG, data)


def _malformed() -> InvalidInput:
    return InvalidInput("objected_malformed", "The list of positions objected to cannot be read.")
