"""An entry other than a receipt as it is judged: its statement's fields by what they mean, its document."""

from __future__ import annotations

from typing import Final, cast

from hallmark.core.derivations import Making
from hallmark.core.document import Document
from hallmark.core.documents import (
    AttestationPolicy,
    ClearingPolicy,
    KeyBundle,
    Manifest,
    Measurement,
    ModelCard,
    Profile,
)
from hallmark.core.entries import Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import Verdict as EvidenceVerdict
from hallmark.core.money import Offer
from hallmark.core.objected import Run, decode_runs
from hallmark.core.outcomes import Basis
from hallmark.core.statements import (
    Derivation,
    Fault,
    IssuerEpoch,
    Outcome,
    Registration,
    Role,
    Verdict,
    Version,
    text_of,
)
from hallmark.core.tokens import IssuerKeys
from hallmark.verification.judged_entry import JudgedEntry
from hallmark.verification.lazy import lazy

CLEARING: Final = "clearing:"
ROLES: Final[dict[int, type[Document]]] = {
    Role.NODE: KeyBundle,
    Role.GATEWAY: Profile,
    Role.FULL_NODE: Profile,
    Role.REVIEWER: Profile,
    Role.ISSUER: Profile,
}
DOCUMENTS: Final[dict[Kind, type[Document]]] = {
    Kind.APPROVAL: Measurement,
    Kind.PUBLICATION: ModelCard,
    Kind.VERSION: Manifest,
    Kind.OFFER: Offer,
    Kind.ISSUER_EPOCH: IssuerKeys,
    Kind.OUTCOME: Basis,
    Kind.DERIVATION: Making,
}


class JudgedStatement(JudgedEntry):
    """One entry; the properties name what its statement says. Reading one that its kind lacks is a bug."""

    evidence: EvidenceVerdict | None = None
    """What judging a registration's evidence gave; kept so that it is judged once."""

    @property
    def network(self) -> bytes:
        """The network that the statement names; 32 bytes."""
        return cast(bytes, self._field("network"))

    @property
    def at(self) -> int:
        """When the signer made the statement, unix ms."""
        return cast(int, self._field("at"))

    @property
    def key(self) -> bytes:
        """The key that a retirement or compromise ends; 20 bytes."""
        return cast(bytes, self._field("key"))

    @property
    def since(self) -> int:
        """The log position that a compromise or revocation counts from."""
        return cast(int, self._field("since"))

    @property
    def owner(self) -> bytes:
        """The owner that a publication, version or price offer names; 20 bytes."""
        return cast(bytes, self._field("owner"))

    @property
    def reason(self) -> str:
        """The reason code that a retirement, compromise or revocation gives."""
        return text_of(cast(bytes, self._field("reason")))

    @property
    def committed(self) -> bytes:
        """The document digest in the statement; 32 bytes."""
        return cast(bytes, self._field("document"))

    @property
    def policy_kind(self) -> bytes:
        """The kind of a policy statement; 32 bytes."""
        return cast(bytes, self._field("kind"))

    @property
    def registration(self) -> Registration:
        """The statement as a registration."""
        return cast(Registration, self.entry.statement)

    @property
    def version(self) -> Version:
        """The statement as a version."""
        return cast(Version, self.entry.statement)

    @property
    def verdict(self) -> Verdict:
        """The statement as a verdict."""
        return cast(Verdict, self.entry.statement)

    @property
    def fault(self) -> Fault:
        """The statement as a fault."""
        return cast(Fault, self.entry.statement)

    @property
    def issued(self) -> IssuerEpoch:
        """The statement as an issuer's epoch."""
        return cast(IssuerEpoch, self.entry.statement)

    @property
    def outcome(self) -> Outcome:
        """The statement as what somebody says of an answer."""
        return cast(Outcome, self.entry.statement)

    @property
    def derivation(self) -> Derivation:
        """The statement as what an owner says that a model was made from."""
        return cast(Derivation, self.entry.statement)

    @lazy
    def runs(self) -> tuple[Run, ...]:
        """What a verdict objects to; empty when its list cannot be read."""
        try:
            return decode_runs(self.attachment(0))
        except HallmarkError:
            return ()

    @lazy
    def document_type(self) -> type[Document] | None:
        """What the entry attaches; None when its role or policy kind is unknown."""
        if self.entry.kind is Kind.REGISTRATION:
            return ROLES.get(self.registration.role)
        if self.entry.kind is Kind.POLICY:
            kind = text_of(self.policy_kind)
            if kind.startswith(CLEARING):
                return ClearingPolicy
            return AttestationPolicy if kind == "attestation" else None
        return DOCUMENTS.get(self.entry.kind)

    @lazy
    def document(self) -> Document | None:
        """The attached document; None when it cannot be read."""
        if self.document_type is None:
            return None
        try:
            return self.document_type.decode(self.attachment(0))
        except HallmarkError:
            return None

    def _field(self, name: str) -> object:
        return getattr(self.entry.statement, name)
