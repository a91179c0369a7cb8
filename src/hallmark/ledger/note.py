"""C2SP signed notes, verifier keys, Ed25519 note signatures and cosignature/v1.

    note      = text (ends in newline) || newline || signature lines
    line      = U+2014 SP key name SP base64(u32 key id || signature) newline
    key id    = SHA-256(name || 0x0A || type || 32-byte Ed25519 public key)[:4]
    vkey      = name "+" 8 hex digits of the key id "+" base64(type || public key)
    type 0x01   signature = Ed25519 over the text; 64 bytes
    type 0x04   signature = u64be time || Ed25519 over the lines "cosignature/v1", "time <t>" and the text; 72

Times inside notes are POSIX seconds, as C2SP says; everything else in Hallmark is in milliseconds.
Sources: c2sp.org/signed-note, c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import functools
import re
from typing import Self

import msgspec

from hallmark.core.errors import InvalidInput, TooLarge, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.ed25519 import PrivateKey, is_public_key, verify
from hallmark.ledger.text import b64, unb64

ED25519 = 0x01
COSIGNATURE = 0x04
DASH = "\u2014 "
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
MAX_NOTE = 65_536
MAX_SIGNATURES = 128
MAX_SECONDS = ((1 << 63) - 1) // 1000


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key under a name: `kind` is ED25519 (a log's) or COSIGNATURE (a witness's); 32-byte key."""

    name: str
    kind: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """The 4-byte key id."""
        return _key_id(self.name, self.kind, self.public_key)

    @property
    def vkey(self) -> str:
        """The C2SP vkey text."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes((self.kind,)) + self.public_key)}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a vkey text. Raises InvalidInput `bad_vkey`, also for a key that is no canonical encoding
        of a point, or one of small order.
        """
        name, _, rest = vkey.partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            check_name(name)
            data = unb64(encoded)
            if data[0] not in (ED25519, COSIGNATURE) or len(data) != 33:
                raise InvalidInput("bad_vkey", "Only Ed25519 keys (types 0x01 and 0x04) are known here.")
            key = cls(name, data[0], data[1:])
        except (InvalidInput, IndexError) as error:
            raise InvalidInput("bad_vkey", "This is not a vkey of a type known here.") from error
        if key.key_id.hex() != key_id:
            raise InvalidInput("bad_vkey", "The vkey's id does not belong to its name and key.")
        if not is_public_key(key.public_key):
            raise InvalidInput("bad_vkey", "The vkey's 32 bytes are no Ed25519 key that can be relied on.")
        return key


class NoteSignature(msgspec.Struct, frozen=True):
    """One signature line: key name, 4-byte key id, and the signature's bytes."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> bytes:
        """The line with its newline, UTF-8."""
        return f"{DASH}{self.name} {b64(self.key_id + self.data)}\n".encode()

    @property
    def time(self) -> int:
        """Unix milliseconds of a cosignature/v1 (it counts whole seconds)."""
        return int.from_bytes(self.data[:8], "big") * 1000


class Note(msgspec.Struct, frozen=True):
    """Text with its signature lines. Nothing in it is verified."""

    text: bytes
    signatures: tuple[NoteSignature, ...] = ()

    def encode(self) -> bytes:
        """The note's bytes."""
        return self.text + b"\n" + b"".join(signature.line() for signature in self.signatures)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a note. Raises InvalidInput `bad_note`, TooLarge `note_too_large`."""
        if len(data) > MAX_NOTE:
            raise TooLarge("note_too_large", f"A note has at most {MAX_NOTE} bytes.")
        text, separator, lines = data.rpartition(b"\n\n")
        if not separator or CONTROL.search(data):
            raise InvalidInput("bad_note", "A note is text, an empty line, and signature lines.")
        _decode(text)
        return cls(text + b"\n", parse_signatures(lines))

    def by(self, key: VerifierKey) -> tuple[NoteSignature, ...]:
        """The lines that carry the name and id of `key`."""
        wanted = (key.name, key.key_id)
        return tuple(s for s in self.signatures if (s.name, s.key_id) == wanted)


class SigningKey:
    """An Ed25519 key that signs notes under a name, as a log (ED25519) or as a witness (COSIGNATURE)."""

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        check_name(name)
        self._key = PrivateKey(seed)
        self.verifier = VerifierKey(name, kind, self._key.public)

    @property
    def vkey(self) -> str:
        """The C2SP vkey text of the public half."""
        return self.verifier.vkey

    def sign(self, text: bytes) -> NoteSignature:
        """Note signature of type 0x01 over a text."""
        return NoteSignature(self.verifier.name, self._id(ED25519), self._key.sign(text))

    def cosign(self, text: bytes, now: int) -> NoteSignature:
        """cosignature/v1 over a checkpoint's text at `now` (unix ms)."""
        seconds = now // 1000
        signature = self._key.sign(_cosigned(text, seconds))
        return NoteSignature(
            self.verifier.name, self._id(COSIGNATURE), seconds.to_bytes(8, "big") + signature
        )

    def _id(self, kind: int) -> bytes:
        if kind != self.verifier.kind:
            raise InvalidInput("wrong_key_type", "This key makes signatures of another type.")
        return self.verifier.key_id


def parse_signatures(lines: bytes) -> tuple[NoteSignature, ...]:
    """Read signature lines, each ended by a newline. Raises InvalidInput `bad_note`."""
    if not lines.endswith(b"\n"):
        raise InvalidInput("bad_note", "A note ends in at least one signature line.")
    texts = _decode(lines[:-1]).split("\n")
    if len(texts) > MAX_SIGNATURES:
        raise InvalidInput("bad_note", f"A note has at most {MAX_SIGNATURES} signatures.")
    return tuple(_signature(text) for text in texts)


def verify_signature(key: VerifierKey, text: bytes, signature: NoteSignature) -> None:
    """Check one line by the rules of the key's type. Raises VerificationFailed `note_signature`."""
    if (signature.name, signature.key_id) != (key.name, key.key_id):
        raise VerificationFailed("note_signature", f"The signature line is not by {key.name}.")
    message, raw = text, signature.data
    if key.kind == COSIGNATURE:
        seconds, raw = int.from_bytes(raw[:8], "big"), raw[8:]
        # In milliseconds it is stored and shown, where 63 bits are what there is.
        if not 0 < seconds <= MAX_SECONDS:
            raise VerificationFailed("note_signature", f"The cosignature by {key.name} has no usable time.")
        message = _cosigned(text, seconds)
    try:
        verify(key.public_key, message, raw)
    except VerificationFailed as error:
        raise VerificationFailed("note_signature", f"A signature by {key.name} does not verify.") from error


def check_name(name: str) -> None:
    """Check a key name. Raises InvalidInput `bad_key_name`."""
    if not name or "+" in name or any(c.isspace() or c < " " for c in name):
        raise InvalidInput("bad_key_name", "A key name is not empty and has neither spaces nor plus signs.")


def _cosigned(text: bytes, seconds: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % seconds + text


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    try:
        check_name(name)
        data = unb64(encoded)
    except InvalidInput as error:
        raise InvalidInput("bad_note", "A signature line is malformed.") from error
    if not line.startswith(DASH) or len(data) < 5:
        raise InvalidInput("bad_note", "A signature line is malformed.")
    return NoteSignature(name, data[:4], data[4:])


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("bad_note", "A note is UTF-8 text.") from error


@functools.lru_cache(maxsize=1024)
def _key_id(name: str, kind: int, public_key: bytes) -> bytes:
    return sha256(name.encode(), b"\n", bytes((kind,)), public_key)[:4]
