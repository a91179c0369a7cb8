"""The explorer: what pages ask of it, each question answered by the file that knows.

It reads a `FollowedLog`, keeps an index of it, and asks nobody else but the gateway for capacity.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Kind, decode, split_leaf
from hallmark.core.errors import InvalidInput, NotFound, TooLarge
from hallmark.http.client import Pool
from hallmark.http.health import Health, ready
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, VerifiedCheckpoint
from hallmark.ledger.tiles import encode_bundle
from hallmark.services.chain.rpc import RPC
from hallmark.services.explorer import (
    checkpoints,
    faults,
    links,
    models,
    outcomes,
    parties,
    proofs,
    receipts,
)
from hallmark.services.explorer.entries import words_of
from hallmark.services.explorer.filters import END, ID, KEY, Where, matches, position_of, where_of
from hallmark.services.explorer.health_probe import HealthProbe
from hallmark.services.explorer.index import Index
from hallmark.services.explorer.leaf_reader import read, subjects
from hallmark.services.explorer.licences import Licences
from hallmark.services.explorer.model_pages import Showing
from hallmark.services.explorer.model_views import ExposurePage, ExposureTable, ModelCardPage, ModelList
from hallmark.services.explorer.network import Network
from hallmark.services.explorer.network_views import NetworkPage
from hallmark.services.explorer.payments import Payments
from hallmark.services.explorer.receipt_context import ReceiptContext, of_logged, of_pending
from hallmark.services.explorer.search import Search
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.trust_gap import NEWEST, Measured
from hallmark.services.explorer.vault_reader import VaultReader
from hallmark.services.explorer.views import (
    CheckpointPage,
    Checkpoints,
    EntryPage,
    Faults,
    LogFigures,
    Measurements,
    ModelPage,
    Models,
    NodePage,
    Nodes,
    ReceiptPage,
    ReceiptRow,
    Receipts,
    Results,
)
from hallmark.services.following.followed_log import FollowedLog
from hallmark.store import Database
from hallmark.verification.reasons import sentence_of

MAX_LEAVES: Final = 4_096
MAX_ROWS: Final = 200
SHOWN: Final = 25
SETTLE_S: Final = 2.0
FAULT_KINDS: Final = (Kind.VERDICT, Kind.FAULT)


class Explorer:
    """Implements `ExplorerView`. Make it before `watch.run`, which feeds it; `run` writes its index."""

    def __init__(
        self,
        watch: FollowedLog,
        database: Database,
        *,
        policy: Policy,
        pool: Pool,
        gateway_url: str,
        urls: Mapping[str, str] | None = None,
        health: Callable[[], Health] = ready,
        rpc: RPC | None = None,
        hub_url: str = "",
    ) -> None:
        self._watch, self._clock = watch, watch.clock
        self._index = Index(database)
        self._measured = Measured(watch.clock)
        self._rests = proofs.Rests(watch)
        self._search = Search(watch, self._index)
        chain_id = watch.replica.genesis.chain_id
        self.payments = Payments(watch, self._index, VaultReader(rpc, watch.clock), chain_id, watch.clock)
        asked = {name: (name, url) for name, url in (urls or {}).items() if url}
        asked["gateway"] = ("gateway", gateway_url)
        asked |= {w.name: ("full node", w.url) for w in policy.witnesses if w.url}
        self._network = Network(
            watch,
            self._measured,
            policy,
            pool=pool,
            gateway_url=gateway_url,
            hearing=HealthProbe(pool, asked, watch.clock),
            health=health,
        )
        self.showing = Showing(watch, self._index, database, self._network.ask, Licences(pool, hub_url))
        watch.follower.taps += (self._take, self._rests.take)
        watch.follower.flushes.append(self.flush)
        watch.follower.durable.append(lambda: self._index.size)
        watch.follower.resumed.append(self._resumed)
        if watch.follower.keeper is not None:
            watch.follower.keeper.beside[b"rests"] = self._rests
        watch.follower.heads += (self._measured.take, self._head)
        self._settled = asyncio.Event()
        """Set while everything that is folded is covered by a checkpoint that was taken."""

    async def run(self) -> None:
        """Write the index and what was shown, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._index.run())
            group.create_task(self.showing.run())

    async def flush(self) -> None:
        """Bring the index to the disk now."""
        await self._index.flush()

    # receipts

    async def receipts(self, query: str, cursor: str, limit: int) -> Receipts:
        """See `ExplorerView`; raises InvalidInput `bad_filter`, `bad_cursor`."""
        wanted, most = where_of(query), max(1, min(limit, MAX_ROWS))
        below = position_of(cursor)
        found = self._tail(wanted, below)[: most + 1]
        positions = await self._index.receipts(wanted, below, most + 1 - len(found))
        found += [of_logged(self._watch.judge.logged(at)) for at in positions if self._folded(at)]
        total = await self._total(wanted)
        following = str(found[most - 1].said) if len(found) > most else ""
        return Receipts(total, following, self._watch.replica.size, await self._rows(found[:most]))

    async def receipt(self, receipt: str) -> ReceiptPage:
        """See `ExplorerView`."""
        told = self.told(receipt)
        found = receipts.page(self._watch, told, self._clock())
        said = await outcomes.of_receipt(self._watch, self._index, told)
        return msgspec.structs.replace(found, money=await self.payments.money(told), outcomes=said)

    async def dossier(self, receipt: str) -> bytes:
        """See `ExplorerView`."""
        return await proofs.dossier(self._watch, self._rests, self.told(receipt))

    def told(self, receipt: str) -> ReceiptContext:
        """The receipt of an id (0x-hex), logged or in the log's tail. Raises NotFound `unknown_receipt`."""
        if not ID.fullmatch(receipt):
            raise NotFound("unknown_receipt", "A receipt's id is 0x and 64 lower-case hexadecimal digits.")
        receipt_id = unhex(receipt)
        pending = self._watch.tail.get(receipt_id)
        if pending is not None:
            return of_pending(pending)
        return of_logged(self._watch.judge.logged(self._watch.judge.position(receipt_id)))

    # checkpoints, parties, models

    async def checkpoints(self, cursor: str, limit: int) -> Checkpoints:
        """See `ExplorerView`; raises InvalidInput `bad_cursor`."""
        return checkpoints.listed(self._watch, position_of(cursor), max(1, min(limit, MAX_ROWS)))

    async def checkpoint(self, size: int) -> CheckpointPage:
        """See `ExplorerView`."""
        return await checkpoints.page(self._watch, size)

    async def nodes(self) -> Nodes:
        """See `ExplorerView`."""
        return parties.listed(self._watch, self._index.tally.by_node)

    async def node(self, key: str) -> NodePage:
        """See `ExplorerView`."""
        if not KEY.fullmatch(key):
            raise NotFound("unknown_node", "A key is 0x and 40 lower-case hexadecimal digits.")
        member = parties.member_of(self._watch, unhex(key))
        row = parties.row(self._watch, member, self._index.tally.of("node", member.key))
        found = await self._index.about(member.key, SHOWN * 2)
        history = parties.history(self._watch, [at for at in found if self._is_about(at, member.key)])
        newest = await self._newest({"node": member.key})
        return NodePage(row, parties.facts(member), history, newest)

    async def models(self) -> Models:
        """See `ExplorerView`."""
        return models.listed(self._watch, self._index.tally.by_label)

    async def model(self, label: str) -> ModelPage:
        """See `ExplorerView`."""
        newest = await self._newest({"label": label.encode()})
        return models.page(self._watch, label, self._index.tally, newest)

    async def model_list(self, query: str, cursor: str, limit: int) -> ModelList:
        """See `ExplorerView`; raises InvalidInput `bad_filter`, `bad_cursor`."""
        return await self.showing.listed(query, cursor, limit)

    async def model_card(self, label: str) -> ModelCardPage:
        """See `ExplorerView`."""
        newest = await self._newest({"label": label.encode()})
        return await self.showing.card(label, newest)

    async def exposure(self, days: int) -> ExposurePage:
        """See `ExplorerView`."""
        return await self.showing.exposure(days)

    async def exposure_of(self, period: int) -> ExposureTable:
        """See `ExplorerView`."""
        return await self.showing.exposure_of(period)

    async def measurements(self) -> Measurements:
        """See `ExplorerView`."""
        return models.measurements(self._watch)

    # entries

    async def faults(self, cursor: str, limit: int) -> Faults:
        """See `ExplorerView`; raises InvalidInput `bad_cursor`. A page may hold fewer rows than `limit`:
        entries that do not hold accuse nobody. `total` counts all of them.
        """
        most = max(1, min(limit, MAX_ROWS))
        found = await self._index.of_kinds(FAULT_KINDS, position_of(cursor), most + 1)
        folded = [at for at in found if self._folded(at)]
        following = str(folded[most - 1]) if len(folded) > most else ""
        total = sum(self._index.tally.of("kind", kind.name.lower().encode()) for kind in FAULT_KINDS)
        rows = faults.rows(self._watch, folded[:most])
        return Faults(total, following, self._watch.replica.size, rows)

    async def entry(self, index: int) -> EntryPage:
        """See `ExplorerView`; `bytes` are the leaf's, of which `leaf_hash` is the RFC 6962 leaf hash."""
        if not self._folded(index):
            raise NotFound("unknown_entry", f"The log was read up to {self._watch.replica.size} entries.")
        leaf = self._watch.leaves.leaf(index)
        admitted, data = split_leaf(leaf)
        entry = decode(data)
        told = words_of(entry)
        return EntryPage(
            index,
            admitted,
            entry.kind.name.lower(),
            hex0x(self._watch.replica.leaf_hash(index)),
            hex0x(leaf),
            (Fact("In words", told.sentence), *told.facts),
            tuple(sentence_of(reason) for reason in self._watch.replica.failures(index)),
            told.link if told.link != links.entry(index) else "",
        )

    async def leaves(self, start: int, end: int) -> bytes:
        """See `ExplorerView`; raises InvalidInput `bad_range`, TooLarge `too_many_leaves`, NotFound
        `unknown_entry`.
        """
        if not 0 <= start <= end:
            raise InvalidInput("bad_range", "A range of leaves is 0 <= start <= end.")
        if end - start > MAX_LEAVES:
            raise TooLarge("too_many_leaves", f"At most {MAX_LEAVES} leaves at a time.")
        return encode_bundle(await self._watch.leaves.read(start, end))

    async def search(self, query: str) -> Results:
        """See `ExplorerView`."""
        return await self._search.find(query)

    async def figures(self) -> LogFigures:
        """See `ExplorerView`: of everything that was read, up to a checkpoint that was seen here. While a
        process reads again what one before it had read, the root is not known.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._settled.wait()
        replica, size = self._watch.replica, self._index.size
        root = hex0x(replica.root(size)) if size <= replica.size else ""
        return self._index.tally.figures(size, root)

    async def network(self, hours: int = 1) -> NetworkPage:
        """See `ExplorerView`."""
        return await self._network.page(self._clock(), hours)

    def _head(self, _verified: VerifiedCheckpoint, _note: Note) -> None:
        self._settled.set()

    def _resumed(self, size: int) -> None:
        """What is measured of the newest receipts is not kept: they are read again."""
        for position in range(max(size - NEWEST, 0), size):
            _, answer = read(self._watch, position)
            if answer is not None:
                self._measured.receipt(answer.finished, answer.saw)

    def _take(self, position: int, leaf: bytes) -> None:
        """The tap: count, measure and index one folded leaf."""
        self._settled.clear()
        self.showing.take(leaf)
        row, answer = read(self._watch, position)
        self._index.put(row)
        if answer is not None:
            self._measured.receipt(answer.finished, answer.saw)

    def _is_about(self, position: int, subject: bytes) -> bool:
        return self._folded(position) and subject in subjects(self._watch.leaves.entry(position)[1])

    def _folded(self, position: int) -> bool:
        return 0 <= position < self._watch.replica.size

    def _tail(self, wanted: Where, below: int) -> list[ReceiptContext]:
        found = [of_pending(p) for p in reversed(self._watch.tail.receipts) if p.position < below]
        return [told for told in found if matches(self._watch, told, wanted)]

    async def _total(self, wanted: Where) -> int:
        tail = len(self._tail(wanted, END))
        return tail + (await self._index.count(wanted) if wanted else self._index.tally.receipts)

    async def _newest(self, wanted: Where) -> tuple[ReceiptRow, ...]:
        found = self._tail(wanted, END)[:SHOWN]
        positions = await self._index.receipts(wanted, END, SHOWN - len(found))
        found += [of_logged(self._watch.judge.logged(at)) for at in positions if self._folded(at)]
        return await self._rows(found)

    async def _rows(self, found: list[ReceiptContext]) -> tuple[ReceiptRow, ...]:
        rows, now = [], self._clock()
        for told in found:
            rows.append(receipts.row(self._watch, told, now))
            # A page of rows must not hold up what is followed meanwhile.
            await asyncio.sleep(0)
        return tuple(rows)
