"""A label's versions: which one a receipt names, which one the label pointed to then, and which one now."""

from __future__ import annotations

from collections.abc import Callable

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.core.registry import Label
from hallmark.services.explorer.receipt_context import ReceiptContext, manifest
from hallmark.services.explorer.shared_views import LineageStep
from hallmark.services.following.followed_log import FollowedLog


def lineage(watch: FollowedLog, told: ReceiptContext) -> tuple[LineageStep, ...]:
    """The versions of the label under which the answer came, oldest first; empty for a provider's answer."""
    known = None if told.asserted else manifest(watch, told)
    label = watch.replica.registry.labels.get(known.label) if known else None
    if label is None:
        return ()
    position = told.index if told.index >= 0 else watch.replica.size
    return steps(watch, label, named=told.receipt.manifest, position=position)


def steps(
    watch: FollowedLog,
    label: Label,
    *,
    named: bytes = b"",
    position: int = -1,
    served: Callable[[bytes], int] | None = None,
) -> tuple[LineageStep, ...]:
    """Every version of a label. `named` is the manifest's digest that a receipt at `position` names; `served`
    says how many receipts name a manifest.
    """
    then = label.at(position) if position >= 0 else None
    today = label.at(watch.replica.size)
    return tuple(
        LineageStep(
            version=manifest.version,
            artifact=manifest.artifact,
            manifest=hex0x(digest),
            sha256=manifest.sha256,
            index=at,
            at=_admitted(watch, at),
            here=digest == named,
            then=then is not None and then[0] == digest,
            now=today is not None and today[0] == digest,
            receipts=served(digest) if served else -1,
        )
        for at, digest, manifest in label.versions
    )


def moved(steps: tuple[LineageStep, ...]) -> bool:
    """True when the label points to another artifact now than the one that the receipt names."""
    here = {step.artifact for step in steps if step.here}
    return bool(here) and any(step.now and step.artifact not in here for step in steps)


def _admitted(watch: FollowedLog, index: int) -> int:
    try:
        return watch.leaves.entry(index)[0]
    except NotFound:
        return 0
