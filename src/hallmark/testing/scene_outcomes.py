"""What was said of answers, in a scene."""

from __future__ import annotations

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import unhex
from hallmark.discovery.record import Record
from hallmark.services.explorer.outcome_views import (
    ArtifactQuality,
    ReceiptOutcomes,
    RecordRow,
    SaidWord,
    quality_words,
)
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import Scene, address, digest

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
    )
