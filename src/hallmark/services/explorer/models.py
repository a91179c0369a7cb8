"""Labels and what they point to; measurements and where they count."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.core.registry import Label, Member
from hallmark.core.statements import Role
from hallmark.routing.capacity import present
from hallmark.services.explorer import links, wording
from hallmark.services.explorer.figures import Tally
from hallmark.services.explorer.lineage import steps
from hallmark.services.explorer.origins import origins
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.views import (
    MeasurementRow,
    Measurements,
    ModelPage,
    ModelRow,
    Models,
    ReceiptRow,
)
from hallmark.services.following.followed_log import FollowedLog

Counts = Mapping[tuple[str, bool], int]
ASSERTED = "Nodes pass this label on to a provider. What answers there, the provider alone asserts."


def asserted_labels(watch: FollowedLog) -> dict[str, list[Member]]:
    """Labels that nodes pass on to a provider, each with the nodes that do."""
    found: dict[str, list[Member]] = {}
    for member in watch.replica.registry.members.values():
        for label in member.bundle.upstreams if member.bundle else ():
            found.setdefault(label, []).append(member)
    return found


def listed(watch: FollowedLog, counts: Counts) -> Models:
    """Every label, published ones first; one that is published and passed on stands twice."""
    published = [_published(watch, label, counts) for label in watch.replica.registry.labels.values()]
    asserted = [_asserted(label, counts) for label in sorted(asserted_labels(watch))]
    rows = (*sorted(published, key=lambda r: r.label), *asserted)
    return Models(len(rows), "", watch.replica.size, rows)


def row_of(watch: FollowedLog, name: str, counts: Counts, *, asserted: bool) -> ModelRow:
    """A label as a line: as it is published, or as a provider asserts it."""
    label = None if asserted else watch.replica.registry.labels.get(name)
    return _asserted(name, counts) if label is None else _published(watch, label, counts)


def page(watch: FollowedLog, name: str, tally: Tally, receipts: tuple[ReceiptRow, ...]) -> ModelPage:
    """One label. Raises NotFound `unknown_model`."""
    counts = tally.by_label
    label = watch.replica.registry.labels.get(name)
    passing = asserted_labels(watch).get(name, [])
    if label is None and not passing:
        raise NotFound("unknown_model", "No such label is published, and no node passes it on.")
    through = tuple(
        Fact("Passed on to a provider by", hex0x(m.key), links.node(m.key), hex0x(m.key)) for m in passing
    )
    if label is None:
        return ModelPage(_asserted(name, counts), ASSERTED, through, (), receipts)
    row = _published(watch, label, counts)
    facts = (
        Fact("Owner", row.owner, "", row.owner),
        Fact("Task", row.task),
        Fact("Card", hex0x(label.card.digest()), links.entry(label.position), hex0x(label.card.digest())),
        Fact(
            "Points to", row.artifact or "nothing yet", links.artifact(row.artifact) if row.artifact else ""
        ),
        Fact("Versions", wording.count(row.versions, "version")),
    )
    served = functools.partial(tally.of, "version")
    return ModelPage(
        row,
        label.card.description,
        (*facts, *through),
        steps(watch, label, served=served),
        receipts,
        origins(watch, label),
    )


def measurements(watch: FollowedLog) -> Measurements:
    """Every measurement that the authority ever accepted, newest first."""
    registry = watch.replica.registry
    newest = {key for key, _ in present(registry)}
    claims: Counter[tuple[bytes, bool]] = Counter()
    for member in registry.members.values():
        attested = watch.replica.memory.attested.get((member.key, member.document))
        if member.role is Role.NODE and attested is not None:
            claims[attested.measurement, member.key in newest] += 1
    rows = [
        MeasurementRow(
            digest=hex0x(digest),
            name=approved.measurement.name,
            version=approved.measurement.version,
            evidence=approved.measurement.evidence,
            since=approved.valid.since,
            until=-1 if approved.valid.until is None else approved.valid.until,
            reason=approved.valid.reason,
            registers=dict(approved.measurement.registers),
            nodes=claims[digest, True],
            earlier=claims[digest, False],
        )
        for digest, approved in registry.approved.items()
    ]
    rows.sort(key=lambda row: -row.since)
    return Measurements(len(rows), "", watch.replica.size, tuple(rows))


def _published(watch: FollowedLog, label: Label, counts: Counts) -> ModelRow:
    now = label.at(watch.replica.size)
    manifest = now[1] if now else None
    return ModelRow(
        label=label.card.label,
        owner=hex0x(label.owner),
        task=label.card.task,
        version=manifest.version if manifest else "",
        artifact=manifest.artifact if manifest else "",
        versions=len(label.versions),
        receipts=counts.get((label.card.label, False), 0),
        asserted=False,
    )


def _asserted(label: str, counts: Counts) -> ModelRow:
    return ModelRow(label, "", "", "", "", 0, counts.get((label, True), 0), True)
