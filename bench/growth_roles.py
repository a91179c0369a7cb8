"""What `bench/growth.py` measures, each a process of its own: who serves the log, and those who verify it.

    python bench/growth_roles.py ROLE FOLDER PORT      ROLE: log, fullnode, gateway, web

`log` serves what lies in FOLDER/log.db until it is ended. The others catch up with it, or start again where
they were, and print what that took: JSON on one line. Their network is the little one of `hallmark.testing`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from hallmark.core.errors import HallmarkError, NotFound
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.http.client import Pool
from hallmark.http.health import Health
from hallmark.http.serve import Listen, Service, serve
from hallmark.ledger.policy import Policy
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.ledger.tiles import TileName, encode_bundle
from hallmark.services.explorer.explorer import Explorer
from hallmark.services.following.fold_store import FoldIndex, FoldKeeper
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.following.follower import Follower
from hallmark.services.following.log_client import LogClient
from hallmark.services.following.proofs import FollowedProofs
from hallmark.store import Database, sqlite_url
from hallmark.store.raw import RawDatabase
from hallmark.testing.dossiers import Notary
from hallmark.testing.fullnodes import MemoryLog, full_node
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.wire import MemoryPool
from hallmark.verification.fold import Replica

MAX_LEAVES = 4_096


def checkpoint_of(folder: Path) -> bytes:
    """The checkpoint up to which the log was made, cosigned by all full nodes."""
    return (folder / "checkpoint").read_bytes()


async def log(folder: Path, port: int) -> None:
    """Serves leaves, tiles and the checkpoint."""
    store = SQLLogStore(RawDatabase(sqlite_url(folder / "log.db")))

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/checkpoint":
            body = checkpoint_of(folder)
        elif path == "/wait":
            body = b"{}"
        elif path == "/leaves":
            asked = parse_qs(scope["query_string"].decode())
            start, end = int(asked["start"][0]), int(asked["end"][0])
            body = encode_bundle(await store.leaves(start, min(end, start + MAX_LEAVES)))
        elif path.startswith("/tile/"):
            name = TileName.parse(path[1:])
            body = await store.tile(name.level or 0, name.index, name.width)
        else:
            raise NotFound("no_such_page", "There is no such page here.")
        await respond(send, 200, body, content_type=b"application/octet-stream")

    await serve(Service(app, health=lambda: Health("ready")), Listen(port))


def fullnode(folder: Path, url: str) -> tuple[Callable[[], Awaitable[None]], Callable[[], dict[str, int]]]:
    """A full node: it reads its own copy again as far as it must, then copies what is missing."""
    net = LittleNetwork()
    node = full_node(
        MemoryLog(net, MemoryPool()),
        net.full_nodes[0],
        database=sqlite_url(folder / "fullnode.db"),
        copy_from=url,
        every=256,
    )
    node._source._pool = Pool()
    return node.start, lambda: {"size": node.replica.size, "folded": node.judged}


class Following:
    """A follower, as gateway and web process have one; every leaf that it folds is counted."""

    def __init__(self, folder: Path, url: str, name: str) -> None:
        self.net, self.pool, self.folded = LittleNetwork(), Pool(), 0
        self.database = sqlite_url(folder / f"{name}.db")
        self.log = LogClient(self.pool, url)
        self.policy = Policy.parse(Notary(self.net).policy_text)
        replica = Replica(self.net.genesis, verify_stub_evidence)
        keeper = FoldKeeper(replica, FoldIndex(RawDatabase(self.database)))
        self.follower = Follower(self.log, self.policy, replica, keeper)
        self.follower.taps.append(self._count)

    def _count(self, _index: int, _leaf: bytes) -> None:
        self.folded += 1

    async def reach(self) -> None:
        """Follow as far as the log's checkpoint."""
        self.follower.resume()
        await self.follower._step()

    def told(self) -> dict[str, int]:
        """How far it is, and how many leaves it folded for that."""
        return {"size": self.follower.replica.size, "folded": self.folded}


def gateway(folder: Path, url: str) -> tuple[Callable[[], Awaitable[None]], Callable[[], dict[str, int]]]:
    """What a gateway follows with."""
    following = Following(folder, url, "gateway")
    FollowedProofs(following.follower, following.log)
    return following.reach, following.told


def web(folder: Path, url: str) -> tuple[Callable[[], Awaitable[None]], Callable[[], dict[str, int]]]:
    """What the web process's explorer follows with: leaves, checkpoints and an index of its own."""
    following = Following(folder, url, "web")
    database = Database(following.database)
    watch = FollowedLog(
        following.follower,
        following.log,
        database,
        pool=following.pool,
        gateway_url="http://127.0.0.1:9",
        anchors=None,
        clock=lambda: time.time_ns() // 1_000_000,
    )
    explorer = Explorer(
        watch, database, policy=following.policy, pool=following.pool, gateway_url="http://127.0.0.1:9"
    )

    async def reach() -> None:
        await following.reach()
        await watch.leaves.flush()
        await watch.heads.flush()
        await explorer.flush()

    return reach, following.told


ROLES = {"fullnode": fullnode, "gateway": gateway, "web": web}


def memory_mb(field: str) -> float:
    """A field of this process's status, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


async def measured(role: str, folder: Path, url: str) -> dict[str, Any]:
    """Make the role and let it get where the log is."""
    started, cpu = time.perf_counter(), time.process_time()
    reach, told = ROLES[role](folder, url)
    before = memory_mb("VmRSS")
    await reach()
    return {
        "role": role,
        **told(),
        "wall_s": round(time.perf_counter() - started, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
        "made_mb": round(before, 1),
        "rss_mb": round(memory_mb("VmRSS"), 1),
        "peak_mb": round(memory_mb("VmHWM"), 1),
        "disk_mb": round(sum(f.stat().st_size for f in folder.glob(f"{role}.db*")) / 1e6, 1),
    }


def main() -> None:
    """Be one of the roles."""
    role, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if role == "log":
        asyncio.run(log(folder, port))
        return
    try:
        print(json.dumps(asyncio.run(measured(role, folder, f"http://127.0.0.1:{port}"))), flush=True)
    except HallmarkError as error:
        print(json.dumps({"role": role, "problem": str(error)}), flush=True)
    os._exit(0)  # as if killed: nothing is written on the way out


if __name__ == "__main__":
    main()
