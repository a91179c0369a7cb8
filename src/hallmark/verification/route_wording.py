"""The plain words of the mark `route`: who saw the prompt, and on the sealed path what each party saw.

"Sealed" is never more than that: it says nothing of the answer, and where no hardware vouches for the enclave
it says beside it who could read all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from hallmark.core.documents import RouteRecord, SealedPath
from hallmark.core.evidence import Assurance
from hallmark.core.sealing import relay_address
from hallmark.verification.wording import SIMULATED, short

HOST: Final = "its host carried ciphertext"
HOSTS: Final = {
    Assurance.HARDWARE: HOST,
    Assurance.SIMULATED: f"{HOST}, but {SIMULATED}: who runs that host could read what the enclave reads",
    Assurance.NONE: (
        f"{HOST}, but nothing here vouches for the enclave: who runs that host could read what it reads"
    ),
}
"""What to say of the node's host, by what is known here of the hardware."""


class Party(msgspec.Struct, frozen=True):
    """Who stands beside a record: the ticket's gateway (None: no ticket is shown), how many candidates it
    offered, the upstream ("": none), and what hardware vouches for the enclave.
    """

    gateway: bytes | None = None
    candidates: int = 0
    upstream: str = ""
    assurance: Assurance = Assurance.NONE


def route(record: RouteRecord, beside: Party) -> str:
    """Who saw the request on its way, and what was tried before."""
    parts = [f"{record.path} path", *_sealed(record, beside)]
    parts.append(f"the prompt was seen in clear by {', '.join(_seen(record, beside)) or 'nobody it names'}")
    if beside.candidates:
        parts.append(f"{beside.candidates} candidates were offered")
    failed = [f"{short(a.node)} {a.outcome}" for a in record.attempts if a.outcome != "answered"]
    parts.append("tried before: " + ", ".join(failed) if failed else "no other node was tried")
    return "; ".join(parts)


def _seen(record: RouteRecord, beside: Party) -> Iterator[str]:
    for role in record.saw_prompt:
        who = {"gateway": beside.gateway, "node": bytes.fromhex(record.chosen[2:])}.get(role)
        named = role == "upstream" and record.sealed is not msgspec.UNSET and beside.upstream
        yield f"{role} {short(who)}" if who else f"{role} {named}" if named else role
    if beside.upstream and not any(role.startswith("upstream") for role in record.saw_prompt):
        yield f"upstream {beside.upstream}"


def _sealed(record: RouteRecord, beside: Party) -> Iterator[str]:
    """On the sealed path: to which key, through whom, and what each of them saw."""
    sealed = record.sealed
    if sealed is msgspec.UNSET:
        return
    yield (
        f"sealed to a key of configuration {short(sealed.configuration)}, window {sealed.window}, "
        f"suite {sealed.suite}"
    )
    yield _relayed(sealed)
    if beside.gateway:
        yield f"gateway {short(beside.gateway)} saw a route request and not the prompt"
    elif not int(record.ticket, 16):
        yield "it came without a route ticket"
    yield HOSTS[beside.assurance]


def _relayed(sealed: SealedPath) -> str:
    size = f"a size class of {sealed.size} bytes and a time"
    if not sealed.relay:
        return f"no relay is named, so who passed it on is not known here; whoever did saw an address, {size}"
    address = relay_address(sealed.relay)
    named = f"relay {address}" if address else "a relay that it names by no address,"
    return f"through {named} by the client's word, which saw an address, {size}"


def detail(record: RouteRecord, gateway: bytes | None) -> dict[str, str]:
    """What a finding says of the route beside its sentence."""
    found = {
        "path": record.path,
        "gateway": "0x" + gateway.hex() if gateway else "",
        "saw_prompt": ", ".join(record.saw_prompt),
    }
    sealed = record.sealed
    if sealed is msgspec.UNSET:
        return found
    return found | {
        "configuration": sealed.configuration,
        "window": str(sealed.window),
        "suite": sealed.suite,
        "size": str(sealed.size),
        "relay": sealed.relay,
    }
