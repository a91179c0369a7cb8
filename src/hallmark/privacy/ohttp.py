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
from cryptography.exceptions import InvalidTag

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.crypto import hpke
from hallmark.crypto.hpke import AEADS, KDF_SHA256, KEMS, NONCE, TAG, Context, PrivateKey
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
"""A chunk that says to be longer than this is no chunk of ours; readers may allow less."""

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
    """The configurations whose KEM is known here. Raises InvalidInput `bad_key_configuration`."""
    found, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or end < at + 3:
            raise _bad_configuration()
        known = KeyConfiguration.decode(data[at + 2 : end])
        if known is not None:
            found.append(known)
        at = end
    return tuple(found)


class ClientRequest:
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
        self._aead, self._chunked = aead, chunked
        self._writer = _Writer(self._context.seal, chunked=chunked)

    def seal(self, chunk: bytes, *, final: bool = False) -> bytes:
        """The next piece of the request; `header` goes before the first. Without chunks there is one."""
        return self._writer.seal(chunk, final=final)

    def response(self, *, most: int = MAX_CHUNK) -> ResponseReader:
        """What opens the response."""
        return ResponseReader(self._context, self.enc, self._aead, chunked=self._chunked, most=most)


class ResponseReader:
    """Opens a response as it comes, in any pieces."""

    def __init__(
        self, context: Context, enc: bytes, aead: int, *, chunked: bool, most: int = MAX_CHUNK
    ) -> None:
        self._keys = (context, enc, aead, chunked)
        self._nonce_size = max(NONCE, AEADS[aead].key)
        self._start = bytearray()
        self._most = most
        self._reader: _Reader | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that are complete now. Raises VerificationFailed `sealed_tampered`."""
        if self._reader is None:
            self._start += data
            if len(self._start) < self._nonce_size:
                return []
            nonce, data = bytes(self._start[: self._nonce_size]), bytes(self._start[self._nonce_size :])
            context, enc, aead, chunked = self._keys
            _, open_ = _response_keys(context, enc, nonce, aead, chunked=chunked)
            self._reader = _Reader(open_, _tampered, chunked=chunked, most=self._most)
        return self._reader.feed(data)

    def end(self) -> list[bytes]:
        """The last chunk, now that nothing more comes. Raises VerificationFailed `sealed_truncated`,
        `sealed_tampered`.
        """
        if self._reader is None:
            raise _truncated()
        return self._reader.end()


class ServerRequest:
    """Opens one request as it comes, with the keys that are in force.

    `keys` maps key ids to private keys. Every failure is VerificationFailed `sealed_unreadable`, but that of
    a key id which is not in `keys`: it is `key_configuration_stale`, and stands in clear anyway.
    """

    def __init__(
        self, keys: Mapping[int, PrivateKey], *, chunked: bool = True, most: int = MAX_CHUNK
    ) -> None:
        self._keys, self._chunked, self._most = keys, chunked, most
        self._start = bytearray()
        self._reader: _Reader | None = None
        self._context: Context | None = None
        self.key_id = self.kem = self.aead = 0
        self.enc = b""

    @property
    def begun(self) -> bool:
        """Whether the key is known: `enc`, `kem`, `aead`, `key_id` are then there."""
        return self._reader is not None

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that are complete now."""
        if self._reader is None:
            self._start += data
            if not self._begin():
                return []
            data = bytes(self._start)
        assert self._reader is not None, "the header was read"
        return self._reader.feed(data)

    def end(self) -> list[bytes]:
        """The last chunk, now that nothing more comes."""
        if self._reader is None:
            raise unreadable()
        return self._reader.end()

    def response(self, random: Random = os.urandom) -> ResponseWriter:
        """What seals the response; `feed` must have returned, or `end`."""
        assert self._context is not None, "the header was read"
        return ResponseWriter(self._context, self.enc, self.aead, chunked=self._chunked, random=random)

    def _begin(self) -> bool:
        start = self._start
        if len(start) < HEADER:
            return False
        self.key_id = start[0]
        self.kem, kdf, self.aead = (int.from_bytes(start[at : at + 2], "big") for at in (1, 3, 5))
        key = self._keys.get(self.key_id)
        if key is None:
            raise stale()
        if key.kem.id != self.kem or kdf != KDF_SHA256 or self.aead not in AEADS:
            raise unreadable()
        end = HEADER + key.kem.encapsulated
        if len(start) < end:
            return False
        self.enc = bytes(start[HEADER:end])
        info = _info(self._chunked, bytes(start[:HEADER]))
        try:
            context = hpke.setup_receiver(key, self.enc, self.aead, info)
        except VerificationFailed as error:
            raise unreadable() from error
        self._context = context
        self._reader = _Reader(context.open, unreadable, chunked=self._chunked, most=self._most)
        del start[:end]
        return True


class ResponseWriter:
    """Seals a response as it is made."""

    def __init__(self, context: Context, enc: bytes, aead: int, *, chunked: bool, random: Random) -> None:
        nonce = random(max(NONCE, AEADS[aead].key))
        seal, _ = _response_keys(context, enc, nonce, aead, chunked=chunked)
        self.header = nonce
        self._writer = _Writer(seal, chunked=chunked)

    def seal(self, chunk: bytes, *, final: bool = False) -> bytes:
        """The next piece of the response; `header` goes before the first. Without chunks there is one."""
        return self._writer.seal(chunk, final=final)


_Seal = Callable[[bytes, bytes], bytes]
"""Seals (or opens) the next message, with its associated data."""


class _Writer:
    """Frames chunks. A chunk before the last is never empty."""

    def __init__(self, seal: _Seal, *, chunked: bool) -> None:
        self._seal, self._chunked, self._ended = seal, chunked, False

    def seal(self, chunk: bytes, *, final: bool) -> bytes:
        assert not self._ended, "nothing follows the final chunk"
        self._ended = final
        if not self._chunked:
            assert final, "there is one message"
            return self._seal(chunk, b"")
        if final:
            return b"\0" + self._seal(chunk, FINAL)
        if not chunk:
            return b""
        return varint.encode(len(chunk) + TAG) + self._seal(chunk, b"")


class _Reader:
    """Takes chunks apart, in whatever pieces they come."""

    def __init__(
        self, open_: _Seal, failure: Callable[[], VerificationFailed], *, chunked: bool, most: int
    ) -> None:
        self._open, self._failure, self._most = open_, failure, most
        self._chunked, self._last, self._ended = chunked, not chunked, False
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        if self._ended:
            raise self._failure()
        self._data += data
        found: list[bytes] = []
        while not self._last:
            read = varint.decode(self._data, 0)
            if read is None:
                break
            length, at = read
            if length == 0:
                self._last = True
                del self._data[:at]
                break
            if not TAG < length <= self._most + TAG:
                raise self._failed()
            if len(self._data) < at + length:
                break
            chunk = bytes(self._data[at : at + length])
            del self._data[: at + length]
            found.append(self._opened(chunk, b""))
        if len(self._data) > self._most + TAG + 8:
            raise self._failed()
        return found

    def end(self) -> list[bytes]:
        if self._ended:
            raise self._failure()
        if not self._last or len(self._data) < TAG:
            raise self._failed() if self._failure is unreadable else _truncated()
        self._ended = True
        chunk = self._opened(bytes(self._data), FINAL if self._chunked else b"")
        return [chunk] if chunk else []

    def _opened(self, chunk: bytes, aad: bytes) -> bytes:
        try:
            return self._open(chunk, aad)
        except VerificationFailed as error:
            raise self._failed() from error

    def _failed(self) -> VerificationFailed:
        self._ended = True
        return self._failure()


def _response_keys(
    context: Context, enc: bytes, nonce: bytes, aead: int, *, chunked: bool
) -> tuple[_Seal, _Seal]:
    """How the messages of a response are sealed and opened, one after the other (RFC 9458, section 4.4)."""
    size = AEADS[aead].key
    label = CHUNKED_RESPONSE_LABEL if chunked else RESPONSE_LABEL
    secret = hpke.hkdf_extract(enc + nonce, context.export(label, max(NONCE, size)))
    cipher = AEADS[aead].cipher(hpke.hkdf_expand(secret, b"key", size))
    base = int.from_bytes(hpke.hkdf_expand(secret, b"nonce", NONCE), "big")
    sealed = opened = 0

    def seal(message: bytes, aad: bytes) -> bytes:
        nonlocal sealed
        if sealed >= hpke.MOST_MESSAGES:
            raise InvalidInput("too_many_messages", "No more messages can be sealed under this key.")
        at, sealed = base ^ sealed, sealed + 1
        return cipher.encrypt(at.to_bytes(NONCE, "big"), message, aad)

    def open_(message: bytes, aad: bytes) -> bytes:
        nonlocal opened
        if opened >= hpke.MOST_MESSAGES:
            raise _tampered()
        at, opened = base ^ opened, opened + 1
        try:
            return cipher.decrypt(at.to_bytes(NONCE, "big"), message, aad)
        except (InvalidTag, ValueError) as error:
            raise _tampered() from error

    return seal, open_


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
