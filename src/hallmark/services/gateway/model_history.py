"""`GET /v1/hallmark/history?model=LABEL`: every artifact that a label ever pointed to, and who moved it.

With `&proofs=true` the publication and each version come with their log entries and proofs. A version names
the one that it replaces, so that a list which a client verified lacks none before its last.
"""

from __future__ import annotations

from typing import Any, Final

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.core.model_names import read_model_name
from hallmark.core.naming import no_such_model
from hallmark.services.following.follower import Follower
from hallmark.services.gateway.logged_parts import LoggedParts

MOST: Final = 100
"""Versions in one answer; the newest of the rest are asked for with `before`."""


class ModelHistory:
    """See the module docstring."""

    def __init__(self, follower: Follower, parts: LoggedParts) -> None:
        self._follower, self._parts = follower, parts

    async def of(self, model: str, *, proofs: bool = False, before: int) -> dict[str, object]:
        """The versions of a label, oldest first: the newest `MOST` of those that stand before a position.

        Raises NotFound `model_not_found`.
        """
        registry, name = self._follower.replica.registry, read_model_name(model).label
        label = registry.labels.get(name)
        if label is None:
            raise NotFound("model_not_found", *no_such_model(name, registry.labels))
        below = [version for version in label.versions if version[0] < before]
        value: dict[str, Any] = {
            "model": name,
            "size": registry.size,
            "owner": hex0x(label.owner),
            "task": label.card.task,
            "description": label.card.description,
            "published": label.position,
            "earlier": max(0, len(below) - MOST),
            "versions": [
                {
                    "position": position,
                    "version": manifest.version,
                    "artifact": manifest.artifact,
                    "sha256": manifest.sha256,
                    "size": manifest.size,
                    "manifest": hex0x(digest),
                    **({"entry": await self._parts.at(position)} if proofs else {}),
                }
                for position, digest, manifest in below[-MOST:]
            ],
        }
        return value | ({"publication": await self._parts.at(label.position)} if proofs else {})
