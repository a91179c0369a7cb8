"""Configurations of enclaves, fetched once per key bundle.

The log holds only the digest of a node's configuration, inside its bundle. Without the document nobody knows
which checks it switched off, so a mark stays `claimed`. The gateway serves it beside a receipt of that node;
it counts when its digest is the bundle's, wherever it came from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
import sqlalchemy as sa

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import HallmarkError
from hallmark.core.receipt import Receipt
from hallmark.http.client import Pool, Timeouts
from hallmark.services.following.write_behind import CONFIGURATIONS, WriteBehind, prepare
from hallmark.store import Database
from hallmark.verification.fold import Replica

TIMEOUTS: Final = Timeouts(connect=2.0, head=10.0, idle=10.0)
PAUSE_S: Final = 0.25
LONGEST_S: Final = 60.0
TRIES: Final = 20
"""How often the gateway is asked by one receipt, after pauses that double: for a quarter of an hour."""
PLACES: Final = 8
"""How many receipts of one bundle are remembered to ask by."""


class _Documents(msgspec.Struct, frozen=True):
    configuration: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    documents: _Documents = _Documents()


class Configurations:
    """Documents by their digest. `want` names a receipt whose node's configuration is needed; `changed` is
    called with the digest of each that arrives.
    """

    def __init__(self, database: Database, replica: Replica, pool: Pool, gateway_url: str) -> None:
        prepare(database)
        self._writer = WriteBehind(database, CONFIGURATIONS)
        self._replica, self._pool, self._url = replica, pool, gateway_url.rstrip("/")
        query = sa.select(CONFIGURATIONS.c.digest, CONFIGURATIONS.c.document)
        rows = database.read(lambda c: list(c.execute(query)))
        self._known = {bytes(digest): bytes(document) for digest, document in rows}
        self._wanted: dict[bytes, OrderedDict[bytes, int]] = {}
        """By digest, receipts to ask by, and how often that was done."""
        self._wake = asyncio.Event()
        self.changed: list[Callable[[bytes], None]] = []

    def __len__(self) -> int:
        return len(self._known)

    @property
    def known(self) -> tuple[bytes, ...]:
        """Digests of the documents that are here."""
        return tuple(self._known)

    def of(self, receipt: Receipt) -> bytes:
        """The configuration of the enclave that signed a receipt; empty when it is not known here."""
        return self._known.get(self._digest(receipt), b"")

    def want(self, receipt: Receipt, receipt_id: bytes) -> None:
        """Ask for the configuration behind a receipt, unless it is known."""
        digest = self._digest(receipt)
        if not digest or digest in self._known:
            return
        places = self._wanted.setdefault(digest, OrderedDict())
        places.setdefault(receipt_id, 0)
        while len(places) > PLACES:
            places.popitem(last=False)
        self._wake.set()

    def put(self, document: bytes) -> bytes:
        """Keep a document; its digest. Raises InvalidInput `bad_document`."""
        EnclaveConfiguration.decode(document)
        digest = digest_of(EnclaveConfiguration, document)
        self._wanted.pop(digest, None)
        if digest not in self._known:
            self._known[digest] = document
            self._writer.put({"digest": digest, "document": document})
            for tell in self.changed:
                tell(digest)
        return digest

    async def run(self) -> None:
        """Fetch what is wanted and write it down, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._writer.run())
            pause = PAUSE_S
            while True:
                try:
                    async with asyncio.timeout(pause if self._wanted else None):
                        await self._wake.wait()
                    pause = PAUSE_S
                except TimeoutError:
                    pause = min(2 * pause, LONGEST_S)
                self._wake.clear()
                await self.fetch()
                if self._wanted:  # under load receipts come faster than the gateway is to be asked
                    await asyncio.sleep(PAUSE_S)

    async def fetch(self) -> None:
        """Ask the gateway once for each that is wanted, by the receipt that was asked by least. Log and
        quorum may have been faster than an answer's last bytes: a receipt that the gateway does not know yet
        is one to ask by again, and the only one where no other of that bundle ever comes.
        """
        for digest, places in list(self._wanted.items()):
            receipt_id = min(reversed(places), key=places.__getitem__)
            try:
                found = await self._ask(receipt_id)
            except HallmarkError:  # a gateway that does not answer at all is asked for ever
                continue
            if digest_of(EnclaveConfiguration, found) == digest:
                with contextlib.suppress(HallmarkError):
                    self.put(found)
            self._asked(digest, receipt_id)

    def _asked(self, digest: bytes, receipt_id: bytes) -> None:
        places = self._wanted.get(digest, OrderedDict())
        if receipt_id in places:
            places[receipt_id] += 1
            if places[receipt_id] >= TRIES:
                del places[receipt_id]
        if not places:
            self._wanted.pop(digest, None)

    async def _ask(self, receipt_id: bytes) -> bytes:
        url = f"{self._url}/v1/hallmark/receipts/{hex0x(receipt_id)}"
        async with self._pool.request("GET", url, timeouts=TIMEOUTS) as response:
            if response.status != 200:
                await response.read(65_536)
                return b""
            try:
                answer = msgspec.json.decode(await response.read(1 << 20), type=_Answer)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return b""
        return (answer.documents.configuration or "").encode()

    def _digest(self, receipt: Receipt) -> bytes:
        attested = self._replica.memory.attested.get((receipt.node, receipt.bundle))
        return unhex(attested.bundle.configuration) if attested is not None else b""
