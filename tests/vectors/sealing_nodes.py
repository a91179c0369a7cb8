"""Vectors of what a client checks of a node before it seals to it, as a gateway shows the node: refusals
whose reason both clients share. `make.py` writes them to sealing.json.

The nodes' evidence is a stub that no second implementation takes: what is here is refused for something else,
or comes to the evidence (`reason` is empty).
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork

OFF: Final = ("no-landlock", "no-seccomp")


def node_vectors() -> list[dict[str, Any]]:
    """A node that names nothing insecure; the same one that names two checks that it runs without, with and
    without what stands behind its registration in the log.
    """
    off = LittleNetwork(insecure=OFF)
    return [
        _node("nothing is off", LittleNetwork(), ""),
        _node("two checks are off", off, "node_insecure"),
        _node("two checks are off, and what follows is hidden", off, "objections_not_shown"),
    ]


def _node(why: str, net: LittleNetwork, reason: str) -> dict[str, Any]:
    party, notary = net.nodes[0], Notary(net)
    assert party.bundle is not None
    assert party.configuration is not None
    assert party.evidence is not None
    after = [] if reason == "objections_not_shown" else net.leaves[party.registered + 1 :]
    shown = {
        "node": hex0x(party.address),
        "bundle": party.bundle.encode().decode(),
        "configuration": party.configuration.encode().decode(),
        "evidence": _base64(party.evidence.encode()),
        "registration": {
            "leaf": _base64(net.leaves[party.registered]),
            "index": party.registered,
            "proof": notary.proof(party.registered),
            "after": [_base64(leaf) for leaf in after],
        },
        "sealing": None,
    }
    return {
        "why": why,
        "shown": msgspec.json.encode(shown).decode(),
        "candidate": {"node": hex0x(party.address), "bundle": hex0x(party.bundle.digest())},
        "trust_json": msgspec.json.encode(notary.trust()).decode(),
        "now": net.now,
        "insecure": list(party.configuration.insecure),
        "reason": reason,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
