"""On what a word about a receipt lands: each thing that had a part in the answer, separately.

    artifact     what ran; of a provider's answer the label instead, since nobody knows what ran there
    node         the key that signed
    route        how the request came, and through which gateway, by the record that the receipt commits to
    parameters   what was applied, without what is drawn anew for each request; where the speaker shows it
    template     the chat template within the artifact, where parameters that are shown say that a chat was
                 answered; and template records among the inputs
    data, memory what entered, by kind and source; where the speaker shows the records

What is shown counts only when it is what the receipt commits to. Contents of inputs are salted for each
request, so two receipts never name the same content: rows are told apart by kind and source alone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Set
from typing import Final

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import InputRecord, Parameters, RouteRecord
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.merkle import EMPTY_ROOT, leaf_hash, root
from hallmark.core.outcomes import Basis
from hallmark.core.receipt import Receipt

PROVIDERS: Final = "A provider's own: nobody here knows whether there is one."
WITHIN: Final = (
    "It is part of the artifact, if there is one. Whether it was applied stands in the parameters, "
    "which nobody who spoke showed, or which say that it was not."
)
NOTHING_ENTERED: Final = "The receipt says that no data and no memory entered."
NOT_SHOWN: Final = "The receipt commits to input records; whoever spoke showed none of data or memory."
LONGEST: Final = 160
CHAT: Final = "chat"
"""The task of parameters to whose messages a template was applied."""


class Scope(enum.StrEnum):
    """A kind of thing that words land on."""

    ARTIFACT = "artifact"
    ASSERTED = "asserted"
    NODE = "node"
    ROUTE = "route"
    TEMPLATE = "template"
    PARAMETERS = "parameters"
    DATA = "data"
    MEMORY = "memory"


class Landing(msgspec.Struct, frozen=True):
    """One thing: an artifact or node by its bytes, everything else by its words."""

    scope: Scope
    key: bytes


def landings(
    receipt: Receipt, basis: Basis, *, label: str, route: RouteRecord | None, gateway: str
) -> tuple[Landing, ...]:
    """Everything that a word lands on, each once. `label` is what was asked for, `route` the record that the
    receipt commits to (None: not known), `gateway` the ticket's (0x-hex, "" when direct).
    """
    found = [Landing(Scope.NODE, receipt.node)]
    if receipt.artifact != ZERO32:
        found.append(Landing(Scope.ARTIFACT, receipt.artifact))
    elif label:
        found.append(Landing(Scope.ASSERTED, _key(label)))
    if route is not None:
        found.append(Landing(Scope.ROUTE, _key(f"{route.path} {gateway}".strip())))
    found += _parameters(receipt, basis)
    found += _inputs(receipt, basis)
    return tuple(dict.fromkeys(found))


def _parameters(receipt: Receipt, basis: Basis) -> Iterator[Landing]:
    data = basis.parameters.encode()
    if not data or digest_of(Parameters, data) != receipt.parameters:
        return
    try:
        shown = Parameters.decode(data)
    except HallmarkError:
        return
    said = (
        f"{shown.task} temperature {shown.temperature} top_p {shown.top_p} top_k {shown.top_k} "
        f"max_tokens {shown.max_tokens} stops {len(shown.stop)} {shown.engine}"
    )
    yield Landing(Scope.PARAMETERS, _key(said))
    if shown.task == CHAT and receipt.artifact != ZERO32:
        yield Landing(Scope.TEMPLATE, _key(f"the chat template within {hex0x(receipt.artifact)}"))


def _inputs(receipt: Receipt, basis: Basis) -> Iterator[Landing]:
    records = [record.encode() for record in basis.inputs]
    if not records or root([leaf_hash(record) for record in records]) != receipt.inputs:
        return
    for record in records:
        try:
            shown = InputRecord.decode(record)
        except HallmarkError:
            continue
        yield Landing(_scope_of(shown.kind), _key(f"{shown.kind} from {shown.source}"))


def _scope_of(kind: str) -> Scope:
    if kind.startswith("memory"):
        return Scope.MEMORY
    return Scope.TEMPLATE if kind.startswith("template") else Scope.DATA


def _key(words: str) -> bytes:
    """Words as a key: what can be printed of them, no longer than a line."""
    return "".join(c if c.isprintable() else "?" for c in words).encode()[:LONGEST]


def unknown(receipt: Receipt, landed: Set[Scope]) -> tuple[tuple[Scope, str], ...]:
    """What had or may have had a part in the answer and cannot be known from the log: what, and why."""
    found = []
    if Scope.ROUTE not in landed:
        found.append((Scope.ROUTE, "The log holds no route record that is the one the receipt commits to."))
    if Scope.TEMPLATE not in landed:
        found.append((Scope.TEMPLATE, PROVIDERS if receipt.artifact == ZERO32 else WITHIN))
    if Scope.PARAMETERS not in landed:
        found.append((Scope.PARAMETERS, "The receipt commits to them, and nobody who spoke showed them."))
    if landed.isdisjoint((Scope.DATA, Scope.MEMORY)):
        found.append((Scope.DATA, NOTHING_ENTERED if receipt.inputs in (ZERO32, EMPTY_ROOT) else NOT_SHOWN))
    return tuple(found)


def told(landing: Landing) -> str:
    """What a word landed on, as it is shown."""
    if landing.scope in (Scope.ARTIFACT, Scope.NODE):
        return hex0x(landing.key)
    return landing.key.decode("utf-8", "ignore")
