"""C2SP checkpoints: what a log says about itself, as the text of a signed note.

    <origin> LF <size> LF <base64 of the 32-byte root> LF [<extension line> LF ...]

Extension lines are read, because others' logs may have them, and refused by everything that verifies: nobody
audits what they say. Source: c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

from typing import Self

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.ledger.note import Note, SigningKey, VerifierKey, verify_signature
from hallmark.ledger.text import b64, decimal, unb64_hash

_SEAL = object()


class Checkpoint(msgspec.Struct, frozen=True):
    """A tree head: the log's origin, its size in leaves, and its 32-byte root. Unverified."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The note text."""
        lines = (self.origin, str(self.size), b64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read a note text. Raises InvalidInput `bad_checkpoint`."""
        try:
            lines = text.decode().split("\n")
            if len(lines) < 4 or lines.pop() or "" in lines:
                raise InvalidInput("bad_checkpoint", "A checkpoint has three lines or more, none empty.")
            return cls(lines[0], decimal(lines[1]), unb64_hash(lines[2]), tuple(lines[3:]))
        except (InvalidInput, UnicodeDecodeError) as error:
            raise InvalidInput("bad_checkpoint", "The text is not a checkpoint.") from error


class LogSigned(msgspec.Struct, frozen=True):
    """A checkpoint that carries its log's signature. Only `verify_log_signature` makes one.

    It is the log's word alone: no witness has seen it yet.
    """

    checkpoint: Checkpoint
    note: Note
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("LogSigned is made by verify_log_signature alone.")


def sign(checkpoint: Checkpoint, key: SigningKey) -> Note:
    """A note of the checkpoint, signed by its log; the key's name must be the origin.

    Raises InvalidInput `wrong_origin`.
    """
    if key.verifier.name != checkpoint.origin:
        raise InvalidInput("wrong_origin", "A log signs checkpoints of its own origin only.")
    text = checkpoint.encode()
    return Note(text, (key.sign(text),))


def origin_of(note: Note) -> str:
    """The origin line of a note. Raises InvalidInput `bad_checkpoint`."""
    return Checkpoint.parse(note.text).origin


def verify_log_signature(note: Note, keys: tuple[VerifierKey, ...]) -> LogSigned:
    """Check that one of a log's own keys signed this checkpoint.

    1. The text is a checkpoint without extension lines.
    2. A key of `keys` is named as the origin and has a line in the note.
    3. Every line by such a key verifies.

    Raises InvalidInput `bad_checkpoint`, VerificationFailed `checkpoint_extension`, `log_signature_missing`,
    `note_signature`.
    """
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.extensions:
        raise VerificationFailed("checkpoint_extension", "The checkpoint has extension lines.")
    signed = False
    for key in keys:
        if key.name == checkpoint.origin:
            for signature in note.by(key):
                verify_signature(key, note.text, signature)
                signed = True
    if not signed:
        raise VerificationFailed("log_signature_missing", f"No known key of {checkpoint.origin} signed this.")
    return LogSigned(checkpoint, note, _SEAL)
