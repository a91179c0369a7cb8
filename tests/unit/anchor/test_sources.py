"""What anchoring takes from the log and from the full nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import Key, recover_statement, sign_statement
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger import checkpoint as checkpoints
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import COSIGNATURE, ED25519, SigningKey
from hallmark.ledger.policy import Policy
from hallmark.services.anchor.sources import Quorum, collect_signatures, quorum_checkpoint

ORIGIN, CHAIN_ID = "test.example/log", 31_337
KEYS = [Key(bytes([n]) * 32) for n in range(1, 5)]
STATEMENT = AnchoredCheckpoint(bytes(32), sha256(ORIGIN.encode()), 7, b"\x07" * 32)
Reply = Callable[[], tuple[int, bytes]]


def signing(key: Key, statement: AnchoredCheckpoint = STATEMENT) -> Reply:
    """A full node that signs `statement`."""
    signature = sign_statement(statement, CHAIN_ID, key)
    body = msgspec.json.encode({"signature": hex0x(signature), "address": hex0x(key.address)})
    return lambda: (200, body)


@asynccontextmanager
async def nodes(replies: list[Reply]) -> AsyncIterator[tuple[Pool, Quorum, list[Any]]]:
    """Full nodes that answer as told, a quorum of three of four, and what they were asked."""
    asked: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(msgspec.json.decode(await read_body(receive, 4096)))
        status, body = replies[int(scope["path"].split("/")[1])]()
        await respond(send, status, body)

    async with serving(Service(app), bind(Listen(0))) as url:
        pool = Pool()
        urls = tuple(f"{url}/{number}" for number in range(len(replies)))
        yield pool, Quorum(tuple(key.address for key in KEYS), 3, urls, CHAIN_ID), asked
        await pool.aclose()


async def test_threshold_of_signatures_in_order_of_address() -> None:
    """Of four answers three are taken, ascending by signer, all over the statement."""
    async with nodes([signing(key) for key in KEYS]) as (pool, quorum, asked):
        signatures = await collect_signatures(pool, quorum, ORIGIN, STATEMENT)
    signers = [recover_statement(STATEMENT, CHAIN_ID, signature) for signature in signatures]
    assert signers == sorted(key.address for key in KEYS)[:3]
    assert asked == [{"origin": ORIGIN, "size": 7, "root": hex0x(b"\x07" * 32)}] * 4


OTHER = AnchoredCheckpoint(bytes(32), STATEMENT.origin, 7, bytes(32))


@pytest.mark.parametrize(
    "bad",
    [
        signing(KEYS[0]),
        signing(Key(b"\x08" * 32)),
        signing(KEYS[3], OTHER),
        lambda: (409, b"{}"),
        lambda: (200, b"not json"),
        lambda: (200, b'{"signature": "0x00"}'),
        lambda: (200, b'{"signature": "0x' + b"00" * 65 + b'"}'),
        lambda: (200, b"x" * 100_000),
    ],
)
async def test_answers_that_do_not_count(bad: Reply) -> None:
    """One key twice, a stranger, another root, a refusal or nonsense never fills a quorum, nor stops one."""
    async with nodes([signing(KEYS[0]), signing(KEYS[1]), bad]) as (pool, quorum, _):
        with pytest.raises(Unavailable) as error:
            await collect_signatures(pool, quorum, ORIGIN, STATEMENT)
    assert error.value.reason == "anchor_quorum_missing"
    async with nodes([signing(KEYS[0]), signing(KEYS[1]), bad, signing(KEYS[2])]) as (pool, quorum, _):
        assert len(await collect_signatures(pool, quorum, ORIGIN, STATEMENT)) == 3


WITNESSES = [SigningKey(f"witness-{n}", COSIGNATURE, bytes([n]) * 32) for n in range(1, 4)]
LOG = SigningKey(ORIGIN, ED25519, b"\x09" * 32)
POLICY = Policy.parse(
    "\n".join(
        [
            f"log {LOG.vkey}",
            *(f"witness w{n} {w.vkey}" for n, w in enumerate(WITNESSES)),
            "group all 2 w0 w1 w2",
            "quorum all",
            "",
        ]
    )
)


async def fetch(cosigners: int, status: int = 200) -> Checkpoint:
    """The verified checkpoint of a log that so many witnesses cosigned."""
    note = checkpoints.sign(Checkpoint(ORIGIN, 7, b"\x07" * 32), LOG)
    lines = [w.cosign(note.text, 1_700_000_000_000).line() for w in WITNESSES[:cosigners]]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, status, note.encode() + b"".join(lines))

    async with serving(Service(app), bind(Listen(0))) as url:
        pool = Pool()
        try:
            return (await quorum_checkpoint(pool, url, POLICY)).checkpoint
        finally:
            await pool.aclose()


async def test_checkpoint_with_its_quorum() -> None:
    """A checkpoint that the quorum cosigned is taken."""
    assert await fetch(2) == Checkpoint(ORIGIN, 7, b"\x07" * 32)


@pytest.mark.parametrize(
    ("cosigners", "status", "kind", "reason"),
    [(1, 200, VerificationFailed, "quorum_not_met"), (2, 404, Unavailable, "log_unreachable")],
)
async def test_checkpoint_that_is_not_anchored(
    cosigners: int, status: int, kind: type[HallmarkError], reason: str
) -> None:
    """Below the quorum, or without a checkpoint, there is nothing to anchor."""
    with pytest.raises(kind) as error:
        await fetch(cosigners, status)
    assert error.value.reason == reason
