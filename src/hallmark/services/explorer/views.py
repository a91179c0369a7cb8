"""What the explorer and the network page show. Every figure can be recomputed from the log, and says from
which leaves.

Times are unix ms, digests and addresses 0x-hex. `index` is a log position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hallmark.core.shown import ShownMark
from hallmark.services.explorer.network_views import NetworkPage
from hallmark.services.explorer.outcome_views import ReceiptOutcomes
from hallmark.services.explorer.payment_views import Money, PaymentViews
from hallmark.services.explorer.shared_views import (
    Fact,
    InputView,
    LineageStep,
    Moment,
    Origin,
    RouteView,
    Shown,
)

if TYPE_CHECKING:
    from hallmark.services.explorer.model_views import ExposurePage, ExposureTable, ModelCardPage, ModelList


class Listed(Shown, frozen=True):
    """A page of rows. `next` is the cursor of the next page or "", `size` the log's size that it was
    read at.
    """

    total: int
    next: str
    size: int


class ReceiptRow(Shown, frozen=True):
    """A receipt as a line. `gap_ms` is from the answer's last byte to when this explorer saw a quorum
    cover it; -1: not seen yet. `called` is what the operator calls the node, "" when nothing.
    """

    id: str
    index: int
    admitted: int
    finished: int
    node: str
    model: str
    artifact: str
    asserted_by: str
    mode: str
    tokens_in: int
    tokens_out: int
    gap_ms: int
    marks: tuple[ShownMark, ...]
    called: str = ""


class Receipts(Listed, frozen=True):
    """Receipts, newest first."""

    rows: tuple[ReceiptRow, ...]


class ReceiptPage(Shown, frozen=True):
    """The dossier as a page: the receipt in words, the marks, and what they rest on."""

    now: int
    row: ReceiptRow
    sentence: str
    facts: tuple[Fact, ...]
    timeline: tuple[Moment, ...]
    route: RouteView
    inputs: tuple[InputView, ...]
    inputs_note: str
    lineage: tuple[LineageStep, ...]
    failures: tuple[str, ...]
    dossier: str
    money: Money | None = None
    outcomes: ReceiptOutcomes | None = None


class CheckpointRow(Shown, frozen=True):
    """A cosigned checkpoint that this explorer saw."""

    size: int
    root: str
    signers: tuple[str, ...]
    of: int
    at: int
    anchored: str = ""


class Checkpoints(Listed, frozen=True):
    """Checkpoints, newest first."""

    rows: tuple[CheckpointRow, ...]


class CheckpointPage(Shown, frozen=True):
    """A checkpoint with the note's exact text; `facts` say what was verified here."""

    row: CheckpointRow
    note: str
    facts: tuple[Fact, ...]
    entries: tuple[Fact, ...]


class NodeRow(Shown, frozen=True):
    """A registered party of any role."""

    key: str
    name: str
    role: str
    owner: str
    since: int
    until: int
    standing: str
    assurance: str
    measurement: str
    capacity: int
    receipts: int
    faults: int


class Nodes(Listed, frozen=True):
    """Parties."""

    rows: tuple[NodeRow, ...]


class NodePage(Shown, frozen=True):
    """A party, its record and its newest receipts."""

    row: NodeRow
    facts: tuple[Fact, ...]
    history: tuple[Moment, ...]
    receipts: tuple[ReceiptRow, ...]


class ModelRow(Shown, frozen=True):
    """A label, and the artifact that it points to now."""

    label: str
    owner: str
    task: str
    version: str
    artifact: str
    versions: int
    receipts: int
    asserted: bool


class Models(Listed, frozen=True):
    """Labels."""

    rows: tuple[ModelRow, ...]


class ModelPage(Shown, frozen=True):
    """A label with its lineage."""

    row: ModelRow
    description: str
    facts: tuple[Fact, ...]
    lineage: tuple[LineageStep, ...]
    receipts: tuple[ReceiptRow, ...]
    origins: tuple[Origin, ...] = ()


class FaultRow(Shown, frozen=True):
    """A proven fault, or an objection (verdict) that stands. `evidence` is what `hallmark fault check` takes
    (0x-hex), empty where the bytes alone prove nothing.
    """

    index: int
    at: int
    kind: str
    culprit: str
    author: str
    subjects: tuple[int, ...]
    state: str
    sentence: str
    evidence: str = ""


class Faults(Listed, frozen=True):
    """Faults and objections, newest first."""

    rows: tuple[FaultRow, ...]


class MeasurementRow(Shown, frozen=True):
    """An image's measurement and the positions at which it counts (`until` -1: open). `nodes` have a newest
    key that claims it, `earlier` keys claimed it and were replaced or retired since.
    """

    digest: str
    name: str
    version: str
    evidence: str
    since: int
    until: int
    reason: str
    registers: dict[str, str]
    nodes: int
    earlier: int = 0


class Measurements(Listed, frozen=True):
    """Measurements."""

    rows: tuple[MeasurementRow, ...]


class EntryPage(Shown, frozen=True):
    """One log entry of any kind, in words and as bytes."""

    index: int
    admitted: int
    kind: str
    leaf_hash: str
    bytes: str
    facts: tuple[Fact, ...]
    failures: tuple[str, ...]
    link: str


class Found(Shown, frozen=True):
    """What a search gave. `kind` is receipt, node, artifact, manifest, measurement, checkpoint, entry,
    policy, model, item.
    """

    kind: str
    name: str
    link: str
    what: str


class Results(Shown, frozen=True):
    """A search's results; one result means that the page goes straight there."""

    query: str
    rows: tuple[Found, ...]


class LogFigures(Shown, frozen=True):
    """Figures that follow from leaves 0 to `size` alone; the browser recomputes them. Nearest-rank
    percentiles.
    """

    size: int
    root: str
    entries: dict[str, int]
    receipts_by_node: dict[str, int]
    receipts_by_artifact: dict[str, int]
    admission_gap_ms: dict[str, int]


class ExplorerView(Protocol):
    """What pages ask of the explorer. Raises NotFound `unknown_receipt`, `unknown_node`,
    `unknown_model`, `unknown_entry`,
    `unknown_checkpoint`, `unknown_measurement`.
    """

    @property
    def payments(self) -> PaymentViews:
        """Accounts, offers and settlements."""
        ...

    async def receipts(self, query: str, cursor: str, limit: int) -> Receipts:
        """Newest first, filtered by `node=`, `model=`, `artifact=`."""
        ...

    async def receipt(self, receipt: str) -> ReceiptPage:
        """One receipt."""
        ...

    async def dossier(self, receipt: str) -> bytes:
        """The receipt's public dossier, exact bytes of the `.hallmark.json` file."""
        ...

    async def checkpoints(self, cursor: str, limit: int) -> Checkpoints:
        """Newest first."""
        ...

    async def checkpoint(self, size: int) -> CheckpointPage:
        """One checkpoint."""
        ...

    async def nodes(self) -> Nodes:
        """Every party."""
        ...

    async def node(self, key: str) -> NodePage:
        """One party."""
        ...

    async def models(self) -> Models:
        """Every label."""
        ...

    async def model(self, label: str) -> ModelPage:
        """One label."""
        ...

    async def model_list(self, query: str, cursor: str, limit: int) -> ModelList:
        """Labels that match (`services.explorer.model_filter`), in the order of this hour, with who serves
        each now. What it gives is counted as shown.
        """
        ...

    async def exposure(self, days: int) -> ExposurePage:
        """Who was shown in which place how often."""
        ...

    async def exposure_of(self, period: int) -> ExposureTable:
        """One hour's table. Raises NotFound `unknown_period`."""
        ...

    async def model_card(self, label: str) -> ModelCardPage:
        """One label, with its artifacts and who serves it now."""
        ...

    async def faults(self, cursor: str, limit: int) -> Faults:
        """Newest first."""
        ...

    async def measurements(self) -> Measurements:
        """Every measurement."""
        ...

    async def entry(self, index: int) -> EntryPage:
        """One log entry."""
        ...

    async def leaves(self, start: int, end: int) -> bytes:
        """Leaves as a C2SP entry bundle (u16be length || leaf each); at most 4,096."""
        ...

    async def search(self, query: str) -> Results:
        """By any id, digest, address, log position, label; whole or a prefix of at least 6
        hexadecimal digits.
        """
        ...

    async def figures(self) -> LogFigures:
        """What the browser recomputes."""
        ...

    async def network(self, hours: int = 1) -> NetworkPage:
        """The network page, with what was observed over the last `hours`."""
        ...
