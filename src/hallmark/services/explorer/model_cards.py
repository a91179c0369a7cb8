"""Models as pages: what a label points to and pointed to, by whose word, and which nodes serve it now.

Everything is from the folded log but `answers` and `slots`, which the gateway says. How often a model is used
is shown and orders nothing. Quality is what was said of answers (`outcomes`), of each artifact by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x, unhex
from hallmark.core.modes import NAMES
from hallmark.core.registry import Label
from hallmark.discovery.catalogue import Hit
from hallmark.routing.capacity import present
from hallmark.routing.eligibility import NEEDS, UNASKED, Wanted, eligibility
from hallmark.services.explorer import links, models, offers, outcomes, wording
from hallmark.services.explorer.figures import Tally
from hallmark.services.explorer.licences import repository_of
from hallmark.services.explorer.lineage import steps
from hallmark.services.explorer.model_views import ModelCardPage, ModelLine, ModeNow, Server, Version
from hallmark.services.explorer.network import GatewayNetwork
from hallmark.services.explorer.outcome_views import ArtifactQuality, RecordRow, quality_words
from hallmark.services.explorer.receipt_context import called
from hallmark.services.explorer.shared_views import LineageStep
from hallmark.services.explorer.views import ReceiptRow
from hallmark.services.following.followed_log import FollowedLog

NOBODY: Final = (
    "No registered reviewer has said how an answer turned out. That is neither a pass nor a zero, and a "
    "receipt says nothing of it."
)
COUNTED: Final = "Counted are words of registered reviewers, one for each reviewer and receipt."
SILENT: Final = "The gateway does not answer, so what is free now is not known."


def lines(
    watch: FollowedLog,
    tally: Tally,
    told: GatewayNetwork | None,
    now: int,
    *,
    hits: Sequence[Hit],
    modes: Mapping[str, set[str]],
) -> Iterator[ModelLine]:
    """What was found, as lines."""
    for hit in hits:
        name, asserted = hit.item.label, hit.item.asserted
        used = tally.of("asserted" if asserted else "ran", name.encode())
        row = models.row_of(watch, name, {(name, asserted): used}, asserted=asserted)
        serving = [one for one in servers(watch, name, told, now) if one.asserted is asserted]
        label = watch.replica.registry.labels.get(name)
        said = outcomes.of_row(tally, row)
        yield ModelLine(
            row=row,
            since=_since(watch, label) if label is not None and not asserted else 0,
            nodes=len(serving),
            eligible=sum(not one.reason for one in serving),
            idle=-1 if told is None else _idle(told, name),
            quality=quality_words(said),
            bound=said.bound,
            words=said.count,
            place=hit.place,
            drawn=hit.drawn,
            modality=hit.item.modality,
            licence=hit.item.licence,
            modes=tuple(sorted(modes.get(name, ()))),
        )


def page(
    watch: FollowedLog,
    name: str,
    tally: Tally,
    receipts: tuple[ReceiptRow, ...],
    *,
    told: GatewayNetwork | None,
    now: int,
    records: tuple[ArtifactQuality, ...] = (),
    licence: str = "",
) -> ModelCardPage:
    """One label, with the `records` of its artifacts and the `licence` of its card in the hub.

    Raises NotFound `unknown_model`.
    """
    known = models.page(watch, name, tally, receipts)
    label = watch.replica.registry.labels.get(name)
    served = functools.partial(tally.of, "version")
    lineage = steps(watch, label, served=served) if label is not None else ()
    prices = tuple(one for one in offers.prices_now(watch, now) if one.label in ("", name))
    serving = servers(watch, name, told, now)
    said = outcomes.of_row(tally, known.row)
    return ModelCardPage(
        row=known.row,
        description=known.description,
        quality=quality_words(said),
        quality_told=_quality_told(records, said),
        told=_told(serving, told, name),
        facts=known.facts,
        versions=tuple(_versions(label, lineage)) if label is not None else (),
        lineage=lineage,
        servers=serving,
        slots=tuple(one for one in told.slots if one.model == name) if told is not None else (),
        modes=modes_now(told, name) if told is not None else (),
        prices=prices,
        receipts=receipts,
        records=records,
        asserted=said if known.row.asserted else None,
        licence=licence,
        repository=repository_of(name) if licence else "",
        origins=known.origins,
    )


def servers(watch: FollowedLog, name: str, told: GatewayNetwork | None, now: int) -> tuple[Server, ...]:
    """The present nodes that offer a label, itself or a provider's; who may be asked first, then by key."""
    registry = watch.replica.registry
    reasons = {one.node: one.reason for one in eligibility(registry, Wanted(name), {}, now=now).excluded}
    heard = {one.key: one.answers for one in told.nodes} if told is not None else {}
    label = registry.labels.get(name)
    version = label.at(registry.size) if label is not None else None
    found = []
    for key, bundle in present(registry):
        runs = version is not None and version[1].artifact in bundle.artifacts
        if not runs and name not in bundle.upstreams:
            continue
        node = hex0x(key)
        reason = reasons.get(node, "")
        found.append(
            Server(
                node=node,
                name=called(watch, registry.members.get(key)),
                link=links.node(key),
                mode=NAMES.get(bundle.mode, "unknown"),
                slots=bundle.capacity,
                reason=reason,
                sentence=wording.routing(reason) if reason else "",
                answers="" if node not in heard else "answers" if heard[node] else "silent",
                asserted=not runs,
            )
        )
    return tuple(sorted(found, key=lambda one: (bool(one.reason), one.node)))


def _versions(label: Label, lineage: tuple[LineageStep, ...]) -> Iterator[Version]:
    """Newest first."""
    steps_of = {step.manifest: step for step in lineage}
    for at, digest, manifest in reversed(label.versions):
        step = steps_of[hex0x(digest)]
        yield Version(
            version=manifest.version,
            artifact=manifest.artifact,
            blob=blob_text(unhex(manifest.artifact)),
            sha256=manifest.sha256,
            size=manifest.size,
            form=manifest.format,
            manifest=hex0x(digest),
            index=at,
            at=step.at,
            signed_by=hex0x(label.owner),
            receipts=step.receipts,
            now=step.now,
        )


def _quality_told(records: tuple[ArtifactQuality, ...], said: RecordRow) -> str:
    """Who is counted, and where the record begins."""
    told = COUNTED if said.count else NOBODY
    now = next((one for one in records if one.now), None)
    if now is None:
        return told
    begins = f"The record of this artifact begins at log position {now.begins:,}"
    before = ", and takes nothing over from the artifact before" if len(records) > 1 else ""
    return f"{told} {begins}{before}."


def _since(watch: FollowedLog, label: Label) -> int:
    """Since when the label points to its artifact; 0 where that is not known."""
    newest = steps(watch, label)[-1:]
    return newest[0].at if newest else 0


def _idle(told: GatewayNetwork, name: str) -> int:
    return sum(one.idle for one in told.slots if one.model == name)


def modes_now(told: GatewayNetwork, name: str) -> tuple[ModeNow, ...]:
    """Every mode: its free slots, or why no answer of this model can be asked for in it."""
    found = []
    for number, mode in NAMES.items():
        rows = [one for one in told.slots if (one.model, one.mode) == (name, mode)]
        asked = any(one.idle + one.busy > 0 for one in rows)
        why = "" if asked else UNASKED if rows else NEEDS[number]
        found.append(ModeNow(mode, sum(one.idle for one in rows), why))
    return tuple(found)


def _told(serving: tuple[Server, ...], told: GatewayNetwork | None, name: str) -> str:
    may = sum(not one.reason for one in serving)
    nodes = f"{wording.count(len(serving), 'node')} {'offers' if len(serving) == 1 else 'offer'} it"
    first = (
        f"{nodes}, of which {may:,} may be asked by what the log holds." if serving else "No node offers it."
    )
    if told is None:
        return f"{first} {SILENT}"
    free = wording.count(_idle(told, name), "slot")
    return f"{first} {free} free now, by the gateway's word; a node's slots are shared by all of its models."
