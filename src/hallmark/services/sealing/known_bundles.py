"""Which key bundle each node was seen with, so that two for one epoch are noticed, now or in a year.

    HOME/sealed/NETWORK.json     {"0x<node>": "0x<bundle>", "0x<owner> ENDPOINT EPOCH": "0x<bundle>", ...}

A bundle fixes every key that its enclave will ever take questions under. Somebody who wants to tell a client
apart by its keys needs a second bundle of the same node, by its key, or of the same host in the same epoch;
both would be in the log. One that was shown only to others cannot be seen from here: full nodes object to it
(`bundle_changed`, `epoch_taken`), and no client seals to a node that they object to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.documents import KeyBundle
from hallmark.services.sealing.refusals import NothingSent
from hallmark.store.remembered import recall, remember

MOST: Final = 20_000


class KnownBundles:
    """See the module docstring. Without a `path` it remembers as long as it lives."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known = recall(path)

    def require_only(self, node: bytes, bundle: KeyBundle, digest: bytes) -> None:
        """Remember that `node` (20 bytes) has this bundle, which was proven to be in the log.

        Raises NothingSent `bundle_not_the_only_one` when it, or its host in the same epoch, had another.
        """
        places = (hex0x(node), f"{bundle.owner} {bundle.endpoint} {bundle.epoch}")
        text, new = hex0x(digest), False
        for place in places:
            if self._known.setdefault(place, text) != text:
                raise NothingSent(
                    "bundle_not_the_only_one",
                    "The log holds two key bundles of this node for one epoch: its keys may mark who asks.",
                    "Keep both receipts, and show them: an honest node has one.",
                )
            new = new or self._known[place] is text
        if new:
            self._keep()

    def _keep(self) -> None:
        for place in list(self._known)[: max(0, len(self._known) - MOST)]:
            del self._known[place]
        remember(self._path, self._known)
