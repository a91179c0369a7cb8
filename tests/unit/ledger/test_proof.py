"""tlog-proof: made, read, verified, and refused when anything in it is changed."""

from __future__ import annotations

import random

import pytest

from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.ledger.note import Note
from hallmark.ledger.proof import Proof, VerifiedProof, verify_proof
from hallmark.testing.lying_log import LyingLog, policy_of, witness_key

LEAVES = [f"leaf {n}".encode() for n in range(700)]
LOG = LyingLog(LEAVES)
POLICY = policy_of(LOG)
NOW = 1_700_000_000_000


def cosigned(log: LyingLog = LOG, size: int | None = None) -> Note:
    """A checkpoint with three cosignatures."""
    note = log.checkpoint(size)
    return Note(
        note.text, (*note.signatures, *(witness_key(w).cosign(note.text, NOW) for w in ("w0", "w1", "w3")))
    )


def test_every_leaf_can_be_proved() -> None:
    """Proofs at several sizes verify, and say where, when and by whom."""
    for size in (1, 2, 255, 256, 257, 700):
        note = cosigned(size=size)
        for index in {0, size // 2, size - 1}:
            text = LOG.proof(index, note)
            assert Proof.parse(text).encode() == text
            verified = verify_proof(POLICY, LEAVES[index], text)
            assert (verified.index, verified.checkpoint.size) == (index, size)
            assert (verified.signers, verified.times) == (("w0", "w1", "w3"), (NOW,) * 3)


def test_any_changed_byte_is_noticed() -> None:
    """No single changed byte leaves the proof valid, and none crashes the reader."""
    text = LOG.proof(600, cosigned())
    rng = random.Random(3)
    for _ in range(400):
        at = rng.randrange(len(text))
        damaged = text[:at] + bytes((text[at] ^ (1 << rng.randrange(8)),)) + text[at + 1 :]
        with pytest.raises(HallmarkError):
            verify_proof(POLICY, LEAVES[600], damaged)
    with pytest.raises(VerificationFailed):
        verify_proof(POLICY, LEAVES[599], text)


def test_extra_data_is_carried_and_not_trusted() -> None:
    """An extra line is read back and has no influence."""
    proof = Proof.parse(LOG.proof(3, cosigned()))
    text = Proof(proof.index, proof.path, proof.note, b"anything").encode()
    assert text.split(b"\n")[1] == b"extra YW55dGhpbmc="
    assert Proof.parse(text).extra == b"anything"
    verify_proof(POLICY, LEAVES[3], text)


@pytest.mark.parametrize(
    "change",
    [
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v2\n"),
        (b"index 3\n", b"index 03\n"),
        (b"index 3\n", b"Index 3\n"),
        (b"index 3\n", b""),
        (b"index 3\n", b"index 3\nAAAA\n"),
        (b"index 3\n", b"index 3\n\n"),
        (b"index 3\n", b"extra !\nindex 3\n"),
        (b"index 3\n", b"index 3\n" + b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n" * 65),
    ],
)
def test_bad_proofs(change: tuple[bytes, bytes]) -> None:
    """Texts that are not proofs are refused as such."""
    with pytest.raises(InvalidInput) as caught:
        Proof.parse(LOG.proof(3, cosigned()).replace(*change, 1))
    assert caught.value.reason == "bad_proof"


def test_only_the_verifier_makes_the_verified_type() -> None:
    """Nobody can claim inclusion by hand."""
    v = verify_proof(POLICY, LEAVES[3], LOG.proof(3, cosigned()))
    with pytest.raises(TypeError):
        VerifiedProof(v.index, v.leaf_hash, v.checkpoint, v.signers, v.times)
