"""Dossiers from what was followed alone: leaves, checkpoints and paths that this process keeps or recomputes.

The proof is against the first checkpoint seen here that covers the receipt, or, when something stands against
it, the first that covers that as well: so the same file comes out again, and it holds every objection that
its checkpoint covers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.entries import KIND_AT, decode, split_leaf
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Registration, Version
from hallmark.ledger.note import Note
from hallmark.services.explorer.receipt_context import ReceiptContext
from hallmark.services.following.dossiers import FEW, Dossiers
from hallmark.services.following.fold_store import BesideRow
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.following.proofs import inclusion_path, proof_text
from hallmark.services.following.records import KINDS, Logged

MANY: Final = 1_024
"""Leaves behind a receipt that come along when one of them speaks against it."""


class Saved(msgspec.Struct, frozen=True):
    """A receipt as the dossier's builder takes it; see `following.dossiers.Kept`."""

    id: bytes
    entry: bytes
    configuration: bytes
    position: int | None
    admitted: int | None
    evidence: bytes = ZERO32


class OwnProofs:
    """Proofs of entries below checkpoints that were verified here; a `Source` of dossiers."""

    def __init__(self, watch: FollowedLog, least: Callable[[int], int] = lambda index: index) -> None:
        self._watch, self._least = watch, least

    async def proof(self, index: int, _wait_ms: int = 0, /) -> str:
        """A tlog-proof of the entry. Raises Unavailable `not_witnessed_yet`."""
        seen = self._watch.heads.first(self._least(index))
        if seen is None:
            raise Unavailable("not_witnessed_yet", "No checkpoint that covers this was seen here yet.")
        note = Note.parse(await self._watch.heads.note(seen.size))
        return proof_text(self._watch.replica, index, seen.size, note)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end)."""
        return await self._watch.leaves.read(start, end)

    async def path(self, index: int, size: int) -> tuple[str, ...]:
        """The inclusion path at `size`. Raises NotFound `unknown_entry`."""
        return inclusion_path(self._watch.replica, index, size)


class _Row(msgspec.Struct, frozen=True, array_like=True):
    registrations: dict[bytes, dict[bytes, list[int]]]
    versions: dict[bytes, int]


class Rests(BesideRow[_Row]):
    """Registrations and versions by what a receipt needs; filled by a tap, all of them kept (it is a
    `following.fold_store.Beside`).
    """

    def __init__(self, watch: FollowedLog) -> None:
        super().__init__(_Row, lambda: _Row({}, {}))
        self._watch = watch

    def take(self, index: int, leaf: bytes) -> None:
        """Note an entry that holds."""
        if leaf[KIND_AT] not in KINDS or self._watch.replica.failures(index):
            return
        self._changed = True
        match decode(split_leaf(leaf)[1]).statement:
            case Registration(key=key, document=document):
                found = self._held.registrations.setdefault(key, {}).setdefault(document, [])
                if index not in found[-1:]:  # a leaf may be given again
                    found.append(index)
            case Version(document=document):
                self._held.versions.setdefault(document, index)

    def before(self, position: int) -> RestsBefore:
        """What stood in the log when the entry at `position` was logged."""
        return RestsBefore(self, position)

    def registered(self, key: bytes, bundle: bytes, position: int) -> Logged | None:
        """The newest registration of key and bundle before a position; the first after it without one."""
        found = self._held.registrations.get(key, {}).get(bundle, [])
        if not found:
            return None
        return self._logged(found[max(bisect_left(found, position) - 1, 0)], bundle)

    def version(self, manifest: bytes) -> Logged | None:
        """The entry that logged a manifest."""
        index = self._held.versions.get(manifest)
        return None if index is None else self._logged(index, manifest)

    def _logged(self, index: int, document: bytes) -> Logged:
        return Logged(index, self._watch.leaves.leaf(index), document)


class RestsBefore:
    """`following.dossiers.Records` of one position."""

    def __init__(self, rests: Rests, position: int) -> None:
        self._rests, self._position = rests, position

    def registration(self, key: bytes, _evidence: bytes, bundle: bytes) -> Logged | None:
        """See `Rests.registered`."""
        return self._rests.registered(key, bundle, self._position)

    def version(self, manifest: bytes) -> Logged | None:
        """See `Rests.version`."""
        return self._rests.version(manifest)


async def dossier(watch: FollowedLog, rests: Rests, told: ReceiptContext) -> bytes:
    """The exact bytes of a receipt's public dossier."""
    configuration = watch.configurations.of(told.receipt)
    entry = told.entry.encode()
    if told.index < 0:
        bare = Saved(told.id, entry, configuration, None, None)
        records = rests.before(watch.replica.size)
        return (
            await Dossiers(watch.replica, OwnProofs(watch)).build(bare, None, None, records=records)
        ).encode()
    standing = watch.replica.standing(told.index)
    against = standing.state is not None
    ends = {told.index: max(told.index, standing.since) if against else told.index}
    source = OwnProofs(watch, lambda index: ends.get(index, index))
    anchor = watch.chain.covering(told.index)
    try:
        proof = await source.proof(told.index)
    except (Unavailable, NotFound):
        proof = None
    saved = Saved(told.id, entry, configuration, told.index, told.admitted)
    built = await Dossiers(watch.replica, source).build(
        saved,
        proof,
        anchor.record if anchor is not None and proof is not None else None,
        records=rests.before(told.index),
        after=MANY if against else FEW,
    )
    return built.encode()
