"""Oblivious HTTP: requests that only the key's holder reads, and the responses that come back under them.

    request     u8 key id || u16 kem || u16 kdf || u16 aead || encapsulated key || sealed message
    response    nonce || sealed message

In the chunked form (draft-ietf-ohai-chunked-ohttp-08) a sealed message is any number of chunks, each
`varint length || sealed chunk`, and a last one, `0 || sealed chunk` to the end, which alone is bound to the
word "final". A message without it was cut off. Without chunks (RFC 9458) it is one sealed text.

Whatever does not open, on either side, is one error without detail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.crypto import hpke
from hallmark.crypto.hpke import AEADS, KDF_SHA256, KEMS, NONCE, TAG, Context, PrivateKey, Sequence
from hallmark.privacy import varint

HEADER: Final = 7
FINAL: Final = b"final"
REQUEST_LABEL: Final = b"message/bhttp request"
RESPONSE_LABEL: Final = b"message/bhttp response"
CHUNKED_REQUEST_LABEL: Final = b"message/bhttp chunked request"
CHUNKED_RESPONSE_LABEL: Final = b"message/bhttp chunked response"
REQUEST_TYPE: Final = "message/ohttp-req"
RESPONSE_TYPE: Final = "message/ohttp-res"
CHUNKED_REQUEST_TYPE: Final = "message/ohttp-chunked-req"
CHUNKED_RESPONSE_TYPE: Final = "message/ohttp-chunked-res"
KEYS_TYPE: Final = "application/ohttp-keys"
MAX_CHUNK: Final = 64 << 20
"""A chunk, or a message without chunks, that says to be longer is none of ours; readers may allow less."""
RESPONSE_CHUNK: Final = (1 << 20) + (64 << 10)
"""So much a client holds at most of an answer in chunks: the largest frame of `padding`, and a head."""

Random = Callable[[int], bytes]


class KeyConfiguration(msgspec.Struct, frozen=True):
    """One key that can be sealed to (RFC 9458, section 3): id, KEM, public key, pairs of KDF and AEAD."""

    key_id: int
    kem: int
    public_key: bytes
    symmetric: tuple[tuple[int, int], ...]

    def encode(self) -> bytes:
        """`u8 id || u16 kem || public key || u16 length || (u16 kdf || u16 aead)...`."""
        pairs = b"".join(_u16(kdf) + _u16(aead) for kdf, aead in self.symmetric)
        return bytes((self.key_id,)) + _u16(self.kem) + self.public_key + _u16(len(pairs)) + pairs

    @classmethod
    def decode(cls, data: bytes) -> KeyConfiguration | None:
        """Read one; None when its KEM is not known here. Raises InvalidInput `bad_key_configuration`."""
        kem = KEMS.get(int.from_bytes(data[1:3], "big"))
        if len(data) < HEADER:
            raise _bad_configuration()
        if kem is None:
            return None
        at = 3 + kem.public
        pairs = data[at + 2 :]
        if len(data) < at + 2 or int.from_bytes(data[at : at + 2], "big") != len(pairs):
            raise _bad_configuration()
        if not pairs or len(pairs) % 4:
            raise _bad_configuration()
        read = [int.from_bytes(pairs[place : place + 2], "big") for place in range(0, len(pairs), 2)]
        symmetric = tuple(zip(read[::2], read[1::2], strict=True))
        return cls(data[0], kem.id, data[3:at], symmetric)


def encode_list(configurations: tuple[KeyConfiguration, ...]) -> bytes:
    """`application/ohttp-keys`: each with its u16 length before it."""
    parts = [configuration.encode() for configuration in configurations]
    return b"".join(_u16(len(part)) + part for part in parts)


def decode_list(data: bytes) -> tuple[KeyConfiguration, ...]:
    """The configurations whose KEM is known here. Raises InvalidInput `bad_key_configuration`, also where two
    have one key id.
    """
    found: list[KeyConfiguration] = []
    at, ids = 0, set[int]()
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or end < at + 3:
            raise _bad_configuration()
        known = KeyConfiguration.decode(data[at + 2 : end])
        if data[at + 2] in ids:
            raise _bad_configuration()
        ids.add(data[at + 2])
        if known is not None:
            found.append(known)
        at = end
    return tuple(found)


class _Sealing:
    """Frames what is sealed: chunks, of which only the last may be empty; or the one message."""

    def __init__(self, sequence: Sequence, *, chunked: bool) -> None:
        self._sequence, self._chunked, self._ended = sequence, chunked, False
        self._more = chunked  # chunks may follow

    def seal(self, chunk: bytes, *, final: bool = False) -> bytes:
        """The next piece; `header` goes before the first. Without chunks there is one, the final one.

        Nothing for no bytes, unless they are the final ones. Raises InvalidInput `too_many_messages`.
        """
        if final or not chunk or not self._more:
            return self._end(chunk) if final else self._nothing(chunk)
        sealed = self._sequence.seal(chunk)
        if 0x40 <= (size := len(sealed)) < 0x4000:  # most lengths have two bytes: no call for them
            return (size | 0x4000).to_bytes(2) + sealed
        return varint.encode(size) + sealed

    def _end(self, chunk: bytes) -> bytes:
        assert not self._ended, "nothing follows the final chunk"
        self._ended, self._more = True, False
        return b"\0" + self._sequence.seal(chunk, FINAL) if self._chunked else self._sequence.seal(chunk)

    def _nothing(self, chunk: bytes) -> bytes:
        assert self._chunked, "there is one message"
        assert not self._ended, "nothing follows the final chunk"
        return chunk


class _Opening:
    """Opens what comes in any pieces: a header, then chunks, or one message to the end.

    How many chunks are given out does not depend on how the bytes were split: those that stand before one
    that does not open are still given out, and the next call raises. So `end` must always be asked.
    """

    def __init__(self, *, chunked: bool, most: int) -> None:
        self._most = most + TAG
        self._last = not chunked
        self._final = FINAL if chunked else None
        self._held, self._wanted = bytearray(), 0
        self._sequence: Sequence | None = None
        self._between: Sequence | None = None  # the sequence, where the next byte begins a chunk
        self._whole = min(0x4002, self._most + 3)
        self._failure: VerificationFailed | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that are complete now. Raises VerificationFailed."""
        between, size = self._between, len(data)
        if between is not None and 0x42 <= size < self._whole and (data[0] << 8 | data[1]) == size + 0x3FFE:
            # One whole chunk, as streams bring them, with a length of two bytes: nothing to look for in it.
            try:
                return [between.open(data[2:])]
            except VerificationFailed as error:
                self._between, self._failure = None, self._tampered()
                raise self._failure from error
        if self._failure is not None:
            raise self._failure
        self._between = None
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data, self._held = bytes(self._held), bytearray()
        found: list[bytes] = []
        try:
            rest = self._open(data, found)
        except VerificationFailed as error:
            self._failure = error
            if not found:
                raise
            return found
        if rest:
            self._held += rest
        elif not self._last:
            self._between = self._sequence
        return found

    def end(self) -> list[bytes]:
        """The last chunk, now that nothing more comes. Raises VerificationFailed unless all came."""
        if self._failure is None:
            self._failure = self._tampered()
            sequence, sealed = self._sequence, bytes(self._held)
            if sequence is None or not self._last or len(sealed) < TAG:
                self._failure = self._truncated()
            else:
                try:
                    chunk = sequence.open(sealed, self._final)
                except VerificationFailed as error:
                    raise self._failure from error
                return [chunk] if chunk else []
        raise self._failure

    def _open(self, data: bytes, found: list[bytes]) -> bytes:
        """Open what is whole; the rest, which is looked at again once there are `_wanted` bytes of it: no
        byte is copied more than a few times, however slowly they come.
        """
        at, size = 0, len(data)
        sequence = self._sequence
        if sequence is None:
            at = self._begin(data)
            sequence = self._sequence
            if sequence is None:
                self._wanted = at
                return data
        while at < size and not self._last:
            if 0x40 <= data[at] < 0x80 and at + 1 < size:  # most lengths have two bytes: no call for them
                length, start = (data[at] & 0x3F) << 8 | data[at + 1], at + 2
            elif read := varint.decode(data, at):
                length, start = read
            else:
                self._wanted = size - at + 1
                return data[at:]
            end = start + length
            if not length:
                self._last, at = True, start
            elif not TAG < length <= self._most:
                raise self._tampered()
            elif end > size:
                self._wanted = end - at
                return data[at:]
            else:
                try:
                    found.append(sequence.open(data[start:end]))
                except VerificationFailed as error:
                    raise self._tampered() from error
                if end == size:
                    return b""
                at = end
        if size - at > self._most:
            raise self._tampered()
        self._wanted = self._most + 1
        return data[at:]

    def _begin(self, data: bytes) -> int:
        """Read the header and set the sequence; the size of the header, or of what must be there first."""
        raise NotImplementedError

    def _tampered(self) -> VerificationFailed:
        raise NotImplementedError

    def _truncated(self) -> VerificationFailed:
        raise NotImplementedError


class ClientRequest(_Sealing):
    """One request that is sealed to a key configuration; what it sends and how its response is opened."""

    def __init__(
        self,
        configuration: KeyConfiguration,
        aead: int = hpke.AEAD_AES128,
        *,
        chunked: bool = True,
        ephemeral: bytes = b"",
    ) -> None:
        """`ephemeral` fixes the X25519 key, for vectors alone. Raises InvalidInput `unknown_suite`,
        `bad_hpke_key`.
        """
        if (KDF_SHA256, aead) not in configuration.symmetric:
            raise hpke.unknown_suite()
        header = bytes((configuration.key_id,)) + _u16(configuration.kem) + _u16(KDF_SHA256) + _u16(aead)
        info = _info(chunked, header)
        self.enc, self._context = hpke.setup_sender(
            configuration.kem, configuration.public_key, aead, info, ephemeral=ephemeral
        )
        self.header = header + self.enc
        self._aead = aead
        super().__init__(self._context, chunked=chunked)

    def response(self, *, most: int = 0) -> ResponseReader:
        """What opens the response. Its longest chunk has `most` bytes: else RESPONSE_CHUNK, or MAX_CHUNK
        where there are no chunks.
        """
        most = most or (RESPONSE_CHUNK if self._chunked else MAX_CHUNK)
        return ResponseReader(self._context, self.enc, self._aead, chunked=self._chunked, most=most)


class ResponseReader(_Opening):
    """Opens a response as it comes. Raises VerificationFailed `sealed_tampered`, at its end
    `sealed_truncated` as well.
    """

    def __init__(self, context: Context, enc: bytes, aead: int, *, chunked: bool, most: int) -> None:
        super().__init__(chunked=chunked, most=most)
        self._secrets = (context, enc, aead, chunked)

    def _begin(self, data: bytes) -> int:
        context, enc, aead, chunked = self._secrets
        size = max(NONCE, AEADS[aead].key)
        if len(data) >= size:
            self._sequence = _response_sequence(context, enc, data[:size], aead, chunked=chunked)
        return size

    def _tampered(self) -> VerificationFailed:
        return _tampered()

    def _truncated(self) -> VerificationFailed:
        return _truncated()


class ServerRequest(_Opening):
    """Opens one request as it comes, with the keys that are in force.

    `keys` maps key ids to private keys. Every failure is VerificationFailed `sealed_unreadable`, but that of
    a key id which is not in `keys`: it is `key_configuration_stale`, and stands in clear anyway.
    """

    def __init__(
        self, keys: Mapping[int, PrivateKey], *, chunked: bool = True, most: int = MAX_CHUNK
    ) -> None:
        super().__init__(chunked=chunked, most=most)
        self._keys, self._chunked = keys, chunked
        self._context: Context | None = None
        self.key_id = self.kem = self.aead = 0
        self.enc = b""

    @property
    def begun(self) -> bool:
        """Whether the key is known: `enc`, `kem`, `aead`, `key_id` are then there."""
        return self._context is not None

    def response(self, random: Random = os.urandom) -> ResponseWriter:
        """What seals the response; the request must have begun."""
        assert self._context is not None, "the header was read"
        return ResponseWriter(self._context, self.enc, self.aead, chunked=self._chunked, random=random)

    def _begin(self, data: bytes) -> int:
        if len(data) < HEADER:
            return HEADER
        self.key_id = data[0]
        self.kem, kdf, self.aead = (int.from_bytes(data[at : at + 2], "big") for at in (1, 3, 5))
        key = self._keys.get(self.key_id)
        if key is None:
            raise stale()
        if key.kem.id != self.kem or kdf != KDF_SHA256 or self.aead not in AEADS:
            raise unreadable()
        end = HEADER + key.kem.encapsulated
        if len(data) < end:
            return end
        self.enc = data[HEADER:end]
        try:
            self._context = hpke.setup_receiver(key, self.enc, self.aead, _info(self._chunked, data[:HEADER]))
        except VerificationFailed as error:
            raise unreadable() from error
        self._sequence = self._context
        return end

    def _tampered(self) -> VerificationFailed:
        return unreadable()

    def _truncated(self) -> VerificationFailed:
        return unreadable()


class ResponseWriter(_Sealing):
    """Seals a response as it is made."""

    def __init__(self, context: Context, enc: bytes, aead: int, *, chunked: bool, random: Random) -> None:
        self.header = random(max(NONCE, AEADS[aead].key))
        sequence = _response_sequence(context, enc, self.header, aead, chunked=chunked)
        super().__init__(sequence, chunked=chunked)


def _response_sequence(context: Context, enc: bytes, nonce: bytes, aead: int, *, chunked: bool) -> Sequence:
    """How the messages of a response are sealed and opened, one after the other (RFC 9458, section 4.4)."""
    size = AEADS[aead].key
    label = CHUNKED_RESPONSE_LABEL if chunked else RESPONSE_LABEL
    secret = hpke.hkdf_extract(enc + nonce, context.export(label, max(NONCE, size)))
    key, base = hpke.hkdf_expand(secret, b"key", size), hpke.hkdf_expand(secret, b"nonce", NONCE)
    return Sequence(AEADS[aead], key, base)


def unreadable() -> VerificationFailed:
    """A request that does not open. Whoever tries learns nothing of why."""
    return VerificationFailed("sealed_unreadable", "The sealed request cannot be read.")


def stale() -> VerificationFailed:
    """A request to a key that is not in force any more, or never was."""
    return VerificationFailed(
        "key_configuration_stale",
        "The request is sealed to a key that is not in force here.",
        "Get the node's present key configuration, check it, and seal anew.",
    )


def _truncated() -> VerificationFailed:
    return VerificationFailed(
        "sealed_truncated",
        "The sealed answer was cut off before its end: what came of it is no complete answer.",
        "Ask again; somebody on the way, or the node, ended it early.",
    )


def _tampered() -> VerificationFailed:
    return VerificationFailed(
        "sealed_tampered",
        "A piece of the sealed answer does not open: it was changed, moved, repeated or made for another "
        "request.",
        "Ask again by another relay or node.",
    )


def _info(chunked: bool, header: bytes) -> bytes:
    return (CHUNKED_REQUEST_LABEL if chunked else REQUEST_LABEL) + b"\0" + header


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _bad_configuration() -> InvalidInput:
    return InvalidInput("bad_key_configuration", "A key configuration cannot be read.")
