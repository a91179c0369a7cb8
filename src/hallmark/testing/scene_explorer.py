"""The explorer of a scene: complete views without a log."""

from __future__ import annotations

import msgspec

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import unhex
from hallmark.core.errors import NotFound
from hallmark.core.marks import State
from hallmark.core.shown import ShownMark
from hallmark.services.explorer.model_cards import COUNTED
from hallmark.services.explorer.model_views import (
    ExposurePage,
    ExposureTable,
    ModelCardPage,
    ModelList,
    ModeNow,
    Server,
    Version,
)
from hallmark.services.explorer.network_views import (
    Bin,
    Failed,
    FullNodeSeen,
    ModelPrice,
    NetworkPage,
    Slots,
    TakesSealed,
)
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.views import (
    CheckpointPage,
    CheckpointRow,
    Checkpoints,
    EntryPage,
    FaultRow,
    Faults,
    Found,
    LogFigures,
    MeasurementRow,
    Measurements,
    ModelPage,
    ModelRow,
    Models,
    NodePage,
    NodeRow,
    Nodes,
    ReceiptPage,
    ReceiptRow,
    Receipts,
    Results,
)
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import REACHED, Scene, address, digest, marks_of
from hallmark.testing.scene_network import observed, parties
from hallmark.testing.scene_outcomes import exposed, exposure, listed, quality, told_quality, words
from hallmark.testing.scene_payments import OFFER, ScenePayments, money

SIZE = 1_088


class SceneExplorer:
    """An `ExplorerView`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.payments = ScenePayments(scene)

    def _marks(self) -> tuple[ShownMark, ...]:
        return marks_of(self.scene)

    def row(self, number: int = 0) -> ReceiptRow:
        """The n-th receipt."""
        scene = self.scene
        proved = scene.marks.get("proved", "absent") in ("witnessed", "anchored")
        asserted = bool(scene.asserted_by)
        row = ReceiptRow(
            parts.item_id(number),
            scene.index - number if scene.index >= 0 else -1,
            scene.answered + 6,
            scene.answered,
            parts.node_key(),
            parts.LABEL,
            "" if asserted else parts.artifact(),
            scene.asserted_by,
            "tee",
            412,
            187,
            18 if proved else -1,
            self._marks(),
            "node-1",
        )
        return scene.poisoned(row) if not scene.poison else self._kept(row, id=row.id, node=row.node)

    def _kept(self, row: ReceiptRow, **same: str) -> ReceiptRow:
        return msgspec.structs.replace(self.scene.poisoned(row), **same)

    async def receipts(self, query: str, cursor: str, limit: int) -> Receipts:  # noqa: ARG002
        """The scene's receipts."""
        start = int(cursor or 0)
        rows = tuple(self.row(number) for number in range(self.scene.items))[start : start + limit]
        following = str(start + limit) if start + limit < self.scene.items else ""
        return Receipts(self.scene.items, following, SIZE, rows)

    async def receipt(self, receipt: str) -> ReceiptPage:
        """Any of them. Raises NotFound `unknown_receipt`."""
        numbers = {parts.item_id(number): number for number in range(self.scene.items)}
        if receipt not in numbers:
            raise NotFound("unknown_receipt", "There is no receipt with this id here.")
        scene = self.scene
        page = ReceiptPage(
            scene.now,
            self.row(numbers[receipt]),
            "The marks as this explorer derives them from the log, 1 088 entries long.",
            parts.facts(scene),
            parts.timeline(scene),
            parts.route(scene),
            parts.inputs(scene),
            ""
            if scene.memory
            else "The receipt names no attachment, tool result, outside data or memory row.",
            parts.lineage(scene),
            (),
            f"/explore/receipts/{receipt}.hallmark.json",
            money(scene),
            words(scene),
        )
        shown = scene.poisoned(page)
        return msgspec.structs.replace(
            shown, row=page.row, dossier=page.dossier, money=page.money, outcomes=page.outcomes
        )

    async def dossier(self, receipt: str) -> bytes:
        """Bytes of a file that is no dossier of anything."""
        await self.receipt(receipt)
        return msgspec.json.encode({"format": "hallmark.dossier/scene", "id": receipt})

    def _checkpoint(self, size: int) -> CheckpointRow:
        full = ("a.hallmark.test", "b.hallmark.test", "c.hallmark.test")
        row = CheckpointRow(size, digest("root", size), full, 4, self.scene.answered + 18)
        return self.scene.poisoned(row)

    async def checkpoints(self, cursor: str, limit: int) -> Checkpoints:  # noqa: ARG002
        """Three of them."""
        return Checkpoints(3, "", SIZE, tuple(self._checkpoint(SIZE - 10 * n) for n in range(3))[:limit])

    async def checkpoint(self, size: int) -> CheckpointPage:
        """Any size up to the log's. Raises NotFound `unknown_checkpoint`."""
        if not 0 < size <= SIZE:
            raise NotFound("unknown_checkpoint", "No cosigned checkpoint of this size was seen here.")
        facts = (Fact("Quorum", "3 of 4 full nodes, as the trust file asks"),)
        note = f"hallmark.test/log\n{size}\nq83vEjRWeJA=\n"
        page = CheckpointPage(
            self._checkpoint(size), note, facts, (Fact("receipt", "1", "/explore/entries/1"),)
        )
        return self.scene.poisoned(page) if self.scene.poison else page

    def _node(self, number: int = 0) -> NodeRow:
        row = NodeRow(
            parts.node_key(number),
            "node alpha",
            "node",
            address("owner"),
            12,
            -1,
            "active",
            self.scene.assurance,
            digest("measurement"),
            8,
            self.scene.items,
            0,
        )
        return msgspec.structs.replace(self.scene.poisoned(row), key=row.key)

    async def nodes(self) -> Nodes:
        """Three nodes."""
        return Nodes(3, "", SIZE, tuple(self._node(n) for n in range(3)))

    async def node(self, key: str) -> NodePage:
        """The first node under any of the three keys. Raises NotFound `unknown_node`."""
        numbers = {parts.node_key(n): n for n in range(3)}
        if key not in numbers:
            raise NotFound("unknown_node", "There is no party with this key.")
        facts = (Fact("Endpoint", "https://node.example"),)
        page = NodePage(self._node(numbers[key]), facts, parts.timeline(self.scene)[:1], (self.row(),))
        return msgspec.structs.replace(self.scene.poisoned(page), row=page.row, receipts=page.receipts)

    def _model(self) -> ModelRow:
        asserted = bool(self.scene.asserted_by)
        artifact = "" if asserted else parts.artifact()
        return ModelRow(parts.LABEL, address("owner"), "chat", "3", artifact, 3, self.scene.items, asserted)

    async def models(self) -> Models:
        """One label."""
        return Models(1, "", SIZE, (self._model(),))

    async def model(self, label: str) -> ModelPage:
        """That label. Raises NotFound `unknown_model`."""
        if label != parts.LABEL:
            raise NotFound("unknown_model", "There is no such label.")
        lineage, facts = parts.lineage(self.scene), (Fact("Task", "chat"),)
        rows, made = (self.row(),), parts.origins()
        page = ModelPage(self._model(), "A small model for tests.", facts, lineage, rows, made)
        return msgspec.structs.replace(self.scene.poisoned(page), row=page.row, receipts=rows, origins=made)

    def _servers(self) -> tuple[Server, ...]:
        """A node that may be asked, and one that may not."""
        named = (self.scene.marks.get("ran") == "revoked", bool(self.scene.asserted_by))
        left = "measurement_revoked" if named[0] else "evidence_stale"
        told = (("", "", "answers"), (left, "Its evidence is older than the policy allows.", ""))
        return tuple(
            Server(
                parts.node_key(n),
                f"node-{n + 1}",
                f"/explore/nodes/{parts.node_key(n)}",
                "tee",
                8,
                reason,
                why,
                heard,
                named[1],
            )
            for n, (reason, why, heard) in enumerate(told)
        )

    async def model_list(self, query: str, cursor: str, limit: int) -> ModelList:  # noqa: ARG002
        """That label, in a drawn place."""
        return listed(self.scene, self._model(), SIZE)

    async def exposure(self, days: int) -> ExposurePage:
        """One hour in which it was shown."""
        return exposure(self.scene, days)

    async def exposure_of(self, period: int) -> ExposureTable:
        """That hour."""
        return exposed(self.scene, period)

    async def model_card(self, label: str) -> ModelCardPage:
        """That label. Raises NotFound `unknown_model`."""
        known = await self.model(label)
        versions = tuple(
            Version(
                step.version,
                step.artifact,
                blob_text(unhex(step.artifact)),
                step.sha256,
                1_048_576,
                "genai",
                step.manifest,
                step.index,
                step.at,
                address("owner"),
                4,
                step.now,
            )
            for step in reversed(parts.lineage(self.scene))
        )
        page = ModelCardPage(
            known.row,
            "A small model for tests.",
            told_quality()[0],
            COUNTED,
            "2 nodes offer it, of which 1 may be asked by what the log holds.",
            known.facts,
            versions,
            parts.lineage(self.scene),
            self._servers(),
            (Slots(parts.LABEL, "tee", 6, 2, 8, 0, {"evidence_stale": 8}),),
            (ModelPrice(parts.LABEL, "0.20 DEV for a million tokens out", "", OFFER),),
            (self.row(),),
            records=quality(self.scene),
            licence="" if known.row.asserted else "apache-2.0",
            modes=(ModeNow("tee", 6, ""), ModeNow("zkml", 0, "Nothing makes zkml answers yet.")),
            repository="" if known.row.asserted else "hallmark/a-model",
            origins=parts.origins(),
        )
        kept = {
            "row": page.row,
            "receipts": page.receipts,
            "servers": page.servers,
            "versions": page.versions,
            "origins": page.origins,
        }
        return msgspec.structs.replace(self.scene.poisoned(page), **kept)

    async def faults(self, cursor: str, limit: int) -> Faults:  # noqa: ARG002
        """One objection."""
        row = FaultRow(
            1_050,
            self.scene.answered + REACHED[State.DISPUTED],
            "verdict",
            parts.node_key(),
            address("full node"),
            (self.scene.index,),
            "disputed",
            "A full node says that the receipt's route ticket does not name its node.",
        )
        return Faults(1, "", SIZE, (self.scene.poisoned(row),))

    async def measurements(self) -> Measurements:
        """One measurement, revoked when the scene says so."""
        revoked = self.scene.marks.get("ran") == "revoked"
        row = MeasurementRow(
            digest("measurement"),
            "enclave",
            "1.4",
            "nitro-simulated",
            3,
            1_060 if revoked else -1,
            "image_withdrawn" if revoked else "",
            {"pcr0": digest("pcr0")},
            1,
        )
        return Measurements(1, "", SIZE, (self.scene.poisoned(row),))

    async def entry(self, index: int) -> EntryPage:
        """Any position below the size. Raises NotFound `unknown_entry`."""
        if not 0 <= index < SIZE:
            raise NotFound("unknown_entry", "The log is not that long.")
        link = f"/explore/receipts/{parts.item_id()}"
        page = EntryPage(
            index,
            self.scene.answered,
            "receipt",
            digest("leaf", index),
            "0x0108",
            parts.facts(self.scene),
            (),
            link,
        )
        return msgspec.structs.replace(self.scene.poisoned(page), link=link)

    async def leaves(self, start: int, end: int) -> bytes:  # noqa: ARG002
        """One leaf of two bytes."""
        return b"\x00\x02\x01\x08"

    async def search(self, query: str) -> Results:
        """Two things, or none for "nothing"."""
        if query == "nothing":
            return Results(query, ())
        found = (
            Found("receipt", parts.item_id(), f"/explore/receipts/{parts.item_id()}", "A receipt."),
            Found("node", "node alpha", f"/explore/nodes/{parts.node_key()}", "A node."),
        )
        return self.scene.poisoned(Results(query, found))

    async def figures(self) -> LogFigures:
        """Figures of the log."""
        entries = {"receipt": 1_000, "registration": 9, "policy": 3}
        return LogFigures(
            SIZE,
            digest("root", SIZE),
            entries,
            {parts.node_key(): 1_000},
            {parts.artifact(): 1_000},
            {"p50": 6, "p99": 21},
        )

    async def network(self, hours: int = 1) -> NetworkPage:
        """Capacity, failures and the trust gap."""
        witnessed = self.scene.marks.get("proved", "absent") in ("witnessed", "anchored")
        page = NetworkPage(
            self.scene.now,
            (
                Slots(parts.LABEL, "tee", 5, 2, 4, 1, {"measurement_revoked": 4}),
                Slots("asserted-chat", "vanilla", 8, 0, 0, 0, {}),
            ),
            (
                Failed(
                    parts.LABEL, "timed_out", "The node gave no answer in time.", 3, self.scene.now - 60_000
                ),
            ),
            18 if witnessed else -1,
            74 if witnessed else -1,
            400 if witnessed else 0,
            (Bin(0, 10, 12), Bin(10, 20, 240), Bin(20, 50, 130), Bin(50, 100, 18)) if witnessed else (),
            0 if witnessed else 46,
            0 if witnessed else self.scene.answered,
            0,
            SIZE,
            SIZE if witnessed else SIZE - 46,
            self.scene.answered + 18,
            (
                FullNodeSeen("a.hallmark.test", "", SIZE, self.scene.now - 2_000, 0, newest=True),
                FullNodeSeen("d.hallmark.test", "", SIZE - 46, self.scene.now - 60_000, 46, newest=False),
                FullNodeSeen("e.hallmark.test", "", 0, 0, 0, newest=False),
            ),
            (Fact("node alpha", "52.0 %"), Fact("node beta", "48.0 %")),
            "7 of 20 slots that nodes say they have can take a request now.",
            signed=SIZE,
            parties=parties(self.scene.now),
            trouble="Not ready: d.hallmark.test: silent, no_answer.",
            gateway_answers=True,
            observed=observed(self.scene.now, hours),
            sealed=(
                TakesSealed(
                    "node alpha",
                    f"/explore/nodes/{parts.node_key()}",
                    parts.node_key(),
                    digest("root"),
                    17,
                    self.scene.now + 3_600_000,
                ),
            ),
            prices=(ModelPrice(parts.LABEL, "0.15 DEV for a million tokens in", "nothing", OFFER),),
        )
        return self.scene.poisoned(page)
