"""What was observed in a part of a range of time: written by a gateway, read by the pages."""

from __future__ import annotations

import msgspec


class ObservedPart(msgspec.Struct, frozen=True):
    """A part of the range: when it begins (unix ms), how many of its minutes were observed (0: nothing is
    known), requests answered and failed in them, the most that was answered in one, and of the worst minute
    the nodes, those that were heard, the slots and the idle ones.
    """

    at: int
    observed: int
    answered: int = 0
    failed: int = 0
    most: int = 0
    nodes: int = 0
    heard: int = 0
    slots: int = 0
    idle: int = 0
