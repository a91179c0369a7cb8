"""Leaves that dossiers may need: registrations by key, and model versions by manifest.

They are kept beside the fold (`fold_store.Beside`): they grow with members and models.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.entries import KIND_AT, Kind, decode, split_leaf
from hallmark.core.statements import Registration, Version
from hallmark.services.following.fold_store import BesideRow

KINDS: Final = frozenset((Kind.REGISTRATION, Kind.VERSION))
# A node refreshes its evidence hourly; receipts outlive a registration by little.
KEPT_REGISTRATIONS: Final = 8


class Logged(msgspec.Struct, frozen=True):
    """A leaf that a dossier may need, with its place and the digest of its document. `note` is that of the
    first checkpoint known here that covers it; of registrations alone.
    """

    index: int
    leaf: bytes
    document: bytes
    note: bytes = b""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    registrations: dict[bytes, dict[bytes, Logged]]
    versions: dict[bytes, Logged]


class Records(BesideRow[_Row]):
    """See the module docstring. Only entries that hold are given to `take`."""

    def __init__(self) -> None:
        super().__init__(_Row, lambda: _Row({}, {}))
        self._uncovered: list[tuple[bytes, bytes]] = []

    def take(self, index: int, leaf: bytes) -> None:
        """Keep a leaf if it is one of these."""
        if leaf[KIND_AT] not in KINDS:
            return
        match decode(split_leaf(leaf)[1]).statement:
            case Registration() as registration:
                kept = self._held.registrations.setdefault(registration.key, {})
                kept[registration.evidence] = Logged(index, leaf, registration.document)
                self._uncovered.append((registration.key, registration.evidence))
                while len(kept) > KEPT_REGISTRATIONS:
                    kept.pop(next(iter(kept)))
            case Version() as version:
                self._held.versions.setdefault(version.document, Logged(index, leaf, version.document))
        self._changed = True

    def covered(self, size: int, note: bytes) -> None:
        """A quorum cosigned `size` leaves, and they were all taken: see `Logged.note`."""
        left, self._uncovered = self._uncovered, []
        for key, evidence in left:
            kept = self._held.registrations.get(key, {})
            logged = kept.get(evidence)
            if logged is None or logged.note:
                continue
            if logged.index < size:
                kept[evidence] = msgspec.structs.replace(logged, note=note)
                self._changed = True
            else:
                self._uncovered.append((key, evidence))

    def load(self, row: bytes) -> bool:
        """See `Beside`."""
        found = super().load(row)
        self._uncovered = [
            (key, evidence)
            for key, kept in self._held.registrations.items()
            for evidence, logged in kept.items()
            if not logged.note
        ]
        return found

    def registration(self, key: bytes, evidence: bytes, bundle: bytes) -> Logged | None:
        """The registration of `key` with the evidence of this SHA-256, else its newest one with the key
        bundle of this digest.
        """
        kept = self._held.registrations.get(key, {})
        if evidence in kept:
            return kept[evidence]
        return next((logged for logged in reversed(kept.values()) if logged.document == bundle), None)

    def version(self, manifest: bytes) -> Logged | None:
        """The entry that logged the manifest of this digest."""
        return self._held.versions.get(manifest)
