"""When anchoring looks at log and chain: told by the log, often while something is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import Listen
from hallmark.ledger import checkpoint as checkpoints
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.follow import Alive, Cosigned, Frame
from hallmark.ledger.note import Note
from hallmark.ledger.policy import verify_quorum
from hallmark.services.anchor.machine import Machine
from hallmark.services.anchor.outbox import Outbox
from hallmark.services.anchor.service import AnchorService
from hallmark.services.anchor.settings import Settings
from hallmark.services.chain.contract import Artifact, Parameters, anchor_address
from hallmark.store import Database
from hallmark.testing.chain import FakeChain
from hallmark.testing.lying_log import ORIGIN, LyingLog, policy_text, witness_key

LOG = LyingLog()
SIGNER = Key(bytes(31) + b"\x01")
ARTIFACT = Artifact("Anchor", "0", [], "0x00", "0x00", "cancun")


def cosigned(size: int, signers: tuple[str, ...] = ("w0", "w1", "w2")) -> Frame:
    """A checkpoint of `size`, cosigned."""
    note = checkpoints.sign(Checkpoint(ORIGIN, size, sha256(b"root", bytes([size]))), LOG.key)
    lines = tuple(witness_key(name).cosign(note.text, 1_700_000_000_000) for name in signers)
    return Cosigned(Note(note.text, (*note.signatures, *lines)).encode())


class Telling:
    """A log that tells what the test says, then keeps silent (or ends)."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.opened: list[int] = []

    async def checkpoints(self, every_ms: int) -> AsyncGenerator[Frame, None]:
        """One stream."""
        self.opened.append(every_ms)
        while (frame := await self.queue.get()) is not None:
            yield frame


class Bench:
    """An anchoring service over a fake chain that counts how often it is looked at."""

    def __init__(self) -> None:
        parameters = Parameters(network_id(ORIGIN), ORIGIN, (SIGNER.address,), 1)
        settings = Settings(
            listen=Listen(0),
            database="",
            origin=ORIGIN,
            tlog_policy=policy_text(LOG, 4, 3),
            log_url="http://127.0.0.1:9",
            full_nodes=(),
            signers=(hex0x(SIGNER.address),),
            threshold=1,
            rpc_url="http://127.0.0.1:9",
            chain_id=31337,
            contract=hex0x(anchor_address(ARTIFACT, parameters)),
            contract_file="",
            key_file="",
        )
        self.service = AnchorService(settings, Outbox(Database("sqlite://")), SIGNER, ARTIFACT)
        self.chain, self.log = FakeChain(), Telling()
        self.looks = self.ensured = 0
        service = cast(Any, self.service)
        service._machine = Machine(service._outbox, self.chain, self._collect, confirmations=2)
        service._newest.log = self.log
        service._ensure_contract = self._ensure
        view = self.chain.view

        async def looked() -> Any:
            self.looks += 1
            return await view()

        self.chain.view = looked  # type: ignore[method-assign]
        service._chain.stored = self.chain.stored
        service._chain.rpc.head = self._head

    async def _collect(self, *_: object) -> tuple[bytes, ...]:
        return (bytes(65),)

    async def _head(self) -> int:
        return len(self.chain.blocks)

    async def _ensure(self) -> None:
        self.ensured += 1

    async def tell(self, frame: Frame) -> None:
        """Let the log tell one thing and end."""
        self.log.queue.put_nowait(frame)
        self.log.queue.put_nowait(None)
        with pytest.raises(Unavailable):
            await self.service._newest.listen()


async def test_an_idle_network_is_looked_at_every_half_minute_and_a_busy_one_until_it_is_confirmed() -> None:
    """From wanted to confirmed each round is soon followed by another; then it is seldom."""
    bench = Bench()
    assert await bench.service.round() == 30.0
    await bench.tell(cosigned(7))
    assert bench.service._newest.changed.is_set()
    pauses = []
    for _ in range(6):
        pauses.append(await bench.service.round())
        bench.chain.mine()
    assert pauses == [0.5, 0.5, 30.0, 30.0, 30.0, 30.0]
    assert (bench.service.anchored_size, bench.chain.sent) == (7, 1)
    # From the ground up only once: afterwards nothing had changed.
    assert (bench.looks, bench.ensured) == (7, 1)


async def test_a_look_at_an_idle_network_is_one_look_at_the_chain() -> None:
    """Nothing is read of the outbox, nothing written."""
    bench = Bench()
    await bench.tell(cosigned(7))
    for _ in range(4):
        await bench.service.round()
        bench.chain.mine()
    service = cast(Any, bench.service)
    service._outbox = service._machine._outbox = None
    looks = bench.looks
    assert await bench.service.round() == 30.0
    assert bench.looks == looks + 1
    assert bench.service.health.state == "ready"


async def test_a_question_that_shows_a_loss_is_seen_to_at_once() -> None:
    """Who asks for an anchor that the chain has no more hears that there is none; the service wakes."""
    bench = Bench()
    await bench.tell(cosigned(7))
    for _ in range(4):
        await bench.service.round()
        bench.chain.mine()
    changed = bench.service._newest.changed
    changed.clear()
    assert (await bench.service.record(7, 2)).size == 7
    assert not changed.is_set()

    async def gone(_size: int) -> None:
        raise VerificationFailed("not_an_anchor", "No contract.")

    cast(Any, bench.service)._chain.stored = gone
    with pytest.raises(NotFound, match="not_anchored_yet"):
        await bench.service.record(7, 2)
    assert changed.is_set()
    ensured = bench.ensured
    await bench.service.round()
    assert bench.ensured == ensured + 1


async def test_what_another_anchored_and_the_chain_lost_is_anchored_here() -> None:
    """A larger checkpoint superseded ours while it was on its way; when it is gone, ours goes out."""
    bench = Bench()
    await bench.tell(cosigned(7))
    bench.chain.anchor_by_other(9, sha256(b"other"))
    assert await bench.service.round() == 30.0
    assert bench.chain.sent == 0
    bench.chain.lose_tail(10)
    assert await bench.service.round() == 0.5
    assert bench.chain.sent == 1


async def test_what_the_chain_lost_is_anchored_again_within_one_look() -> None:
    """Nothing new in the log: the next look at the chain finds it gone, and sends it again."""
    bench = Bench()
    await bench.tell(cosigned(7))
    for _ in range(4):
        await bench.service.round()
        bench.chain.mine()
    bench.chain.lose_tail(10)
    assert await bench.service.round() == 0.5
    assert bench.chain.sent == 2


async def test_a_checkpoint_without_its_quorum_is_no_checkpoint() -> None:
    """What the log tells is verified; what does not hold is a problem, and nothing is anchored."""
    bench = Bench()
    bench.log.queue.put_nowait(cosigned(7, ("w0", "w1")))
    running = asyncio.ensure_future(bench.service._newest.run())
    await asyncio.wait_for(bench.service._newest.changed.wait(), 60)
    running.cancel()
    assert bench.service._newest.checkpoint is None
    await bench.service.round()
    assert (bench.service.health.state, bench.service.health.reason) == ("degraded", "quorum_not_met")
    assert bench.chain.sent == 0


async def test_the_log_is_asked_for_one_stream_at_the_rhythm_of_anchoring() -> None:
    """One response for as long as it lasts; being told the same again wakes nobody."""
    bench = Bench()
    for frame in (cosigned(7), Alive(), cosigned(7)):
        bench.log.queue.put_nowait(frame)
    await bench.tell(Alive())
    assert bench.log.opened == [10_000]
    bench.service._newest.changed.clear()
    await bench.tell(cosigned(7))
    assert not bench.service._newest.changed.is_set()


async def test_a_log_that_does_not_tell_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror without streams is asked for its checkpoint, at the same rhythm."""
    bench = Bench()

    async def none(_every_ms: int) -> AsyncGenerator[Frame, None]:
        raise NotFound("no_such_path", "No.")
        yield

    async def asked(*_: object) -> Any:
        frame = cosigned(9)
        assert isinstance(frame, Cosigned)
        return verify_quorum(bench.service._policy, Note.parse(frame.note))

    monkeypatch.setattr("hallmark.services.anchor.newest.quorum_checkpoint", asked)
    cast(Any, bench.log).checkpoints = none
    running = asyncio.ensure_future(bench.service._newest.run())
    await asyncio.wait_for(bench.service._newest.changed.wait(), 60)
    running.cancel()
    assert bench.service._newest.checkpoint is not None
    assert bench.service._newest.checkpoint.checkpoint.size == 9
