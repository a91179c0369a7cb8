"""Makes the log of a real network long: a home that `./hallmark up` then runs, with a million entries.

    ./hallmark --home HOME up --detach --no-ask --port 26400 && ./hallmark --home HOME down
    python bench/growth_home.py --home HOME --sizes 1000 10000 100000 1000000 --copies FOLDER

The network was founded as always and is stopped. Two further nodes of its first owner join it: registrations
with evidence of the emulated module, as every node of a development network has, signed by key and owner.
Then they answer: receipts in two chains without gaps, each signed by its node, with a route record, a ticket
that the network's gateway signed (one for `--answers-per-ticket` receipts of a node) and a beacon, at the
time of the clock. All of them are taken in by the log's own service, with every check that it makes of a
submission and the same batches; only its quotas are raised and no full node runs beside it. In the end both
nodes retire. At each size the home is copied to FOLDER/SIZE, without image and artifacts, which are linked.

Not made: answers. Requests and responses are digests of random bytes, which is all that a log sees of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import secrets
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from hallmark.attestation.attester import NSMAttester
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule
from hallmark.core.beacon import EMPTY_ROOT, evidence_nonce
from hallmark.core.document import hex0x, report_data, unhex
from hallmark.core.documents import Candidate, Candidates, KeyBundle, Manifest, Parameters, RouteRecord
from hallmark.core.entries import Entry, Kind, decode, split_leaf
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.receipt import RECEIPT_VERSION, Receipt, request_digest, response_digest
from hallmark.core.statements import Registration, Retirement, Role, Ticket, code
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.log.app import Leader
from hallmark.services.log.sequencer import Placed
from hallmark.services.log.service import LogService, now_ms
from hallmark.services.log.settings import Quota, Quotas, Settings
from hallmark.store import sqlite_url
from hallmark.verification.trust import Trust, read_trust

BATCH = 1_024
TICKET_MS = 60_000
NODES = 2
SOURCE = b"\x7f\x00\x00\x01"
MUCH = Quota(1e9, 10**9)
FOUND_AGAIN = ("image", "artifacts")
"""Folders of a home that do not change: linked."""


class Founded(msgspec.Struct, frozen=True):
    """What of a founded network its further nodes need."""

    trust: Trust
    gateway: Key
    owner: Key
    root: DevelopmentRoot
    template: KeyBundle
    manifests: tuple[Manifest, ...]


class Task(msgspec.Struct, frozen=True):
    """What a node's process needs."""

    network: bytes
    chain_id: int
    secret: bytes
    gateway: bytes
    bundle: bytes
    bundles: tuple[tuple[bytes, bytes], ...]
    """Keys of all candidates, and the digests of their bundles."""
    manifests: tuple[Manifest, ...]
    mode: int
    engine: str
    per_ticket: int


class Answering:
    """One node's receipts, one after the other."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._key, self._gateway = Key(task.secret), Key(task.gateway)
        self._sequence, self._previous, self._left = 0, ZERO32, 0
        self._passages: dict[str, tuple[bytes, bytes, bytes]] = {}

    def entries(self, count: int, size: int, root: bytes) -> list[bytes]:
        """So many entries, whose beacon is the checkpoint of this size and root."""
        return [self._entry(size, root) for _ in range(count)]

    def _entry(self, size: int, root: bytes) -> bytes:
        task, now = self._task, now_ms()
        manifest = task.manifests[self._sequence % len(task.manifests)]
        candidates, ticket, route = self._passage(manifest.label, size, root, now)
        parameters = Parameters("chat", 64, node_nonce=hex0x(secrets.token_bytes(32)), engine=task.engine)
        receipt = Receipt(
            version=RECEIPT_VERSION,
            network=task.network,
            node=self._key.address,
            bundle=task.bundle,
            sequence=self._sequence,
            previous=self._previous,
            request=request_digest(secrets.token_bytes(32), "/v1/chat/completions", secrets.token_bytes(64)),
            response=response_digest(secrets.token_bytes(32), secrets.token_bytes(64)),
            mode=task.mode,
            artifact=unhex(manifest.artifact),
            manifest=manifest.digest(),
            upstream=ZERO32,
            parameters=parameters.digest(),
            route=sha256(b"") if not route else RouteRecord.decode(route).digest(),
            inputs=EMPTY_ROOT,
            payment=ZERO32,
            charged=0,
            tokens_in=1 + self._sequence % 97,
            tokens_out=1 + self._sequence % 31,
            beacon_size=size,
            beacon_root=root,
            started=now - 20 - self._sequence % 40,
            finished=now - 5,
            policy=ZERO32,
            client_nonce=secrets.token_bytes(32),
        )
        signature = sign_statement(receipt, task.chain_id, self._key)
        self._sequence, self._previous = self._sequence + 1, receipt.digest()
        return Entry(receipt, (signature,), (route, candidates, ticket)).encode()

    def _passage(self, label: str, size: int, root: bytes, now: int) -> tuple[bytes, bytes, bytes]:
        """Candidates, ticket and route record; shared by some answers, as a gateway under load does."""
        if not self._left:
            self._passages.clear()
            self._left = self._task.per_ticket
        self._left -= 1
        if label not in self._passages:
            self._passages[label] = self._made(label, size, root, now)
        return self._passages[label]

    def _made(self, label: str, size: int, root: bytes, now: int) -> tuple[bytes, bytes, bytes]:
        task = self._task
        listed = tuple(Candidate(hex0x(key), hex0x(bundle)) for key, bundle in task.bundles)
        candidates = Candidates(label, task.mode, listed, ())
        statement = Ticket(
            task.network,
            self._gateway.address,
            candidates.digest(),
            size,
            root,
            now - 50,
            now - 50 + TICKET_MS,
            secrets.token_bytes(32),
        )
        signature = sign_statement(statement, task.chain_id, self._gateway)
        route = RouteRecord(
            hex0x(statement.struct_hash()), "plain", ("gateway", "node"), hex0x(self._key.address)
        )
        return candidates.encode(), statement.pack() + signature, route.encode()


def answering(task: Task, pipe: Connection) -> None:
    """A node's process: so many receipts for each (count, size, root), until told None."""
    node = Answering(task)
    with contextlib.suppress(EOFError):
        while (asked := pipe.recv()) is not None:
            pipe.send(node.entries(*asked))


class LongLog:
    """The log's own service over a home's store, without its port; and nodes that fill it."""

    def __init__(self, home: Path, per_ticket: int) -> None:
        self.home, self._per_ticket = home, per_ticket
        data = (home / "services" / "log" / "settings.json").read_bytes()
        settings = msgspec.json.decode(data, type=Settings)
        quotas = msgspec.structs.replace(Quotas(), receipts=MUCH, new=MUCH, all_new=MUCH, members=MUCH)
        key_file, store = str(home / "keys" / "log.ed25519"), home / "services" / "log" / "store.db"
        self._settings = msgspec.structs.replace(
            settings, quotas=quotas, key_file=key_file, database=sqlite_url(store)
        )
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        self._keys = [Key.generate() for _ in range(NODES)]

    async def grow(self, sizes: list[int], copies: Path) -> None:
        """Reach each size, and copy the home there."""
        async with self._served() as leader:
            founded = await self._founded(leader)
            await self._join(leader, founded)
        for size in sorted(sizes):
            started = time.process_time()
            async with self._served() as leader:
                before = leader.store.size
                await self._reach(leader, size - NODES)
                last = size == max(sizes)
                await self._retire(leader, founded, NODES if last else 0)
                if not last:
                    await self._reach(leader, size)
                each = (time.process_time() - started) * 1e6 / max(leader.store.size - before, 1)
                print(f"{leader.store.size:,} entries; the log took {each:.0f} us for each", flush=True)
            copied(self.home, copies / str(size))
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()

    @contextlib.asynccontextmanager
    async def _served(self) -> Any:
        service = LogService(self._settings)
        task = asyncio.ensure_future(service.run())
        while service.app.leader is None:
            if task.done():
                task.result()
            await asyncio.sleep(0.05)
        try:
            yield service.app.leader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            service.close()

    async def _founded(self, leader: Leader) -> Founded:
        entries = [decode(split_leaf(leaf)[1]) for leaf in await leader.store.leaves(0, leader.store.size)]
        nodes = [
            KeyBundle.decode(e.attachments[0])
            for e in entries
            if isinstance(e.statement, Registration) and e.statement.role == Role.NODE
        ]
        manifests = [Manifest.decode(e.attachments[0]) for e in entries if e.kind is Kind.VERSION]
        template = nodes[-1]
        loaded = tuple(m for m in manifests if m.artifact in template.artifacts)
        keys = self.home / "keys"
        return Founded(
            read_trust((self.home / "trust.toml").read_text()),
            Key(bytes.fromhex((keys / "gateway.secp256k1").read_text())),
            Key(bytes.fromhex((keys / "node-1-owner.secp256k1").read_text())),
            DevelopmentRoot.from_pem((keys / "development-root.pem").read_bytes()),
            next(node for node in nodes if unhex(node.owner) == self._owner().address) or template,
            loaded,
        )

    def _owner(self) -> Key:
        return Key(bytes.fromhex((self.home / "keys" / "node-1-owner.secp256k1").read_text()))

    async def _join(self, leader: Leader, founded: Founded) -> None:
        trust, template = founded.trust, founded.template
        bundles = [
            msgspec.structs.replace(
                template,
                endpoint=f"https://127.0.0.1:{20_000 + number}",
                signing_key=hex0x(key.address),
                tls_spki=hex0x(sha256(b"none", key.address)),
            )
            for number, key in enumerate(self._keys)
        ]
        for key, bundle in zip(self._keys, bundles, strict=True):
            await self._place(leader, [self._registration(leader, founded, key, bundle)])
        pairs = [(k.address, KeyBundle.digest(b)) for k, b in zip(self._keys, bundles, strict=True)]
        for number, key in enumerate(self._keys):
            task = Task(
                trust.network_id,
                trust.chain_id,
                key.secret,
                founded.gateway.secret,
                pairs[number][1],
                (pairs[number], *(p for p in pairs if p != pairs[number])),
                founded.manifests,
                bundles[number].mode,
                bundles[number].engine,
                self._per_ticket,
            )
            ours, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=answering, args=(task, theirs), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def _registration(self, leader: Leader, founded: Founded, key: Key, bundle: KeyBundle) -> bytes:
        size, now = leader.store.size, now_ms()
        root = leader.store.tree.root()
        registers = founded.trust.measurement[0].registers
        pcrs = {int(name.removeprefix("PCR")): unhex(value) for name, value in registers.items()}
        attester = NSMAttester(SecurityModule(founded.root, pcrs).transport(now_ms), "nitro-dev")
        document = bundle.encode()
        evidence = attester.attest(report_data(KeyBundle, document), evidence_nonce(size, root)).encode()
        statement = Registration(
            founded.trust.network_id,
            Role.NODE,
            key.address,
            founded.owner.address,
            bundle.digest(),
            sha256(evidence),
            size,
            root,
            now,
        )
        signatures = tuple(
            sign_statement(statement, founded.trust.chain_id, signer) for signer in (key, founded.owner)
        )
        return Entry(statement, signatures, (document, evidence)).encode()

    async def _reach(self, leader: Leader, size: int) -> None:
        """Receipts until the log has this size: each node makes the next ones while the log takes these."""
        loop, asked = asyncio.get_running_loop(), 0
        coming: list[asyncio.Task[None]] = []

        async def take(number: int, count: int) -> None:
            pipe = self._pipes[number]
            pipe.send((count, leader.store.size, leader.store.tree.root()))
            await self._place(leader, await loop.run_in_executor(None, pipe.recv))

        async def node(number: int, count: int) -> None:
            while count > 0:
                await take(number, min(BATCH, count))
                count -= BATCH

        missing = max(size - leader.store.size, 0)
        for number in range(NODES):
            share = missing // NODES + (number < missing % NODES)
            asked += share
            coming.append(loop.create_task(node(number, share)))
        await asyncio.gather(*coming)

    async def _retire(self, leader: Leader, founded: Founded, count: int) -> None:
        for key in self._keys[:count]:
            statement = Retirement(founded.trust.network_id, key.address, code("end_of_life"), now_ms())
            signature = sign_statement(statement, founded.trust.chain_id, founded.owner)
            await self._place(leader, [Entry(statement, (signature,), ()).encode()])

    async def _place(self, leader: Leader, entries: list[bytes]) -> None:
        for outcome in await leader.entrance.add_all(entries, SOURCE):
            if not isinstance(outcome, Placed):
                raise SystemExit(f"The log refused an entry: {outcome.reason}")


def copied(home: Path, copy: Path) -> None:
    """The home, at another place."""
    if copy.resolve() == home.resolve():
        return
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for part in home.iterdir():
        if part.name in FOUND_AGAIN:
            shutil.copytree(part, copy / part.name, copy_function=os.link, symlinks=True)
        elif part.is_dir():
            shutil.copytree(part, copy / part.name, symlinks=True)
        else:
            shutil.copy2(part, copy / part.name)


def main() -> None:
    """Parse the command line; make the log long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--copies", type=Path, required=True)
    parser.add_argument("--answers-per-ticket", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(LongLog(options.home, options.answers_per_ticket).grow(options.sizes, options.copies))


if __name__ == "__main__":
    main()
