"""Search by any id, digest, address, log position or label; whole, or a prefix of at least 6 hex digits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.entries import Kind
from hallmark.services.explorer import links
from hallmark.services.explorer.entries import words_of
from hallmark.services.explorer.index import LEAF, RECEIPT, Index
from hallmark.services.explorer.leaf_reader import known_by
from hallmark.services.explorer.models import asserted_labels
from hallmark.services.explorer.receipt_context import called, of_logged
from hallmark.services.explorer.views import Found, Results
from hallmark.services.following.followed_log import FollowedLog

LEAST: Final = 6
MOST: Final = 50
HEX: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{6,64})")
NUMBER: Final = re.compile(r"[0-9]{1,15}")


class Search:
    """Looks in the registry, the checkpoints, the tail and the index; at most 50 results, each once."""

    def __init__(self, watch: FollowedLog, index: Index) -> None:
        self._watch, self._index = watch, index

    async def find(self, query: str) -> Results:
        """What the query names; no result rather than an error for anything else."""
        text = query.strip()[:200]
        found: dict[str, Found] = {}
        for one in self._plain(text):
            found.setdefault(one.kind + one.link, one)
        match = HEX.fullmatch(text)
        if match:
            digits = match[1].lower()
            for one in [*self._registered(digits), *await self._logged(digits)]:
                found.setdefault(one.kind + one.link, one)
        return Results(query, tuple(found.values())[:MOST])

    def _plain(self, text: str) -> Iterator[Found]:
        """By position, size, label or name."""
        if NUMBER.fullmatch(text):
            number = int(text)
            if number < self._watch.replica.size:
                yield self._entry(number)
            if any(seen.size == number for seen in self._watch.heads.page(number + 1, 1)):
                yield self._checkpoint(number)
        lowered = text.lower()
        if not lowered:
            return
        published = self._watch.replica.registry.labels
        for label in sorted({*published, *asserted_labels(self._watch)}):
            if label.lower().startswith(lowered):
                what = "A label." if label in published else "A label that a provider asserts."
                yield Found("model", label, links.model(label), what)
        for member in self._watch.replica.registry.members.values():
            name = called(self._watch, member)
            if name.lower().startswith(lowered):
                yield Found("node", name, links.node(member.key), _role(member.role.name))
        for name in self._watch.replica.registry.clearing:
            if name.lower().startswith(lowered):
                yield Found("policy", name, links.policy(name), "A clearing policy.")

    def _registered(self, digits: str) -> Iterator[Found]:
        """By keys and digests that the registry holds, and roots of checkpoints."""
        registry = self._watch.replica.registry
        for key, member in registry.members.items():
            bundles = (*member.bundles, member.document)
            if _any((key, *bundles), digits) or (
                member.bundle and _starts(member.bundle.configuration, digits)
            ):
                yield Found("node", hex0x(key), links.node(key), _role(member.role.name))
        for manifest_digest, (_, manifest) in registry.manifests.items():
            link = links.model(manifest.label)
            if _any((manifest_digest,), digits):
                what = f"Version {manifest.version} of label {manifest.label}."
                yield Found("manifest", hex0x(manifest_digest), link, what)
            if _starts(manifest.artifact, digits) or _starts(manifest.sha256, digits):
                what = f"The artifact of label {manifest.label}, version {manifest.version}."
                yield Found("artifact", manifest.artifact, link, what)
        for digest, approved in registry.approved.items():
            registers = approved.measurement.registers.values()
            if _any((digest,), digits) or any(_starts(value, digits) for value in registers):
                name = f"{approved.measurement.name} {approved.measurement.version}"
                yield Found("measurement", name, links.measurement(hex0x(digest)), "A measurement.")
        for name, versions in registry.clearing.items():
            if _any((digest for _, digest, _ in versions), digits):
                yield Found("policy", name, links.policy(name), "A clearing policy.")

    async def _logged(self, digits: str) -> list[Found]:
        """By what receipts and leaves are known by, and roots of checkpoints."""
        found = [
            self._receipt(p.id)
            for p in self._watch.tail.receipts
            if _any((p.id, p.receipt.request, p.receipt.response), digits)
        ]
        for position in await self._index.find(RECEIPT, digits, MOST + 1):
            told = of_logged(self._watch.judge.logged(position))
            if _any(known_by(told), digits):
                found.append(self._receipt(told.id))
        for position in await self._index.find(LEAF, digits, MOST + 1):
            if _any((self._watch.replica.leaf_hash(position),), digits):
                found.append(self._entry(position))
        return found + [self._checkpoint(size) for size in await self._watch.heads.by_root(digits, MOST)]

    def _receipt(self, receipt_id: bytes) -> Found:
        return Found("receipt", hex0x(receipt_id), links.receipt(receipt_id), "A receipt.")

    def _entry(self, index: int) -> Found:
        _, entry = self._watch.leaves.entry(index)
        told = words_of(entry)
        if entry.kind is Kind.RECEIPT:
            return Found("entry", str(index), links.entry(index), "A log entry: " + told.sentence)
        return Found("entry", str(index), links.entry(index), told.sentence)

    def _checkpoint(self, size: int) -> Found:
        return Found("checkpoint", str(size), links.checkpoint(size), f"The checkpoint of {size:,} entries.")


def _role(name: str) -> str:
    return f"A registered {name.lower().replace('_', ' ')}."


def _any(values: Iterable[bytes], digits: str) -> bool:
    return any(value.hex().startswith(digits) for value in values)


def _starts(text: str, digits: str) -> bool:
    return text.removeprefix("0x").lower().startswith(digits)
