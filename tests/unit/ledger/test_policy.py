"""Policies: the grammar, its refusals, and quorums by distinct keys."""

from __future__ import annotations

import itertools

import pytest

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.ledger.note import COSIGNATURE, Note, NoteSignature, SigningKey
from hallmark.ledger.policy import Policy, VerifiedCheckpoint, verify_quorum
from hallmark.testing.lying_log import LyingLog, policy_of, policy_text, witness_key

LOG = LyingLog([b"leaf"])
W = [witness_key(f"w{n}").vkey for n in range(6)]
NOW = 1_700_000_000_000


def cosigned(*names: str, log: LyingLog = LOG) -> Note:
    """The log's checkpoint, cosigned by witnesses of these names."""
    note = log.checkpoint()
    return Note(note.text, (*note.signatures, *(witness_key(name).cosign(note.text, NOW) for name in names)))


def test_every_set_of_signers() -> None:
    """Three of four by distinct keys is the quorum, whichever three, and nothing less is."""
    policy = policy_of(LOG)
    names = ["w0", "w1", "w2", "w3"]
    for count in range(5):
        for signers in itertools.combinations(names, count):
            if count < 3:
                with pytest.raises(VerificationFailed) as caught:
                    verify_quorum(policy, cosigned(*signers))
                assert caught.value.reason == "quorum_not_met"
            else:
                verified = verify_quorum(policy, cosigned(*reversed(signers)))
                assert (verified.signers, verified.times) == (signers, (NOW,) * count)
                assert verified.checkpoint.size == 1


def test_one_key_counts_once() -> None:
    """Many lines by one witness are one signer."""
    with pytest.raises(VerificationFailed):
        verify_quorum(policy_of(LOG), cosigned("w0", "w0", "w0", "w1"))
    with pytest.raises(InvalidInput):
        Policy.parse(f"witness a {W[0]}\nwitness b {W[0]}\ngroup g 2 a b\nquorum g\n")
    renamed = SigningKey("another/name", COSIGNATURE, bytes(32))
    again = SigningKey("w9", COSIGNATURE, bytes(32))
    with pytest.raises(InvalidInput):
        Policy.parse(f"witness a {renamed.vkey}\nwitness b {again.vkey}\nquorum a\n")


def test_unknown_lines_are_ignored_and_bad_known_lines_are_not() -> None:
    """A stranger's line changes nothing; a known witness's bad line spoils the note."""
    policy = policy_of(LOG)
    good = cosigned("w0", "w1", "w2", "stranger")
    assert verify_quorum(policy, good).signers == ("w0", "w1", "w2")
    line = witness_key("w3").cosign(b"something else\n", NOW)
    with pytest.raises(VerificationFailed) as caught:
        verify_quorum(policy, Note(good.text, (*good.signatures, line)))
    assert caught.value.reason == "note_signature"
    bad = NoteSignature("w3", line.key_id, b"short")
    with pytest.raises(VerificationFailed):
        verify_quorum(policy, Note(good.text, (*good.signatures, bad)))


def test_another_log_is_not_ours() -> None:
    """Witnesses cannot make up for a missing signature by the policy's log."""
    other = LyingLog([b"leaf"], origin="other.test/log")
    with pytest.raises(VerificationFailed) as caught:
        verify_quorum(policy_of(LOG), cosigned("w0", "w1", "w2", log=other))
    assert caught.value.reason == "log_signature_missing"


def test_nested_groups() -> None:
    """Two of three of one operator and any of another, as in the specification's example."""
    text = f"""
# comment
log {LOG.key.vkey} http://127.0.0.1:1/
\twitness X1 {W[0]}
witness X2 {W[1]}   https://x2.test
witness X3 {W[2]}
  group X-witnesses 2 X1 X2 X3
witness Y1 {W[3]}
witness Y2 {W[4]}
group Y-witnesses any Y1 Y2

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
    policy = Policy.parse(text)
    assert policy.witnesses[1].url == "https://x2.test"
    assert policy.is_met({"X1", "X3", "Y2"})
    assert not policy.is_met({"X1", "Y1", "Y2"})
    assert not policy.is_met({"X1", "X2", "X3"})
    assert not policy.is_met({"X-witnesses", "Y-witnesses", "X-and-Y"})
    verify_quorum(policy, cosigned("w0", "w1", "w3"))


def test_quorum_none_and_single() -> None:
    """`none` asks for no witness, a witness's own name for that one."""
    assert verify_quorum(Policy.parse(f"log {LOG.key.vkey}\nquorum none\n"), cosigned()).signers == ()
    single = Policy.parse(f"log {LOG.key.vkey}\nwitness a {W[0]}\nwitness b {W[1]}\nquorum a\n")
    verify_quorum(single, cosigned("w0"))
    with pytest.raises(VerificationFailed):
        verify_quorum(single, cosigned("w1"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\nquorum none",
        "quorum",
        "quorum none none",
        "quorum none\nquorum none",
        "quorum a",
        f"quorum a\nwitness a {W[0]}",
        f"witness a {W[0]}\n",
        f"witness none {W[0]}\nquorum none",
        f"witness a {W[0]}\nwitness a {W[1]}\nquorum a",
        f"witness a {W[0]} url more\nquorum a",
        f"witness a {LOG.key.vkey}\nquorum a",
        f"log {W[0]}\nquorum none",
        f"log {LOG.key.vkey}\nlog {LOG.key.vkey}\nquorum none",
        f"witness a {W[0]}\ngroup g 0 a\nquorum g",
        f"witness a {W[0]}\ngroup g 2 a\nquorum g",
        f"witness a {W[0]}\ngroup g 01 a\nquorum g",
        f"witness a {W[0]}\ngroup g some a\nquorum g",
        f"witness a {W[0]}\ngroup g any\nquorum g",
        f"witness a {W[0]}\ngroup g any a a\nquorum g",
        f"witness a {W[0]}\ngroup g any a\ngroup h any a\nquorum h",
        f"witness a {W[0]}\ngroup a any a\nquorum a",
        f"witness a {W[0]}\ngroup g any a none\nquorum g",
        f"group g any a\nwitness a {W[0]}\nquorum g",
        "unknown line\nquorum none",
        "quorum none\r\n",
        "quorum none\x7f",
        "log bad+vkey\nquorum none",
    ],
)
def test_bad_policies(text: str) -> None:
    """Whatever the grammar does not allow is refused."""
    with pytest.raises(InvalidInput) as caught:
        Policy.parse(text)
    assert caught.value.reason == "bad_policy"


def test_large_policies() -> None:
    """Thirty-two witnesses in thirty-two groups are no trouble."""
    lines = [f"witness a{n} {witness_key(f'a{n}').vkey}\ngroup g{n} all a{n}" for n in range(32)]
    policy = Policy.parse(
        "\n".join((*lines, f"group all 22 {' '.join(f'g{n}' for n in range(32))}", "quorum all"))
    )
    assert policy.is_met({f"a{n}" for n in range(22)})
    assert not policy.is_met({f"a{n}" for n in range(21)})


def test_only_the_verifier_makes_the_verified_type() -> None:
    """Nobody can claim a quorum by hand."""
    verified = verify_quorum(policy_of(LOG), cosigned("w0", "w1", "w2"))
    with pytest.raises(TypeError):
        VerifiedCheckpoint(verified.checkpoint, verified.signers, verified.times, verified.note)
    assert policy_text(LOG, 4, 3).endswith("quorum full-nodes\n")
