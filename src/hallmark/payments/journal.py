"""The journal of an enclave's accounts, sealed so that its host can keep it but not read, change or cut it.

The host stores frames in order. Each frame is

    length      u32be    4   of what follows
    position    u64be    8   of the frame's event, from 1
    nonce              12
    sealed           n+16   AES-256-GCM over the event as JSON (MessagePack has no integers over 64 bits)

with the associated data tag || journal id (32) || position || SHA-256 of the frame before (zero for the
first). So a frame that is changed, left out, moved, doubled or taken from another journal does not open.
Frames left out at the end can't be seen from the journal: the position of the last event that a receipt
names, which the log holds, says how far it must reach (`read_journal`'s `at_least`). A half-written last
frame is no frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import ZERO32, sha256
from hallmark.payments.accounts import Event

TAG: Final = b"hallmark/account-journal/v1\0"
HEAD: Final = struct.Struct(">IQ12s")
GCM_TAG: Final = 16
MAX_EVENT: Final = 4_096


class Journal:
    """The writing end. `key` (32 bytes) is the enclave's sealing key, `name` (32 bytes) the journal's id."""

    def __init__(self, key: bytes, name: bytes, *, position: int = 0, before: bytes = ZERO32) -> None:
        self._aead = AESGCM(key)
        self._name = name
        self.position = position
        self._before = before

    def frame(self, event: Event, nonce: bytes) -> bytes:
        """The next frame; `nonce` is 12 bytes that were never used with this key.

        Raises InvalidInput `bad_nonce`.
        """
        if len(nonce) != 12:
            raise InvalidInput("bad_nonce", "A frame's nonce has 12 bytes.")
        position = self.position + 1
        sealed = self._aead.encrypt(
            nonce, msgspec.json.encode(event), _bound(self._name, position, self._before)
        )
        frame = HEAD.pack(HEAD.size - 4 + len(sealed), position, nonce) + sealed
        self.position, self._before = position, sha256(frame)
        return frame


class Read(msgspec.Struct, frozen=True):
    """A journal that was read: its events, and what a `Journal` needs to go on after them."""

    events: tuple[Event, ...]
    position: int
    before: bytes
    size: int
    """Bytes of whole frames; what stands behind them was half-written and is cut off."""


def read_journal(data: bytes, key: bytes, name: bytes, *, at_least: int = 0) -> Read:
    """Open every frame, in order.

    1. Each frame opens under this key, this journal's name, its position and the frame before it.
    2. The journal reaches at least to `at_least`, the newest position that the log has a receipt for.

    Raises VerificationFailed `journal_forged` (1), `journal_cut` (2: it was put back to an older state).
    """
    aead, events, before, at = AESGCM(key), list[Event](), ZERO32, 0
    for frame in _frames(data):
        _, position, nonce = HEAD.unpack_from(frame)
        if position != len(events) + 1:
            raise _forged()
        try:
            plain = aead.decrypt(nonce, frame[HEAD.size :], _bound(name, position, before))
            events.append(msgspec.json.decode(plain, type=Event))
        except (InvalidTag, ValueError) as error:
            raise _forged() from error
        before, at = sha256(frame), at + len(frame)
    if len(events) < at_least:
        raise VerificationFailed(
            "journal_cut",
            f"The journal of accounts ends at {len(events)}, and the log knows of {at_least}: it was cut.",
            "The host must give the newest journal; until then no account of it is drawn on.",
        )
    return Read(tuple(events), len(events), before, at)


def _frames(data: bytes) -> Iterator[bytes]:
    """Every whole frame; a last one that is not whole ends it."""
    at = 0
    while len(data) - at >= HEAD.size:
        length = HEAD.unpack_from(data, at)[0]
        if not HEAD.size - 4 + GCM_TAG < length <= HEAD.size - 4 + GCM_TAG + MAX_EVENT:
            raise _forged()
        if len(data) - at < 4 + length:
            return
        yield data[at : at + 4 + length]
        at += 4 + length


def _bound(name: bytes, position: int, before: bytes) -> bytes:
    return TAG + name + position.to_bytes(8, "big") + before


def _forged() -> VerificationFailed:
    return VerificationFailed(
        "journal_forged", "The journal of accounts was changed, or is another enclave's."
    )
