"""What `/models` and a model's page show: the label with its artifacts, who moved it, who serves it now.

Times are unix ms, digests and addresses 0x-hex, `index` a log position. What the gateway said is named so.
"""

from __future__ import annotations

from hallmark.services.explorer.model_filter import Filter
from hallmark.services.explorer.network_views import ModelPrice, Slots
from hallmark.services.explorer.outcome_views import ArtifactQuality, RecordRow
from hallmark.services.explorer.shared_views import Fact, LineageStep, Origin, Shown
from hallmark.services.explorer.views import Listed, ModelRow, ReceiptRow


class Server(Shown, frozen=True):
    """A present node that offers the model. `reason` is why it may not be asked ("": it may), judged here by
    the log; `answers` whether the gateway heard from it lately, by the gateway's word ("" not known). `slots`
    is its own word.
    """

    node: str
    name: str
    link: str
    mode: str
    slots: int
    reason: str
    sentence: str
    answers: str
    asserted: bool


class ModeNow(Shown, frozen=True):
    """Whether an answer of the model can be asked for in this mode now, by the gateway's word: `free` slots,
    and why it cannot ("": it can).
    """

    mode: str
    free: int
    reason: str


class Version(Shown, frozen=True):
    """What a label pointed to: an artifact by its blob ID (in both of its forms), with length in bytes,
    SHA-256 and form, by a manifest that `signed_by` signed. `receipts` is how many name that manifest.
    """

    version: str
    artifact: str
    blob: str
    sha256: str
    size: int
    form: str
    manifest: str
    index: int
    at: int
    signed_by: str
    receipts: int
    now: bool


class ModelLine(Shown, frozen=True):
    """A label in the list. `nodes` offer it, `eligible` of them may be asked by the log, `idle` slots are
    free by the gateway's word (-1: it does not answer). `quality` is the record of the artifact that it
    points to now in words, `bound` its lower bound in parts per million (None: unknown), of so many `words`.
    `modes` are those in which it can be answered now, `licence` is the hub's word.
    """

    row: ModelRow
    since: int
    nodes: int
    eligible: int
    idle: int
    quality: str
    bound: int | None = None
    words: int = 0
    place: int = 0
    drawn: bool = False
    modality: str = ""
    licence: str = ""
    modes: tuple[str, ...] = ()


class ModelList(Listed, frozen=True):
    """Labels that match `asked`, in the order of an hour: by the lower bound of what is known of each, with
    drawn places (`place`, counted from 1; `drawn`) for newcomers. The draw's `seed` is of the log's root at
    `seed_size`; `period` is the hour since 1970. `facets` are values that there are, with how many have each.
    `available_known` says whether the gateway answered.
    """

    rows: tuple[ModelLine, ...]
    asked: Filter = Filter()
    seed: str = ""
    seed_size: int = 0
    period: int = 0
    facets: dict[str, dict[str, int]] = {}
    available_known: bool = True


class ExposureRow(Shown, frozen=True):
    """A label's part of what was shown: how often at all, in the first ten places, and in drawn places."""

    label: str
    artifact: str
    shown: int
    first_ten: int
    drawn: int


class ExposurePeriod(Shown, frozen=True):
    """An hour since 1970: when it began, the seed of its order, the digest of its table ("": not over)."""

    period: int
    began: int
    seed: str
    digest: str


class ExposurePage(Shown, frozen=True):
    """Who was shown in which place how often, over `days` days; `periods` are the newest hours."""

    days: int
    total: int
    rows: tuple[ExposureRow, ...]
    periods: tuple[ExposurePeriod, ...]


class ShownRow(Shown, frozen=True):
    """A label in a place (0: further down than is told apart), and how often."""

    label: str
    artifact: str
    place: int
    count: int


class ExposureTable(Shown, frozen=True):
    """One hour's table as a document: `document` is its exact bytes, of which `digest` is the digest."""

    period: ExposurePeriod
    before: str
    document: str
    rows: tuple[ShownRow, ...]


class ModelCardPage(Shown, frozen=True):
    """One label. `servers` and `slots` say who serves it now, `told` in a sentence what the gateway said of
    that; `quality` is what was said of answers of the artifact that it points to now, with its bound, or
    "unknown", `quality_told` who is counted and where the record begins. `records` are all artifacts that it
    ever pointed to, newest first, each with its own; `asserted` what was said of a provider's answers.
    `licence` is that of the card in the hub ("": none), `repository` where that stands.
    `modes` are all modes, each with what is free now; none where the gateway does not answer.
    """

    row: ModelRow
    description: str
    quality: str
    quality_told: str
    told: str
    facts: tuple[Fact, ...]
    versions: tuple[Version, ...]
    lineage: tuple[LineageStep, ...]
    servers: tuple[Server, ...]
    slots: tuple[Slots, ...]
    prices: tuple[ModelPrice, ...]
    receipts: tuple[ReceiptRow, ...]
    records: tuple[ArtifactQuality, ...] = ()
    asserted: RecordRow | None = None
    licence: str = ""
    repository: str = ""
    modes: tuple[ModeNow, ...] = ()
    origins: tuple[Origin, ...] = ()
