"""Which way a client's questions take, by what its owner said."""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.http.client import Pool, Timeouts
from hallmark.services.sdk.network import Place
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.way import PlainWay, Way

PLAIN: Final = "plain"
SEALED: Final = "sealed"


def way_of(
    privacy: str,
    place: Place,
    verifier: Verifier | None,
    timeout: float,
    *,
    named: bool,
    unsafe_insecure: bool,
) -> Way:
    """The way that `privacy` says. `named`: its owner named a relay, which only sealed questions go through;
    `unsafe_insecure`: he allows nodes that run without a check, which only sealed questions are about.

    Raises InvalidInput `bad_privacy`, `relay_for_plain`, `insecure_for_plain`, `no_trust_file`, `no_relay`.
    """
    if privacy not in (PLAIN, SEALED):
        raise InvalidInput("bad_privacy", f"Privacy is {PLAIN} or {SEALED}.")
    if privacy == PLAIN:
        if named:
            raise InvalidInput(
                "relay_for_plain",
                "A relay is named, and the questions would go plain, past it.",
                'Say privacy="sealed" (--sealed) too, or name no relay.',
            )
        if unsafe_insecure:
            raise InvalidInput(
                "insecure_for_plain",
                "Nodes that run without a check are allowed, and a plain client chooses no node.",
                'Say privacy="sealed" (--sealed) too, or leave that out; the mark `ran` names such nodes.',
            )
        return PlainWay(place.base_url, Pool(timeouts=Timeouts(head=timeout, idle=timeout)))
    if verifier is None:
        raise InvalidInput(
            "no_trust_file",
            "Without a trust file nobody can say to whom a question would be sealed.",
            "Give the client `trust=`, a path to the network's trust.toml.",
        )
    # Loaded when it is used: a plain client needs none of it.
    from hallmark.services.sdk.sealed_way import SealedWay

    return SealedWay(place, verifier, timeout, unsafe_insecure=unsafe_insecure)
