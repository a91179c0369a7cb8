"""Catching up from far behind: piece by piece, nothing judged that the log did not sign."""

from __future__ import annotations

import pytest

from hallmark.core.merkle import leaf_hash, root
from hallmark.core.statements import Role
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.ledger.tiles import encode_bundle
from hallmark.services.fullnode.app import create_app
from hallmark.services.fullnode.outline import Outline
from hallmark.testing.fullnodes import Fleet, full_node
from hallmark.testing.network import Party

LEAVES = [number.to_bytes(4, "big") for number in range(700)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def _outline(size: int) -> Outline:
    full = size // 256
    bundles = b"".join(root(HASHES[at * 256 : at * 256 + 256]) for at in range(full))
    return Outline(bundles, b"".join(HASHES[full * 256 : size]))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 700])
def test_an_outline_has_the_logs_root_and_knows_its_leaves(size: int) -> None:
    """Of every size; bundles apart or several at a time."""
    outline = _outline(size)
    assert (outline.size, outline.root()) == (size, root(HASHES[:size]))
    assert outline.holds(0, LEAVES[:size])
    for first in range(0, size, 256):
        assert outline.holds(first, LEAVES[first : min(first + 256, size)])


def test_other_leaves_are_not_held() -> None:
    """One that differs, one too few, one too many, in another place."""
    outline = _outline(700)
    assert not outline.holds(0, [*LEAVES[:255], b"other"])
    assert not outline.holds(0, LEAVES[:255])
    assert not outline.holds(256, LEAVES[:256])
    assert not outline.holds(512, LEAVES[512:699])
    assert not outline.holds(512, [*LEAVES[512:], b"more"])
    assert not outline.holds(512, [*LEAVES[512:699], b"other"])


class Mirror:
    """A full node's mirror that can lie: it sends another leaf at `lie`."""

    def __init__(self, fleet: Fleet, host: str) -> None:
        self.lie = -1
        self.starts: list[int] = []
        self._app, self._leaves = create_app(fleet.nodes[host]), fleet.network.leaves

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/leaves":
            await self._app(scope, receive, send)
            return
        query = dict(part.split(b"=") for part in scope["query_string"].split(b"&"))
        start, end = int(query[b"start"]), int(query[b"end"])
        self.starts.append(start)
        found = self._leaves[start:end]
        if start <= self.lie < end:
            found[self.lie - start] = found[self.lie - start - 1]
        await respond(send, 200, encode_bundle(found), content_type=b"application/octet-stream")


async def test_a_long_log_comes_piece_by_piece() -> None:
    """No more than one piece is held; each is durable before the next; a leaf that the log did not sign is
    not judged, and what came before it stays.
    """
    fleet = await Fleet().start()
    net, host = fleet.network, "fn0.test"
    for number in range(600):
        net.add(net.receipt_entry(net.nodes[number % 2]))
    assert await fleet.log.ask(host) == 200
    mirror = Mirror(fleet, host)
    url = fleet.pool.mount("mirror.test", mirror)
    fleet.pool.unmount("log.test")
    late = full_node(fleet.log, Party("full node 9", Role.FULL_NODE), copy_from=url, every=256)
    late._source.at_once, mirror.lie = 256, 400
    await late.start()
    assert (late.replica.size, late.store.size, late.replica.kept_size) == (256, 256, 256)
    mirror.lie, mirror.starts = -1, []
    await late._copy()
    assert (late.replica.size, late.replica.root()) == (net.tree.size, net.tree.root())
    assert late.store.size == net.tree.size
    assert mirror.starts == list(range(256, net.tree.size, 256))
    assert late.judged == net.tree.size
    fleet.close()
