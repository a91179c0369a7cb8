"""Whom to ask first: two nodes drawn uniformly without replacement, the one with the lower cost leads.

Past use never enters: a newcomer is drawn as often as anybody (Azar et al., Mitzenmacher: two choices).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hallmark.routing.eligibility import Eligible
from hallmark.routing.load import NodeLoad

MAX_CANDIDATES = 3

Draw = Callable[[int], int]
"""A uniform integer from 0 up to, not including, its argument; `secrets.randbelow` in services."""


def choose(eligible: Sequence[Eligible], loads: Mapping[bytes, NodeLoad], draw: Draw) -> tuple[Eligible, ...]:
    """Up to three different nodes in order of preference: the better of two, the other, and a third."""
    left = list(eligible)
    drawn = [left.pop(draw(len(left))) for _ in range(min(MAX_CANDIDATES, len(left)))]
    if len(drawn) > 1 and _cost(loads, drawn[1]) < _cost(loads, drawn[0]):
        drawn[0], drawn[1] = drawn[1], drawn[0]
    return tuple(drawn)


def _cost(loads: Mapping[bytes, NodeLoad], node: Eligible) -> float:
    load = loads.get(node.node)
    return (load or NodeLoad()).cost()
