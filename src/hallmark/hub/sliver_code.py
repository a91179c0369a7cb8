"""The Reed-Solomon code of Walrus's symbols (GF(2^16), Leopard), many codewords at a time.

Walrus codes each symbol for itself. The library takes 64 bytes for 32 field elements: their low bytes, then
their high bytes; what is left over below 64 bytes it halves in the same way. So symbols of many codewords can
stand one behind the other in a single call, if their full blocks are joined and their left-over halves are
laid into full blocks of low and of high bytes. One call for a thousand codewords of two bytes each instead of
a thousand calls.

A *lane* is one codeword: its k source symbols, of n. All lanes of a call have lost the same symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import reed_solomon_leopard
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
BLOCK: Final = 64
HALF: Final = 32


def extend(lanes: Bytes, total: int) -> Bytes:
    """Source symbols, shaped (lanes, k, symbol), to the `total` - k symbols that are computed of them."""
    count, sources, size = lanes.shape
    rows = reed_solomon_leopard.encode(_packed(lanes), total - sources)
    return _unpacked(rows, count, size)


def restore(present: Mapping[int, Bytes], sources: int, total: int) -> Bytes:
    """Source symbols, shaped (lanes, k, symbol), of at least k of the `total`, by index, each shaped (lanes,
    symbol).
    """
    first = next(iter(present.values()))
    count, size = first.shape
    whole = np.empty((count, sources, size), np.uint8)
    for index, symbols in present.items():
        if index < sources:
            whole[:, index, :] = symbols
    missing = [index for index in range(sources) if index not in present]
    if missing:
        taken = sorted(present)[:sources]
        rows = _packed(np.stack([present[index] for index in taken], axis=1))
        original = {index: row for index, row in zip(taken, rows, strict=True) if index < sources}
        recovery = {index - sources: row for index, row in zip(taken, rows, strict=True) if index >= sources}
        found = reed_solomon_leopard.decode(sources, total - sources, original, recovery)
        whole[:, missing, :] = _unpacked([found[index] for index in missing], count, size)
    return whole


def restore_symbols(present: Mapping[int, bytes], sources: int, total: int, lanes: int) -> list[bytes]:
    """For each source symbol's place its symbols of all `lanes`, joined, of at least `sources` by index."""
    arrays = {
        index: np.frombuffer(data, np.uint8).reshape(lanes, len(data) // lanes)
        for index, data in present.items()
    }
    whole = restore(arrays, sources, total)
    return [np.ascontiguousarray(whole[:, index, :]).tobytes() for index in range(sources)]


def _packed(lanes: Bytes) -> list[bytes]:
    """(lanes, symbols, size) as one row of bytes for each symbol's place."""
    count, symbols, size = lanes.shape
    if count == 1:
        return [row.tobytes() for row in lanes[0]]
    full = size - size % BLOCK
    half = (size - full) // 2
    blocks = -(-count * half // HALF)
    rows = np.zeros((symbols, count * full + blocks * BLOCK), np.uint8)
    rows[:, : count * full] = lanes[:, :, :full].transpose(1, 0, 2).reshape(symbols, count * full)
    if half:
        tails = rows[:, count * full :].reshape(symbols, blocks, 2, HALF)
        for which in range(2):
            part = lanes[:, :, full + which * half : full + (which + 1) * half]
            flat = np.zeros((symbols, blocks * HALF), np.uint8)
            flat[:, : count * half] = part.transpose(1, 0, 2).reshape(symbols, count * half)
            tails[:, :, which, :] = flat.reshape(symbols, blocks, HALF)
    return [row.tobytes() for row in rows]


def _unpacked(rows: list[bytes], count: int, size: int) -> Bytes:
    """What `_packed` made, back as (lanes, symbols, size)."""
    packed = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    if count == 1:
        return packed.reshape(1, len(rows), size)
    full = size - size % BLOCK
    half = (size - full) // 2
    lanes = np.empty((count, len(rows), size), np.uint8)
    lanes[:, :, :full] = packed[:, : count * full].reshape(len(rows), count, full).transpose(1, 0, 2)
    if half:
        tails = packed[:, count * full :].reshape(len(rows), -1, 2, HALF)
        for which in range(2):
            flat = tails[:, :, which, :].reshape(len(rows), -1)[:, : count * half]
            part = flat.reshape(len(rows), count, half).transpose(1, 0, 2)
            lanes[:, :, full + which * half : full + (which + 1) * half] = part
    return lanes
