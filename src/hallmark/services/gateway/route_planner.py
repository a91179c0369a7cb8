"""From a request to a plan: who may serve, in which order, under which signed ticket."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.document import unhex
from hallmark.core.documents import Attempt
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.evidence import Assurance
from hallmark.core.model_names import read_model_name
from hallmark.core.modes import BY_NAME
from hallmark.crypto.secp256k1 import Signer
from hallmark.http.asgi import Scope, header
from hallmark.http.multipart import read_form
from hallmark.routing.choice import choose
from hallmark.routing.eligibility import (
    ANY_MODE,
    Eligibility,
    Eligible,
    Wanted,
    candidates_document,
    eligibility,
)
from hallmark.routing.load import LoadTable
from hallmark.routing.payees import PayersNodes, Paying
from hallmark.routing.ticket import Place, SignedTicket, Tickets
from hallmark.services.following.follower import Follower

Random = Callable[[int], bytes]
# A label that the log could hold is far shorter.
MAX_LABEL: Final = 256


class RoutePlan(msgspec.Struct, frozen=True):
    """The nodes to try, best first, and the ticket that names them."""

    found: Eligibility
    order: tuple[Eligible, ...]
    signed: SignedTicket

    def headers(self, attempts: list[Attempt]) -> list[tuple[bytes, bytes]]:
        """What an enclave is told about the route (see services/enclave/routes.py)."""
        told = [
            (b"hallmark-ticket", _base64(self.signed.packed)),
            (b"hallmark-candidates", _base64(self.signed.candidates)),
        ]
        if attempts:
            told.append((b"hallmark-attempts", msgspec.json.encode(attempts)))
        return told


@functools.lru_cache(maxsize=64)
def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)


class RoutePlanner:
    """Makes plans from the follower's registry and this gateway's loads."""

    def __init__(
        self,
        follower: Follower,
        loads: LoadTable,
        signer: Signer,
        *,
        clock: Callable[[], int],
        random: Random,
        draw: Callable[[int], int],
    ) -> None:
        self._follower = follower
        self._loads = loads
        self._tickets = Tickets(signer)
        self._clock = clock
        self._random = random
        self._draw = draw
        self.payers = PayersNodes()

    def judge(self, wanted: Wanted) -> Eligibility:
        """Every node, eligible or excluded with its reason, now."""
        return eligibility(self._follower.replica.registry, wanted, self._loads.loads, now=self._clock())

    def plan(self, wanted: Wanted, paying: Paying | None = None) -> RoutePlan:
        """A plan with at least one node, which a payment pays where there is one. Raises NotFound
        `model_not_found`, PinNotMet, Unavailable `no_node`, `gateway_starting`, `log_distrusted`,
        NoNodeForPayee `no_node_for_payee`.
        """
        head = self._follower.head
        if self._follower.distrust:
            raise Unavailable(
                "log_distrusted",
                f"The log broke its own rules ({self._follower.distrust}), so nothing is routed by it.",
                "Only the network's operators can resolve this; what was proved before stays proved.",
            )
        if head is None:
            raise Unavailable(
                "gateway_starting", "The gateway has not caught up with the log yet.", "Try again shortly."
            )
        found = self.judge(wanted)
        if paying is not None:
            found = self.payers.may_serve(found, self._follower.replica.registry, paying)
        found.require()
        order = choose(found.eligible, self._loads.loads, self._draw)
        if paying is not None:
            order = self.payers.lead(order, found.eligible, paying)
        genesis = self._follower.replica.genesis
        signed = self._tickets.of(
            candidates_document(
                found, order, order[0].bundle.mode if wanted.mode == ANY_MODE else wanted.mode
            ),
            Place(genesis.network, genesis.chain_id, head.checkpoint.size, head.checkpoint.root),
            now=self._clock(),
            nonce=self._random(32),
        )
        return RoutePlan(found, order, signed)


class RequestFields(msgspec.Struct, frozen=True):
    """What a gateway reads of a request's body: nothing but this."""

    model: str
    stream: bool | None = False


EXAMPLE: Final = 'For example {"model": "NAME", "messages": [...]}, in UTF-8; GET /v1/models has the names.'


def read_named(body: bytes) -> RequestFields:
    """Model and stream flag of a request body. Raises InvalidInput `bad_json`, `bad_request`."""
    try:
        named = msgspec.json.decode(body, type=RequestFields)
    except msgspec.ValidationError as error:
        raise BadField(
            "bad_request", "The request needs a 'model' (text) and 'stream' (true or false).", EXAMPLE
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("bad_json", "The request body is not valid JSON.", EXAMPLE) from error
    return _printable(named)


def read_named_form(scope: Scope, body: bytes) -> RequestFields:
    """The same of a form, which is never streamed. Raises InvalidInput `bad_request` and as `read_form`."""
    parts = read_form(header(scope, b"content-type") or b"", body)
    models = [data for name, data in parts if name == "model"]
    if len(models) != 1:
        raise BadField("bad_request", "The form needs one part 'model'.")
    try:
        return _printable(RequestFields(models[0].decode()))
    except UnicodeDecodeError as error:
        raise BadField("bad_request", "The form's 'model' is not valid UTF-8.") from error


def _printable(named: RequestFields) -> RequestFields:
    if len(named.model) > MAX_LABEL or not named.model.isprintable():
        raise BadField("bad_request", "The request's 'model' cannot be the name of a model.")
    return named


class BadField(InvalidInput):
    """A member of the request is missing or of the wrong type."""

    param = "model"


def read_wanted(scope: Scope, model: str) -> Wanted:
    """What a request asks of a node, from the body's model and the headers Hallmark-Mode and
    Hallmark-Assurance. Raises InvalidInput `bad_mode`, `bad_assurance`.
    """
    mode, assurance = header(scope, b"hallmark-mode"), header(scope, b"hallmark-assurance")
    return wanted(model, (mode or b"").decode("latin-1"), (assurance or b"").decode("latin-1"))


def wanted(model: str, mode: str, assurance: str) -> Wanted:
    """The same from texts; empty means any. Raises InvalidInput `bad_mode`, `bad_assurance`."""
    if mode and mode.lower() not in BY_NAME:
        raise InvalidInput("bad_mode", f"A mode is one of {', '.join(BY_NAME)}.")
    try:
        least = Assurance(assurance.lower()) if assurance else Assurance.NONE
    except ValueError:
        raise InvalidInput("bad_assurance", "An assurance is hardware, simulated or none.") from None
    named = read_model_name(model)
    return Wanted(named.label, BY_NAME[mode.lower()] if mode else ANY_MODE, least, named.artifact)


def pin_of(node: Eligible) -> bytes:
    """SHA-256 of the TLS key that the node's bundle names; 32 bytes."""
    return unhex(node.bundle.tls_spki)
