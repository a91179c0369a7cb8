"""Signed notes, keys and cosignatures, against published examples and damage."""

from __future__ import annotations

import pytest

from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge, VerificationFailed
from hallmark.ledger.checkpoint import Checkpoint, LogSigned, sign, verify_log_signature
from hallmark.ledger.note import (
    COSIGNATURE,
    ED25519,
    Note,
    NoteSignature,
    SigningKey,
    VerifierKey,
    verify_signature,
)
from hallmark.testing.lying_log import ORIGIN, LyingLog, witness_key

# The example of the Go package golang.org/x/mod/sumdb/note.
NEUMANN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgK"
    "vqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
# The example of c2sp.org/tlog-cosignature.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
    "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJs"
    "X3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()


def test_published_note_verifies() -> None:
    """A note and key that the Go implementation published verify here, byte for byte."""
    key, note = VerifierKey.parse(NEUMANN_KEY), Note.parse(NEUMANN_NOTE)
    assert (key.kind, key.vkey, note.encode()) == (ED25519, NEUMANN_KEY, NEUMANN_NOTE)
    verify_signature(key, note.text, note.signatures[0])
    with pytest.raises(VerificationFailed):
        verify_signature(key, note.text + b"\n", note.signatures[0])


def test_published_checkpoint_is_read() -> None:
    """The specification's cosigned checkpoint has the size, lines and time that the text says it has."""
    note = Note.parse(SOFA)
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert note.signatures[1].time == 1679315147_000
    assert note.encode() == SOFA
    assert checkpoint.encode() == note.text


@pytest.mark.parametrize("seconds", [0, (1 << 63) // 1000 + 1, (1 << 63) - 1, 1 << 63])
def test_a_time_that_nothing_can_hold_is_refused(seconds: int) -> None:
    """A cosignature of no time, or of one that has more than 63 bits in milliseconds, does not verify."""
    key, text = witness_key("w0"), LyingLog([b"a"]).checkpoint().text
    verify_signature(key.verifier, text, key.cosign(text, ((1 << 63) - 1) // 1000 * 1000))
    with pytest.raises(VerificationFailed):
        verify_signature(key.verifier, text, key.cosign(text, seconds * 1000))


def test_cosignature_binds_time_and_text() -> None:
    """A cosignature verifies for its own time and text only, and only as a cosignature."""
    key, text = witness_key("w0"), LyingLog([b"a"]).checkpoint().text
    line = key.cosign(text, 1_700_000_000_999)
    assert line.time == 1_700_000_000_000
    verify_signature(key.verifier, text, line)
    later = NoteSignature(line.name, line.key_id, (1_700_000_001).to_bytes(8, "big") + line.data[8:])
    as_log = VerifierKey(key.verifier.name, ED25519, key.verifier.public_key)
    untimed = NoteSignature(line.name, as_log.key_id, line.data[8:])
    zero = NoteSignature(line.name, line.key_id, bytes(8) + line.data[8:])
    short = NoteSignature(line.name, line.key_id, line.data[:-1])
    for verifier, signed, signature in (
        (key.verifier, text, later),
        (key.verifier, text + b"x\n", line),
        (as_log, text, untimed),
        (as_log, text, line),
        (key.verifier, text, zero),
        (key.verifier, text, short),
    ):
        with pytest.raises(VerificationFailed) as caught:
            verify_signature(verifier, signed, signature)
        assert caught.value.reason == "note_signature"


def test_keys_sign_what_their_type_allows() -> None:
    """A log key makes no cosignature, and a witness key no note signature."""
    log, witness = SigningKey("a/b", ED25519, bytes(32)), SigningKey("a/b", COSIGNATURE, bytes(32))
    assert VerifierKey.parse(log.vkey) == log.verifier
    assert log.verifier.key_id != witness.verifier.key_id
    for attempt in (lambda: log.cosign(b"x\n", 1), lambda: witness.sign(b"x\n")):
        with pytest.raises(InvalidInput):
            attempt()


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        NEUMANN_KEY[:-4],
        NEUMANN_KEY.replace("c74f20a3", "c74f20a4"),
        NEUMANN_KEY.replace("PeterNeumann", "Peter Neumann"),
        NEUMANN_KEY.replace("PeterNeumann", ""),
        NEUMANN_KEY.replace("PeterNeumann", "Peter"),
        NEUMANN_KEY.replace("+AR", "+BR"),
        "a+00000000+",
    ],
)
def test_bad_vkeys(vkey: str) -> None:
    """A key text that is damaged anywhere is refused."""
    with pytest.raises(InvalidInput) as caught:
        VerifierKey.parse(vkey)
    assert caught.value.reason == "bad_vkey"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        NEUMANN_NOTE[:-1],
        NEUMANN_NOTE.replace(b"\n\n", b"\n"),
        NEUMANN_NOTE.replace("\u2014".encode(), b"-"),
        NEUMANN_NOTE.replace(b"If", b"I\xff"),
        NEUMANN_NOTE.replace(b"If", b"I\t"),
        NEUMANN_NOTE.replace(b"PeterNeumann", b"Peter+Neumann"),
        NEUMANN_NOTE.replace(b"nAM=", b"nAN="),
        NEUMANN_NOTE.replace(b"nAM=", b"nAM"),
        NEUMANN_NOTE + "\u2014 x AAAA\n".encode(),
        NEUMANN_NOTE + b"\n",
    ],
)
def test_bad_notes(data: bytes) -> None:
    """A note that is malformed anywhere is refused."""
    with pytest.raises(InvalidInput) as caught:
        Note.parse(data)
    assert caught.value.reason == "bad_note"


def test_limits_of_notes() -> None:
    """A note over 64 KiB or over 128 signatures is refused."""
    line = NEUMANN_NOTE[NEUMANN_NOTE.index("\u2014".encode()) :]
    with pytest.raises(TooLarge):
        Note.parse(b"x" * 65_536 + NEUMANN_NOTE)
    with pytest.raises(InvalidInput):
        Note.parse(NEUMANN_NOTE + line * 128)
    assert len(Note.parse(NEUMANN_NOTE + line * 127).signatures) == 128


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a\n1\n",
        b"a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        b"a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        b"a\n9223372036854775808\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        b"a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n",
        b"a\n1\nAAAA\n",
        b"a\n1\n\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        b"a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        b"\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
    ],
)
def test_bad_checkpoints(text: bytes) -> None:
    """A checkpoint text that is malformed anywhere is refused."""
    with pytest.raises(InvalidInput) as caught:
        Checkpoint.parse(text)
    assert caught.value.reason == "bad_checkpoint"


def test_log_signature_is_required() -> None:
    """The log's own key must have signed, under its own origin, without extension lines."""
    log = LyingLog([b"a"])
    keys = (log.key.verifier,)
    assert verify_log_signature(log.checkpoint(), keys).checkpoint.size == 1
    other = LyingLog([b"a"], origin="other.test/log")
    extended = Checkpoint(ORIGIN, 1, log.tree.root(), ("extra",))
    broken = Note(log.checkpoint(1).text.replace(b"\n1\n", b"\n2\n"), log.checkpoint().signatures)
    wrong_name = Note(log.checkpoint().text, (other.key.sign(log.checkpoint().text),))
    for note, reason in (
        (other.checkpoint(), "log_signature_missing"),
        (wrong_name, "log_signature_missing"),
        (Note(log.checkpoint().text, (witness_key("w0").cosign(b"x", 1),)), "log_signature_missing"),
        (sign(extended, log.key), "checkpoint_extension"),
        (broken, "note_signature"),
    ):
        with pytest.raises(HallmarkError) as caught:
            verify_log_signature(note, keys)
        assert caught.value.reason == reason
    assert Checkpoint.parse(extended.encode()) == extended
    with pytest.raises(InvalidInput):
        sign(extended, other.key)


def test_only_the_verifier_makes_the_verified_type() -> None:
    """Nobody can claim by hand that a log signed something."""
    note = LyingLog([b"a"]).checkpoint()
    with pytest.raises(TypeError):
        LogSigned(Checkpoint.parse(note.text), note)
