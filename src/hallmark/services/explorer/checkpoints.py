"""Checkpoints that this process verified, as lines and as pages."""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.services.explorer import links, wording
from hallmark.services.explorer.entries import words_of
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.views import CheckpointPage, CheckpointRow, Checkpoints
from hallmark.services.following.checkpoints import SeenCheckpoint
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.wording import quorum

LISTED = 100


def listed(watch: FollowedLog, below: int, limit: int) -> Checkpoints:
    """Checkpoints of a size under `below`, newest first."""
    found = watch.heads.page(below, limit + 1)
    following = str(found[limit - 1].size) if len(found) > limit else ""
    rows = tuple(row(watch, seen) for seen in found[:limit])
    return Checkpoints(len(watch.heads), following, watch.replica.size, rows)


def row(watch: FollowedLog, seen: SeenCheckpoint) -> CheckpointRow:
    """One checkpoint as a line."""
    anchor = watch.chain.covering(seen.size - 1) if seen.size else None
    anchored = ""
    if anchor is not None:
        block, size = anchor.confirmed.block, anchor.confirmed.size
        anchored = f"block {block}" if size == seen.size else f"block {block}, by the checkpoint of {size:,}"
    return CheckpointRow(seen.size, hex0x(seen.root), seen.signers, watch.heads.of, seen.at, anchored)


async def page(watch: FollowedLog, size: int) -> CheckpointPage:
    """One checkpoint. Raises NotFound `unknown_checkpoint`."""
    seen = watch.heads.get(size)
    note = await watch.heads.note(size)
    before = watch.heads.page(size, 1)
    start = before[0].size if before else 0
    told = "while following the log" if seen.live else "while catching up; it may have been there before"
    facts = (
        Fact("Root", hex0x(seen.root), "", hex0x(seen.root)),
        Fact("Recomputed here", _recomputed(watch, seen)),
        Fact("Cosigned by", f"{quorum(len(seen.signers), watch.heads.of)}: {', '.join(seen.signers)}"),
        Fact("Seen here", told),
        Fact("New in it", f"{wording.count(size - start, 'entry')}, from position {start}"),
    )
    return CheckpointPage(
        row(watch, seen), note.decode("utf-8", "replace"), facts, _entries(watch, start, size)
    )


def _recomputed(watch: FollowedLog, seen: SeenCheckpoint) -> str:
    if seen.size > watch.replica.size:
        return "not yet: its leaves are still being read"
    if watch.replica.root(seen.size) != seen.root:
        return "the leaves that were read here hash to another root"
    return f"{wording.count(seen.size, 'leaf hash')} give this root".replace("hashs", "hashes")


def _entries(watch: FollowedLog, start: int, end: int) -> tuple[Fact, ...]:
    """The entries that this checkpoint is the first to cover; the newest of them when they are many."""
    found = []
    for index in range(max(start, end - LISTED), end):
        try:
            _, entry = watch.leaves.entry(index)
        except NotFound:
            continue
        found.append(Fact(str(index), words_of(entry).sentence, links.entry(index)))
    return tuple(found)
