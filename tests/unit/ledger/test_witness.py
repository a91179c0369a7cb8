"""The witness state machine against every answer of c2sp.org/tlog-witness, and against a lying log."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import ED25519, Note, SigningKey, parse_signatures, verify_signature
from hallmark.ledger.policy import verify_quorum
from hallmark.ledger.proof import verify_proof
from hallmark.ledger.witness import AddCheckpoint, State, Witness, http_reply
from hallmark.testing.lying_log import ORIGIN, LyingLog, MemoryWitnessState, policy_of, witness_key, witnesses

LEAVES = [f"leaf {n}".encode() for n in range(40)]
NOW = 1_700_000_000_000


def now() -> int:
    """A clock that stands still."""
    return NOW


async def refusal(witness: Witness, body: bytes) -> tuple[int, str, bytes, str]:
    """The protocol's answer and the reason code of a refused request."""
    with pytest.raises(HallmarkError) as caught:
        await witness.add_checkpoint(body, now)
    return (*http_reply(caught.value), caught.value.reason)


async def test_growth_is_cosigned() -> None:
    """First sight, growth, and the same checkpoint again are cosigned."""
    log = LyingLog(LEAVES)
    (witness,) = witnesses(log, 1).values()
    for old, size in ((0, 1), (1, 7), (7, 8), (8, 40), (40, 40)):
        line = await witness.add_checkpoint(log.request(old, size), now)
        (signature,) = parse_signatures(line)
        verify_signature(witness_key("w0").verifier, log.checkpoint(size).text, signature)
        assert signature.time == NOW


async def test_answers_of_the_protocol() -> None:
    """Each rule is answered with its own status, and 409 with the witness's size."""
    log = LyingLog(LEAVES)
    (witness,) = witnesses(log, 1).values()
    await witness.add_checkpoint(log.request(0, 10), now)
    stranger = LyingLog(LEAVES, origin="stranger.test/log")
    impostor = AddCheckpoint(10, (), Note(log.checkpoint(12).text, stranger.checkpoint(12).signatures))
    forged_line = Note(log.checkpoint(12).text, log.checkpoint(11).signatures)
    proof = log.tree.consistency_proof(10, 12)
    size = ("text/x.tlog.size", b"10\n")
    assert (await refusal(witness, stranger.request(0)))[::3] == (404, "unknown_log")
    assert (await refusal(witness, impostor.encode()))[::3] == (403, "log_signature_missing")
    assert (await refusal(witness, AddCheckpoint(10, proof, forged_line).encode()))[::3] == (
        403,
        "note_signature",
    )
    assert (await refusal(witness, log.request(12, 11)))[::3] == (400, "old_size_above")
    assert await refusal(witness, log.request(9, 12)) == (409, *size, "old_size_differs")
    assert await refusal(witness, log.request(0, 12)) == (409, *size, "old_size_differs")
    assert await refusal(witness, log.request(8, 8)) == (409, *size, "old_size_differs")
    bad = AddCheckpoint(10, (*proof[:-1], bytes(32)), log.checkpoint(12)).encode()
    assert (await refusal(witness, bad))[::3] == (422, "consistency_proof")
    assert (await refusal(witness, AddCheckpoint(10, (), log.checkpoint(12)).encode()))[0] == 422
    assert (await refusal(witness, b"old 10\n\n"))[::3] == (400, "bad_add_checkpoint")
    await witness.add_checkpoint(log.request(10, 12), now)


async def test_the_empty_tree() -> None:
    """Size 0 is cosigned under the empty root alone, and needs no proof afterwards."""
    log, empty = LyingLog(LEAVES), LyingLog()
    (witness,) = witnesses(log, 1).values()
    await witness.add_checkpoint(empty.request(0), now)
    wrong = sign(Checkpoint(ORIGIN, 0, bytes(32)), log.key)
    assert (await refusal(witness, AddCheckpoint(0, (), wrong).encode()))[::3] == (422, "empty_root")
    with_proof = AddCheckpoint(0, (bytes(32),), log.checkpoint(3)).encode()
    assert (await refusal(witness, with_proof))[::3] == (422, "consistency_proof")
    await witness.add_checkpoint(log.request(0, 3), now)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1",
        b"old 01\n\nx",
        b"new 0\n\nx",
        b"old 0\nAAAA\n\nx",
        b"old 0\n" + b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n" * 64 + b"\n",
        b"old 0\n\xff\n\nx",
        b"x" * 100_000,
    ],
)
async def test_malformed_bodies(body: bytes) -> None:
    """Bodies that are no request are 400, whatever is wrong with them."""
    log = LyingLog(LEAVES)
    (witness,) = witnesses(log, 1).values()
    tail = b"" if body[-1:] == b"x" else log.request(0).partition(b"\n\n")[2]
    assert (await refusal(witness, body + tail))[0] == 400


async def test_extension_lines_are_refused() -> None:
    """A checkpoint that says more than its root is not cosigned."""
    log = LyingLog(LEAVES)
    (witness,) = witnesses(log, 1).values()
    note = sign(Checkpoint(ORIGIN, 40, log.tree.root(), ("more",)), log.key)
    assert (await refusal(witness, AddCheckpoint(0, (), note).encode()))[::3] == (422, "checkpoint_extension")


async def test_a_fork_is_refused() -> None:
    """Two histories after one point: no witness that saw the first cosigns the second, whatever its proof."""
    log = LyingLog(LEAVES)
    fork = log.forked(20, [b"other"] * 25)
    everyone = witnesses(log, 4)
    for witness in everyone.values():
        await witness.add_checkpoint(log.request(0, 30), now)
        assert (await refusal(witness, fork.request(30)))[::3] == (422, "consistency_proof")
        borrowed = AddCheckpoint(30, log.tree.consistency_proof(30, 40), fork.checkpoint(40)).encode()
        assert (await refusal(witness, borrowed))[0] == 422
        assert (await refusal(witness, fork.request(20)))[:3] == (409, "text/x.tlog.size", b"30\n")
        assert (await refusal(witness, fork.request(30, 30)))[::3] == (422, "root_differs")
        await witness.add_checkpoint(log.request(30, 40), now)


async def test_a_split_view_cannot_gather_two_quorums() -> None:
    """Half of the witnesses on each side of a fork: neither side has three of four."""
    log = LyingLog(LEAVES)
    fork = log.forked(20, [b"other"] * 20)
    names = list(everyone := witnesses(log, 4))
    notes = {}
    for side, half in ((log, names[:2]), (fork, names[2:])):
        lines = [await everyone[name].add_checkpoint(side.request(0), now) for name in half]
        crossing = [name for name in names if name not in half]
        note = side.checkpoint()
        notes[side] = Note(note.text, (*note.signatures, *parse_signatures(b"".join(lines))))
        if side is fork:
            for name in crossing:
                assert (await refusal(everyone[name], fork.request(40)))[0] == 422
    for note in notes.values():
        with pytest.raises(HallmarkError) as caught:
            verify_quorum(policy_of(log), note)
        assert caught.value.reason == "quorum_not_met"


async def test_a_rollback_is_refused() -> None:
    """A log that forgot its end cannot get that end forgotten, nor grow another one."""
    log = LyingLog(LEAVES)
    short = log.rolled_back(25)
    (witness,) = witnesses(log, 1).values()
    await witness.add_checkpoint(log.request(0, 40), now)
    for body in (short.request(25), short.request(0), log.request(24, 25)):
        assert (await refusal(witness, body))[:3] == (409, "text/x.tlog.size", b"40\n")
    short.extend([b"new"] * 30)
    assert (await refusal(witness, short.request(40)))[::3] == (422, "consistency_proof")


async def test_a_rewritten_entry_is_refused() -> None:
    """One changed leaf anywhere below what was cosigned is noticed."""
    log = LyingLog(LEAVES)
    for index in (0, 15, 29):
        (witness,) = witnesses(log, 1).values()
        await witness.add_checkpoint(log.request(0, 30), now)
        assert (await refusal(witness, log.rewritten(index, b"changed").request(30)))[0] == 422
        proof = log.rewritten(index, b"changed").proof(index, log.checkpoint())
        with pytest.raises(HallmarkError):
            verify_proof(policy_of(log, 1, 1), b"changed", proof)


async def test_the_injected_check_can_refuse() -> None:
    """What a full node's own check raises is the answer, and nothing is remembered."""
    log, state, seen = LyingLog(LEAVES), MemoryWitnessState(), []

    async def check(old: int, new: int, checkpoint: Checkpoint) -> None:
        seen.append((old, new, checkpoint.size))
        if new == 20:
            raise Unavailable("verdict_pending", "An entry failed; its verdict is on the way.")

    witness = Witness(witness_key("w0"), [log.key.verifier], state, check)
    await witness.add_checkpoint(log.request(0, 10), now)
    assert (await refusal(witness, log.request(10, 20)))[::3] == (503, "verdict_pending")
    assert await state.latest(ORIGIN) == State(10, log.tree.root(10))
    await witness.add_checkpoint(log.request(10, 30), now)
    await witness.add_checkpoint(log.request(30, 30), now)
    assert seen == [(0, 10, 10), (10, 20, 20), (10, 30, 30)]


async def test_nothing_is_signed_that_is_not_durable() -> None:
    """When the memory fails, no cosignature leaves the witness."""

    class Broken(MemoryWitnessState):
        async def advance(self, origin: str, old: State, new: State, cosigned: Note) -> None:
            raise Unavailable("store_full", "The disk is full.")

    log = LyingLog(LEAVES)
    witness = Witness(witness_key("w0"), [log.key.verifier], Broken())
    assert (await refusal(witness, log.request(0, 10)))[::3] == (503, "store_full")


async def test_racing_requests_never_roll_back() -> None:
    """Of requests that race from one old size, one wins and the others are told the new size."""
    log = LyingLog(LEAVES)
    state = MemoryWitnessState()
    witness = Witness(witness_key("w0"), [log.key.verifier], state)
    await witness.add_checkpoint(log.request(0, 5), now)
    sizes = [9, 17, 12, 40, 6]
    results = await asyncio.gather(
        *(witness.add_checkpoint(log.request(5, size), now) for size in sizes), return_exceptions=True
    )
    won = [size for size, result in zip(sizes, results, strict=True) if isinstance(result, bytes)]
    assert len(won) == 1
    assert (await state.latest(ORIGIN)).size == won[0]
    assert {http_reply(r)[2] for r in results if isinstance(r, HallmarkError)} == {f"{won[0]}\n".encode()}


async def test_several_keys_of_one_log() -> None:
    """A log that rotates its key is still one log."""
    log = LyingLog(LEAVES)
    new = SigningKey(ORIGIN, ED25519, bytes(32))
    witness = Witness(witness_key("w0"), [log.key.verifier, new.verifier], MemoryWitnessState())
    text = log.checkpoint(10).text
    await witness.add_checkpoint(AddCheckpoint(0, (), Note(text, (new.sign(text),))).encode(), now)
    await witness.add_checkpoint(log.request(10, 20), now)
    with pytest.raises(InvalidInput):
        Witness(log.key, [log.key.verifier], MemoryWitnessState())
