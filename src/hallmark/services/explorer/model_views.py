"""What `/models` and a model's page show: the label with its artifacts, who moved it, who serves it now.

Times are unix ms, digests and addresses 0x-hex, `index` a log position. What the gateway said is named so.
"""

from __future__ import annotations

from hallmark.services.explorer.network_views import ModelPrice, Slots
from hallmark.services.explorer.outcome_views import ArtifactQuality, RecordRow
from hallmark.services.explorer.shared_views import Fact, LineageStep, Shown
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
    points to now in words, `bound` its lower bound in parts per million (None: unknown).
    """

    row: ModelRow
    since: int
    nodes: int
    eligible: int
    idle: int
    quality: str
    bound: int | None = None


class ModelList(Listed, frozen=True):
    """Labels, in alphabetical order and in no other."""

    rows: tuple[ModelLine, ...]


class ModelCardPage(Shown, frozen=True):
    """One label. `servers` and `slots` say who serves it now, `told` in a sentence what the gateway said of
    that; `quality` is what was said of answers of the artifact that it points to now, with its bound, or
    "unknown", `quality_told` who is counted and where the record begins. `records` are all artifacts that it
    ever pointed to, newest first, each with its own; `asserted` what was said of a provider's answers.
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
