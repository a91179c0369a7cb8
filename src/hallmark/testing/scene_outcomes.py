"""What was said of answers, in a scene."""

from __future__ import annotations

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import unhex
from hallmark.discovery.attribution import NOT_SHOWN, WITHIN
from hallmark.discovery.record import Record
from hallmark.services.explorer.model_filter import Filter
from hallmark.services.explorer.model_views import (
    ExposurePage,
    ExposurePeriod,
    ExposureRow,
    ExposureTable,
    ModelLine,
    ModelList,
    ShownRow,
)
from hallmark.services.explorer.outcome_views import (
    ArtifactQuality,
    ReceiptOutcomes,
    RecordRow,
    SaidWord,
    Unknown,
    quality_words,
)
from hallmark.services.explorer.views import ModelRow
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import Scene, address, digest

HOUR = 498_000
KNOWN = Record(right=17, wrong=2, partly=1)


def row(scope: str, what: str, known: Record = KNOWN) -> RecordRow:
    """A thing with a record, and one stranger's word beside it."""
    return RecordRow(scope, what, "", known.right, known.wrong, known.partly, known.bound, others_wrong=1)


def told_quality() -> tuple[str, int | None]:
    """The record in words, and its bound."""
    return quality_words(row("artifact", "")), KNOWN.bound


def quality(scene: Scene) -> tuple[ArtifactQuality, ...]:
    """One artifact with a record and its parts, and one of which nobody said anything."""
    found = []
    for number, step in enumerate(reversed(parts.lineage(scene))):
        known = KNOWN if number == 0 else Record()
        pieces = (row("node", parts.node_key(0)), row("route", f"plain {address('gateway')}"))
        found.append(
            ArtifactQuality(
                step.artifact,
                blob_text(unhex(step.artifact)),
                step.version,
                step.now,
                step.index,
                step.at,
                step.index + 9 if number == 0 else -1,
                row("artifact", step.artifact, known),
                pieces if number == 0 else (),
            )
        )
    return tuple(found)


def words(scene: Scene) -> ReceiptOutcomes:
    """Two words on a receipt: a registered reviewer's that counts, and a stranger's that he took back."""
    return ReceiptOutcomes(
        "1 registered reviewer said of this answer: 1 wrong.",
        (
            SaidWord(
                1_080,
                scene.answered + 60_000,
                address("speaker"),
                "",
                True,
                "wrong",
                f"text {digest('told')}",
                True,
            ),
            SaidWord(
                1_079,
                scene.answered + 50_000,
                address("stranger"),
                "",
                False,
                "right",
                f"evaluation digits-1000, report {digest('report')}",
                False,
            ),
        ),
        (row("node", parts.node_key(0)), row("route", f"plain {address('gateway')}")),
        unknown=(Unknown("template", WITHIN), Unknown("data", NOT_SHOWN)),
    )


def listed(scene: Scene, row_of: ModelRow, size: int) -> ModelList:
    """A label in the place that is drawn."""
    line = ModelLine(
        row_of,
        scene.answered - 86_400_000,
        2,
        1,
        6,
        *told_quality(),
        words=20,
        place=3,
        drawn=True,
        modality="text",
        licence="apache-2.0",
        modes=("tee",),
    )
    facets = {"task": {"chat": 1}, "modality": {"text": 1}, "licence": {"apache-2.0": 1}}
    return ModelList(1, "", size, (line,), Filter(), digest("seed"), 1_000, HOUR, facets)


def exposure(scene: Scene, days: int) -> ExposurePage:
    """What was shown in one hour that is not over."""
    row = ExposureRow(parts.LABEL, "" if scene.asserted_by else digest("artifact"), 7, 7, 7)
    return ExposurePage(days, 7, (row,), (ExposurePeriod(HOUR, HOUR * 3_600_000, digest("seed"), ""),))


def exposed(scene: Scene, period: int) -> ExposureTable:
    """That hour's table."""
    row = ShownRow(parts.LABEL, "" if scene.asserted_by else digest("artifact"), 3, 7)
    told = ExposurePeriod(period, period * 3_600_000, digest("seed"), digest("table"))
    return ExposureTable(told, digest("before"), "{}", (row,))
