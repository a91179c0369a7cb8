"""Anchors: the service says where to look, and its word alone is worth nothing."""

from __future__ import annotations

import pytest

from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import Unavailable
from hallmark.core.marks import State
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind
from hallmark.services.chain.check import _SEAL as SEAL
from hallmark.services.chain.check import ConfirmedAnchor
from hallmark.services.following.anchors import Anchors
from hallmark.services.gateway.receipt_store import Kept
from hallmark.testing.dossiers import Notary
from hallmark.testing.listening import listening
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.network import LittleNetwork
from hallmark.testing.ports import free_port

RECORD = AnchorRecord(31337, "0x" + "11" * 20, "0x" + "22" * 32, 5, 12, "0x" + "33" * 32, 2)


async def test_a_record_is_no_confirmation() -> None:
    """Without a chain of its own the gateway passes the record on and confirms nothing."""
    asked: list[bytes] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        asked.append(scope["query_string"])
        await respond(send, 200, RECORD.encode())

    trust = Notary(LittleNetwork()).trust()
    async with listening(Service(app), bind(Listen(free_port()))) as url:
        anchors = Anchors(Pool(), trust, anchor_url=url, rpc=None, confirmations=3)
        assert await anchors.covering(11) == (RECORD, None)
    assert asked == [b"size=12&confirmations=3"]
    with pytest.raises(Unavailable):
        await anchors.covering(11)
    silent = Anchors(Pool(), trust, anchor_url="", rpc=None, confirmations=1)
    with pytest.raises(Unavailable):
        await silent.covering(11)


async def test_only_this_logs_root_on_the_chain_anchors() -> None:
    """A checkpoint on the chain counts when its root is the one that this gateway computed, and covers the
    receipt. Another root for a size that covers it contradicts; one past what was read here says nothing.
    """
    async with LocalNetwork() as local:
        answer = local.net.answer(local.net.nodes[0])
        place = local.log.add(answer.entry.encode())
        size = local.net.tree.size
        assert await local.gateway.follower.reached(size, 5)
        kept = Kept(
            answer.receipt.digest(),
            answer.entry.encode(),
            bytes(32),
            b"",
            0,
            place["index"],
            place["admitted"],
        )
        proof = local.notary.proof(place["index"])
        for root, covered, state in (
            (local.net.tree.root(), size, State.ANCHORED),
            (bytes(32), size, State.FAILED),
            (bytes(32), size + 1, State.WITNESSED),
            (bytes(32), size - 1, State.WITNESSED),
            (local.net.tree.root(size - 1), size - 1, State.WITNESSED),
        ):
            anchor = ConfirmedAnchor(31337, bytes(20), covered, root, 5, local.net.now, 2, SEAL)
            marks, against = local.gateway.marker.follow(kept, proof, anchor)
            assert {q.value: m.state for q, m in marks.items()}["proved"] is state
            assert [f.reason for f in against] == ["anchor_contradicted"] * (state is State.FAILED)
