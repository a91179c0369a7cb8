"""Every artifact that a label pointed to: what the gateway lists, and what the log proves of it.

With a trust file a step is `proven` when none of it is the gateway's word:

1. The label's publication stands in the log, below a quorum's checkpoint, signed by its card's owner.
2. The version's entry stands there too, signed by that owner, for this manifest of this card.
3. The manifest names the one before it, and the first names none: no step is left out.

What nobody can prove is that there is no newer one: the list is as of the log's size that the gateway names.
Of two versions that an owner signed to replace the same one, full nodes take the first alone
(`lineage_broken`); a list that hides the first cannot be told from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.statements import Publication, Version
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.services.sdk.offers import logged_entry
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import LoggedPart

S = TypeVar("S", Publication, Version)


class ModelVersion(msgspec.Struct, frozen=True):
    """A step: from log `position` on, admitted at `at` (unix ms; 0: not shown), the label meant `artifact`
    (0x-hex), by the word of its owner `by` (0x-hex). `moved`: the step before had another artifact.
    """

    version: str
    artifact: str
    sha256: str
    size: int
    manifest: str
    position: int
    at: int
    by: str
    moved: bool
    proven: bool


class ModelHistory(msgspec.Struct, frozen=True):
    """A label: who owns it, what its card says, and its versions, oldest first, as of `size` entries.
    `published`: the log shows owner and card.
    """

    model: str
    owner: str
    task: str
    description: str
    size: int
    published: bool
    versions: tuple[ModelVersion, ...]

    @property
    def proven(self) -> bool:
        """Whether the log shows the label and every step, and none is missing between them."""
        return self.published and all(step.proven for step in self.versions)


class _Step(msgspec.Struct, frozen=True):
    position: int
    version: str
    artifact: str
    sha256: str
    size: int
    manifest: str
    entry: LoggedPart | None = None


class HistoryPage(msgspec.Struct, frozen=True):
    """One answer of `GET /v1/hallmark/history?proofs=true`."""

    model: str
    size: int
    owner: str
    task: str
    description: str
    versions: tuple[_Step, ...]
    earlier: int = 0
    publication: LoggedPart | None = None

    @property
    def before(self) -> int | None:
        """The position before which there are more versions; None when these are all."""
        return self.versions[0].position if self.earlier and self.versions else None


def read_page(value: object) -> HistoryPage:
    """An answer, as JSON data. Raises InvalidInput `bad_history`."""
    try:
        return msgspec.convert(value, type=HistoryPage)
    except msgspec.ValidationError as error:
        raise InvalidInput("bad_history", "The network's list of versions cannot be read.") from error


def read_history(pages: Sequence[HistoryPage], model: str, verifier: Verifier | None) -> ModelHistory:
    """The history of `model` from all of its pages, newest first."""
    first = pages[0]
    steps = [step for page in reversed(pages) for step in page.versions]
    card = _published(first, model, verifier) if verifier is not None else None
    before: _Step | None = None
    unbroken, read = card is not None, []
    for step in steps:
        logged = None
        if verifier is not None and card is not None and unbroken:
            logged = _version(step, before, card, verifier)
        unbroken = logged is not None
        moved = before is not None and before.artifact != step.artifact
        at = step.entry.admitted if step.entry is not None else 0
        read.append(
            ModelVersion(
                step.version,
                step.artifact,
                step.sha256,
                step.size,
                step.manifest,
                step.position,
                at,
                first.owner,
                moved,
                unbroken,
            )
        )
        before = step
    return ModelHistory(
        model,
        first.owner,
        card.task if card else first.task,
        card.description if card else first.description,
        first.size,
        card is not None,
        tuple(read),
    )


def _signed(part: LoggedPart | None, kind: type[S], verifier: Verifier) -> tuple[S, bytes, bytes]:
    """A statement that a quorum saw in the log, its one document, and who signed it (20 bytes). Raises
    VerificationFailed.
    """
    entry = logged_entry(part, verifier)
    statement = entry.statement
    if not isinstance(statement, kind) or len(entry.attachments) != 1 or not entry.signatures:
        raise VerificationFailed("history_not_proven", "The entry is of another kind.")
    signer = recover_statement(statement, verifier.trust.chain_id, entry.signatures[0])
    return statement, entry.attachments[0], signer


def _published(found: HistoryPage, model: str, verifier: Verifier) -> ModelCard | None:
    """The label's card, as the log has it; None when that is not shown."""
    try:
        statement, document, signer = _signed(found.publication, Publication, verifier)
        card = ModelCard.decode(document)
    except HallmarkError:
        return None
    said = (hex0x(statement.owner), statement.document, statement.network, signer, card.label)
    true = (card.owner, card.digest(), verifier.trust.network_id, statement.owner, model)
    return card if said == true and card.owner == found.owner else None


def _version(step: _Step, before: _Step | None, card: ModelCard, verifier: Verifier) -> Manifest | None:
    """The manifest of a step, as the log has it; None when that is not shown."""
    try:
        statement, document, signer = _signed(step.entry, Version, verifier)
        manifest = Manifest.decode(document)
    except HallmarkError:
        return None
    told = (hex0x(signer), statement.network, statement.document, hex0x(statement.artifact))
    true = (card.owner, verifier.trust.network_id, digest_of(Manifest, document), manifest.artifact)
    named = (manifest.label, manifest.card, manifest.derived_from)
    chain = (card.label, hex0x(card.digest()), before.manifest if before else "")
    shown = (step.manifest, step.artifact, step.version, step.sha256, step.size)
    digest, content = hex0x(statement.document), (manifest.sha256, manifest.size)
    held = (digest, manifest.artifact, manifest.version, *content)
    placed = step.entry is not None and step.entry.index == step.position
    return manifest if (told, named, shown) == (true, chain, held) and placed else None


def require_proven(history: ModelHistory) -> ModelHistory:
    """The history, when the log shows all of it. Raises VerificationFailed `history_not_proven`."""
    if not history.proven:
        raise VerificationFailed(
            "history_not_proven",
            "The log does not show every step of what the network says of this label.",
            "A version that was just logged is proven a moment later; ask again, or another gateway.",
        )
    return history
