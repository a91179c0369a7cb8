"""C2SP tlog-proof: one text that shows offline that a leaf is in a log and that a quorum saw it.

    c2sp.org/tlog-proof@v1 [extra <base64>] index <decimal>
    <base64 hash> ...            the inclusion proof, from the leaf's sibling up
    <empty line> <the checkpoint, a signed note>

Source: c2sp.org/tlog-proof.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Self

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.merkle import MAX_PROOF, leaf_hash, verify_inclusion
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, VerifiedCheckpoint, verify_quorum
from hallmark.ledger.text import b64, decimal, unb64, unb64_hash

MAGIC = "c2sp.org/tlog-proof@v1"
_SEAL = object()


class Proof(msgspec.Struct, frozen=True):
    """A parsed proof: leaf index, audit path of 32-byte hashes, the checkpoint's note. Unverified.

    `extra` is authenticated by nothing and Hallmark never reads it.
    """

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes = b""

    def encode(self) -> bytes:
        """The proof's text, UTF-8."""
        lines = [MAGIC, f"extra {b64(self.extra)}"] if self.extra else [MAGIC]
        lines += (f"index {self.index}", *map(b64, self.path), "", "")
        return "\n".join(lines).encode() + self.note.encode()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a proof's text. Raises InvalidInput `bad_proof`, TooLarge `note_too_large`."""
        head, separator, note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
            magic, index = lines.pop(0), lines.pop(0)
            extra = b""
            if index.startswith("extra "):
                extra, index = unb64(index.removeprefix("extra ")), lines.pop(0)
            if magic != MAGIC or not separator or not index.startswith("index ") or len(lines) > MAX_PROOF:
                raise InvalidInput("bad_proof", "The text is not a tlog-proof.")
            path = tuple(unb64_hash(line) for line in lines)
            proof = cls(decimal(index.removeprefix("index ")), path, Note.parse(note), extra)
            Checkpoint.parse(proof.note.text)
            return proof
        except (InvalidInput, UnicodeDecodeError, IndexError) as error:
            raise InvalidInput("bad_proof", "The text is not a tlog-proof.") from error


class VerifiedProof(msgspec.Struct, frozen=True):
    """A leaf's place in a checkpoint that a quorum cosigned. Only `verify_proof` makes one.

    `signers`, `times` (unix ms) and `unknown` as in `VerifiedCheckpoint`.
    """

    index: int
    leaf_hash: bytes
    checkpoint: Checkpoint
    signers: tuple[str, ...]
    times: tuple[int, ...]
    unknown: int
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("VerifiedProof is made by verify_proof alone.")


class ProofVerifier:
    """Verifies proofs under one policy. A checkpoint that several proofs share is verified once."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._quorum = functools.lru_cache(maxsize=64)(self._verified)

    def verify(self, leaf: bytes, text: bytes) -> VerifiedProof:
        """As `verify_proof`."""
        return _verified_proof(leaf, text, lambda note: self._quorum(note.encode()))

    def _verified(self, note: bytes) -> VerifiedCheckpoint:
        return verify_quorum(self.policy, Note.parse(note))


def verify_proof(policy: Policy, leaf: bytes, text: bytes) -> VerifiedProof:
    """Check that `leaf` (its bytes) is in a log of `policy` and that the policy's quorum witnessed it.

    1. The text is a tlog-proof.
    2. Its checkpoint passes `verify_quorum`.
    3. Its path leads from the leaf at its index to the checkpoint's root.

    Raises InvalidInput `bad_proof`, and what `verify_quorum` and `verify_inclusion` raise.
    """
    return _verified_proof(leaf, text, lambda note: verify_quorum(policy, note))


def _verified_proof(leaf: bytes, text: bytes, quorum: Callable[[Note], VerifiedCheckpoint]) -> VerifiedProof:
    proof = Proof.parse(text)
    verified = quorum(proof.note)
    checkpoint, digest = verified.checkpoint, leaf_hash(leaf)
    verify_inclusion(digest, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return VerifiedProof(
        proof.index, digest, checkpoint, verified.signers, verified.times, verified.unknown, _SEAL
    )
