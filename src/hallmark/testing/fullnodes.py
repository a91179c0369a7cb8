"""Full nodes in memory, and a sequencer that may lie to them. No sockets, no clock, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import decode, entry_id
from hallmark.core.errors import NotFound
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.merkle import consistency_proof
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.client import Pool
from hallmark.http.serve import Listen
from hallmark.ledger.note import Note, parse_signatures
from hallmark.ledger.policy import Policy
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.ledger.tiles import WIDTH, TileName, encode_bundle
from hallmark.ledger.witness import SIZE_TYPE, AddCheckpoint
from hallmark.services.following.fold_store import FoldIndex, FoldKeeper
from hallmark.services.fullnode.app import create_app
from hallmark.services.fullnode.checkpoint_store import CheckpointStore
from hallmark.services.fullnode.node import FullNode
from hallmark.services.fullnode.objector import TURN_MS
from hallmark.services.fullnode.settings import Settings
from hallmark.store.raw import RawDatabase
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.wire import MemoryPool
from hallmark.verification.fold import Replica

LOG_HOST = "log.test"


class MemoryLog:
    """A sequencer over a little network's leaves: takes entries, serves leaves, collects cosignatures."""

    def __init__(self, network: LittleNetwork, pool: MemoryPool) -> None:
        self.network = network
        self.notary = Notary(network)
        self.pool = pool
        self.url = pool.mount(LOG_HOST, self.app)
        self.cosigned: Note | None = None
        self.known: dict[str, int] = {}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /add, GET /leaves, GET /tile/entries/..."""
        path = scope["path"]
        if (scope["method"], path) == ("POST", "/add"):
            data = await read_body(receive, 1 << 20)
            decode(data)
            await respond_json(send, {"index": self.take(data)})
        elif path.startswith("/tile/entries/"):
            name = TileName.parse(path[1:])
            first = name.index * WIDTH
            await respond(send, 200, encode_bundle(self.network.leaves[first : first + name.width]))
        else:
            raise NotFound("no_such_path", "The log has no such path.")

    def take(self, data: bytes) -> int:
        """Log an entry once; its index."""
        wanted = entry_id(data)
        for index in range(len(self.network.leaves)):
            if entry_id(self.network.entry_bytes(index)) == wanted:
                return index
        return self.network.add(data)

    def request(self, old: int, size: int | None = None) -> bytes:
        """An add-checkpoint body from `old`."""
        tree = self.network.tree
        size = tree.size if size is None else size
        proof = tuple(consistency_proof(old, size, tree.node)) if old else ()
        return AddCheckpoint(old, proof, self.notary.checkpoint(size)).encode()

    async def ask(self, host: str, size: int | None = None) -> int:
        """Ask one full node to cosign, by its own idea of the old size; the HTTP status."""
        for _ in range(2):
            old = min(self.known.get(host, 0), size or self.network.tree.size)
            body = self.request(old, size)
            async with self.pool.request("POST", f"http://{host}/add-checkpoint", (), body) as response:
                answer = await response.read()
            if response.status != 409 or response.header(b"content-type") != SIZE_TYPE.encode():
                break
            if int(answer) == old:
                break
            self.known[host] = int(answer)
        if response.status == 200:
            self._accept(host, AddCheckpoint.parse(body).note, answer)
        return response.status

    async def round(self, hosts: Sequence[str]) -> dict[str, int]:
        """Ask every full node to cosign the newest checkpoint; statuses by host (0: not reached)."""
        statuses = {}
        size = self.network.tree.size
        for host in hosts:
            try:
                statuses[host] = await self.ask(host, size)
            except Exception:
                statuses[host] = 0
        return statuses

    def witnessed(self) -> int:
        """The size that a quorum has cosigned by now; 0 if none."""
        note = self.cosigned
        if note is None:
            return 0
        policy = Policy.parse(self.notary.policy_text)
        names = {s.name for s in note.signatures}
        signers = {w.name for w in policy.witnesses if w.key.name in names}
        return int(note.text.split(b"\n")[1]) if policy.is_met(signers) else 0

    def _accept(self, host: str, note: Note, line: bytes) -> None:
        size = int(note.text.split(b"\n")[1])
        self.known[host] = size
        if self.cosigned is None or self.cosigned.text != note.text:
            self.cosigned = note
        self.cosigned = Note(note.text, (*self.cosigned.signatures, *parse_signatures(line)))


def full_node(
    log: MemoryLog,
    party: Party,
    *,
    database: str = "sqlite://",
    copy_from: str = "",
    verify_evidence: VerifyEvidence = verify_stub_evidence,
    every: int = 4,
    **changes: Any,
) -> FullNode:
    """A full node of the network, not started; its database is kept as `node.database`. Its fold is kept
    whenever `every` leaves came on.
    """
    network = log.network
    settings = Settings(
        listen=Listen(0),
        origin=network.genesis.origin,
        chain_id=network.genesis.chain_id,
        authority=tuple(hex0x(address) for address in network.genesis.authority),
        threshold=network.genesis.threshold,
        log_vkey=log.notary.log.vkey,
        log_url=log.url,
        witness_name=log.notary.witness(party).verifier.name,
        seed_file="",
        key_file="",
        database=database,
        copy_from=copy_from,
    )
    settings = msgspec.structs.replace(settings, **changes)
    held = RawDatabase(settings.database)
    store = SQLLogStore(held)
    replica = Replica(settings.genesis(), verify_evidence)
    node = FullNode(
        settings,
        replica,
        store=store,
        memory=CheckpointStore(held, store),
        keeper=FoldKeeper(replica, FoldIndex(held), every=every),
        signer=party.key,
        witness_key=log.notary.witness(party),
        pool=cast(Pool, log.pool),
        now=lambda: network.now,
    )
    node.database = held  # type: ignore[attr-defined]
    return node


class Fleet:
    """All full nodes of a little network, started, on one memory pool with its log."""

    def __init__(self, network: LittleNetwork | None = None) -> None:
        self.network = network or LittleNetwork()
        self.pool = MemoryPool()
        self.log = MemoryLog(self.network, self.pool)
        self.nodes: dict[str, FullNode] = {}

    async def start(self, verify_evidence: VerifyEvidence = verify_stub_evidence) -> Fleet:
        """Start every full node; returns itself."""
        for number, party in enumerate(self.network.full_nodes):
            node = full_node(self.log, party, verify_evidence=verify_evidence)
            await node.start()
            self.add(f"fn{number}.test", node)
        return self

    def add(self, host: str, node: FullNode) -> None:
        """Put a full node on the network."""
        self.nodes[host] = node
        self.pool.mount(host, create_app(node))

    def kill(self, host: str) -> None:
        """Take a full node off the network."""
        self.pool.unmount(host)

    async def settle(self, rounds: int = 6) -> int:
        """Rounds of cosigning, with every node doing what it owes in between; the witnessed size."""
        for _ in range(rounds):
            size = self.network.tree.size
            await self.log.round(list(self.nodes))
            for host, node in self.nodes.items():
                if host in self.pool.apps:
                    await node.duties.perform()
            if self.network.tree.size == size == self.log.witnessed():
                break
            self.network.tick(TURN_MS)
        return self.log.witnessed()

    def close(self) -> None:
        """Let go of the databases."""
        for node in self.nodes.values():
            node.database.close()  # type: ignore[attr-defined]


def settings_json(settings: Settings) -> bytes:
    """A settings file's bytes."""
    return msgspec.json.encode(settings)
