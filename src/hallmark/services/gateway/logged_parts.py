"""Log entries with their proofs, so that a client need not believe this gateway what the log says."""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from hallmark.core.entries import split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.services.following.proofs import FollowedProofs
from hallmark.verification.dossier import LoggedPart

REMEMBERED: Final = 256
"""Entries whose proofs are kept: a proof against an older checkpoint stays one."""


class LoggedParts:
    """See the module docstring."""

    def __init__(self, proofs: FollowedProofs) -> None:
        self._proofs = proofs
        self._parts: dict[int, dict[str, Any]] = {}

    async def at(self, position: int, leaf: bytes = b"") -> dict[str, Any] | None:
        """An entry with its proof, as JSON data; None when no quorum covers it yet, or the log does not give
        it. `leaf` is what stands there, where it is at hand.
        """
        if position not in self._parts:
            try:
                if not leaf:
                    (leaf,) = await self._proofs.leaves(position, position + 1)
                proof = await self._proofs.proof(position)
            except HallmarkError:
                return None
            admitted, entry = split_leaf(leaf)
            part = LoggedPart(position, admitted, base64.b64encode(entry).decode(), proof)
            if len(self._parts) >= REMEMBERED:
                self._parts.pop(next(iter(self._parts)))
            self._parts[position] = msgspec.to_builtins(part)
        return self._parts[position]
