"""A desk's or explorer's view of a little network, without sockets: a log client in memory, a gateway that
knows configurations, and a `FollowedLog` over both.

    watching = Watching()
    index = watching.net.add(...)
    await watching.witness()      # the quorum cosigns everything, and it is followed
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

from hallmark.core.document import hex0x
from hallmark.core.entries import decode, split_leaf
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.merkle import inclusion_proof
from hallmark.core.receipt import Receipt
from hallmark.http.asgi import Receive, Scope, Send, respond_json
from hallmark.http.client import Pool
from hallmark.ledger.follow import Frame
from hallmark.ledger.policy import Policy
from hallmark.services.following.anchors import Anchors
from hallmark.services.following.fold_store import EVERY, FoldIndex, FoldKeeper
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.following.follower import Follower
from hallmark.services.following.log_client import LogClient, LogHead
from hallmark.store import Database
from hallmark.store.raw import RawDatabase
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.wire import MemoryPool
from hallmark.verification.fold import Replica

GATEWAY: str = "gateway.test"


class MemoryLogClient:
    """`LogClient` over a little network's leaves; the quorum has cosigned up to `witnessed`."""

    def __init__(self, net: LittleNetwork, notary: Notary) -> None:
        self.net, self.notary = net, notary
        self.witnessed = net.tree.size
        self.signers: list[str] | None = None
        self.down = False

    async def head(self) -> LogHead:
        """Everything that the log has, and what is cosigned."""
        self._up()
        return LogHead(self.net.tree.size, self.witnessed)

    async def checkpoint(self) -> bytes:
        """The cosigned checkpoint."""
        self._up()
        return self.notary.cosigned(self.witnessed).encode()

    async def latest(self) -> bytes:
        """The newest checkpoint that the log signed, cosigned by `signers` (None: as the quorum's one)."""
        self._up()
        if self.signers is None:
            return self.notary.cosigned(self.witnessed).encode()
        return self.notary.cosigned(signers=self.signers).encode()

    async def wait(self, size: int, timeout_ms: int) -> None:
        """Nothing is waited for."""

    async def follow(self, _start: int, *, tail: bool = False) -> AsyncGenerator[Frame, None]:
        """It does not tell: it is asked."""
        raise NotFound("no_such_path", f"No stream here, {'with' if tail else 'without'} a tail.")
        yield

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end)."""
        self._up()
        return self.net.leaves[start:end]

    async def proof(self, index: int, _wait_ms: int = 0) -> str:
        """The tlog-proof against the cosigned checkpoint."""
        self._up()
        if index >= self.witnessed:
            raise Unavailable("not_witnessed_yet", "Not yet.")
        return self.notary.proof(index, self.witnessed)

    async def path(self, index: int, size: int) -> tuple[str, ...]:
        """The inclusion path at `size`."""
        return tuple(hex0x(node) for node in inclusion_proof(index, size, self.net.tree.node))

    def _up(self) -> None:
        if self.down:
            raise Unavailable("log_standby", "Down.")


class MemoryGateway:
    """What a gateway tells about receipts: their node's configuration, from the question `knows_after` on.
    `network` is what /network answers.
    """

    def __init__(self, net: LittleNetwork) -> None:
        self.net = net
        self.knows, self.knows_after = True, 0
        self.network: dict[str, Any] | None = None
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """GET /v1/hallmark/receipts/{id} and /v1/hallmark/network."""
        path = scope["path"]
        self.asked.append(path)
        if path == "/v1/hallmark/network" and self.network is not None:
            await respond_json(send, self.network)
            return
        configuration = self._configuration(path.rsplit("/", 1)[1]) if self._knows else None
        if configuration is None:
            raise NotFound("no_such_receipt", "No such receipt is known here.")
        await respond_json(send, {"documents": {"configuration": configuration}})

    @property
    def _knows(self) -> bool:
        return self.knows and len(self.asked) > self.knows_after

    def _configuration(self, receipt_id: str) -> str | None:
        for leaf in self.net.leaves:
            statement = decode(split_leaf(leaf)[1]).statement
            if isinstance(statement, Receipt) and hex0x(statement.digest()) == receipt_id:
                party = next(n for n in self.net.nodes if n.address == statement.node)
                return party.configuration.encode().decode() if party.configuration else None
        return None


class FollowedLogFixture:
    """See the module docstring. `database` may be shared by one after the other, as by restarts."""

    def __init__(
        self,
        net: LittleNetwork | None = None,
        *,
        database: Database | None = None,
        folded: RawDatabase | None = None,
        anchors: object | None = None,
        by: str = "this desk",
        every: int = EVERY,
    ) -> None:
        self.net = net or LittleNetwork()
        self.notary = Notary(self.net)
        self.log = MemoryLogClient(self.net, self.notary)
        self.gateway = MemoryGateway(self.net)
        self.pool = MemoryPool()
        self.database = database or Database("sqlite://")
        replica = Replica(self.net.genesis, verify_stub_evidence)
        self.folded = folded or RawDatabase("sqlite://")
        self.follower = Follower(
            cast(LogClient, self.log),
            Policy.parse(self.notary.policy_text),
            replica,
            FoldKeeper(replica, FoldIndex(self.folded), every=every),
        )
        self.watch = FollowedLog(
            self.follower,
            cast(LogClient, self.log),
            self.database,
            pool=cast(Pool, self.pool),
            gateway_url=self.pool.mount(GATEWAY, self.gateway),
            anchors=cast(Anchors | None, anchors),
            clock=lambda: self.net.now,
            by=by,
        )

    async def follow(self) -> None:
        """Follow the log as far as it is cosigned."""
        self.follower.resume()
        await self.follower._step()

    async def witness(self) -> None:
        """The quorum cosigns everything; it is followed, and configurations are fetched."""
        self.log.witnessed = self.net.tree.size
        await self.follow()
        await self.watch.configurations.fetch()

    async def flush(self) -> None:
        """Bring what waits to the disk, as `run` would."""
        watch = self.watch
        for part in (watch.leaves, watch.heads, watch.configurations):
            await part._writer.flush()
