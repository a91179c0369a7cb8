"""From an answer to its receipt and the `hallmark` object that its owner gets."""

from __future__ import annotations

import base64
import functools
from typing import Final

import msgspec

from hallmark.core.answer import sampling_seed
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Parameters, RouteRecord, UpstreamRecord
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.marks import Question, State
from hallmark.core.prices import Use
from hallmark.core.receipt import request_digest, response_prefix
from hallmark.http.asgi import Scope
from hallmark.payments.x402.messages import RESPONSE_HEADER
from hallmark.services.enclave.inputs import inputs_root
from hallmark.services.enclave.metering import Meter
from hallmark.services.enclave.modes import asked_mode, require_shown
from hallmark.services.enclave.routes import Route, client_nonce, read_route
from hallmark.services.enclave.runtime import Beacon, Model, ReceiptDraft, Runtime, SignedReceipt

SEED_NONCE_TAG = b"hallmark/node-nonce/client-seed/v1\0"
ID_SIZE = 12
RESPONSE: Final = RESPONSE_HEADER.encode()
UNMETERED: Final = Meter()


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What is fixed when a request arrives: its digest, salts, nonces, route, beacon and time (unix ms), and
    the meter that it is paid by.
    """

    answer_id: str
    request: bytes
    request_salt: bytes
    response_salt: bytes
    client_nonce: bytes
    node_nonce: bytes
    route: Route
    beacon: Beacon
    started: int
    meter: Meter = UNMETERED
    mode: int | None = None

    @property
    def seed(self) -> int:
        """The sampling seed (uint64) that both nonces commit to."""
        return sampling_seed(self.client_nonce, self.node_nonce)

    @property
    def salts(self) -> tuple[tuple[bytes, bytes], ...]:
        """The head of a stream tells its owner both salts (64 hexadecimal digits each, the request's first):
        who stops reading, or whose client drops the last event, can still open both digests.
        """
        return ((b"hallmark-salts", f"{self.request_salt.hex()} {self.response_salt.hex()}".encode()),)

    @property
    def response_start(self) -> bytes:
        """What the rolling digest of the answer starts from."""
        return response_prefix(self.response_salt)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when the answer is complete: digest of its exact bytes, parameters as applied, tokens."""

    response: bytes
    parameters: Parameters
    tokens_in: int = 0
    tokens_out: int = 0
    model: Model | None = None
    upstream: UpstreamRecord | None = None
    inputs: tuple[bytes, ...] = ()
    images: int = 0
    milliseconds: int = 0

    @property
    def use(self) -> Use:
        """What of it has a price."""
        return Use(self.tokens_in, self.tokens_out, self.images, self.milliseconds)


class Sealed(msgspec.Struct, frozen=True):
    """A stored receipt: its id (0x-hex), the JSON of the `hallmark` object, and what the head of a whole
    answer says of its payment.
    """

    id: str
    hallmark: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def open_request(
    runtime: Runtime, scope: Scope, body: bytes, *, upstream: bool = False, seed: int | None = None
) -> Opening:
    """Fix everything about a request before any work. Errors as `read_route` and `client_nonce` raise them.

    A client's own `seed` takes the place of the node's randomness, so that equal seeds give equal draws.
    """
    now = runtime.now()
    chance = runtime.random(96 + ID_SIZE)
    node_nonce = chance[64:96] if seed is None else sha256(SEED_NONCE_TAG, str(seed).encode())
    return Opening(
        answer_id=chance[96:].hex(),
        request=request_digest(chance[:32], scope["path"], body),
        request_salt=chance[:32],
        response_salt=chance[32:64],
        client_nonce=client_nonce(scope),
        node_nonce=node_nonce,
        route=read_route(scope, runtime, now, upstream=upstream),
        beacon=runtime.beacon(),
        started=now,
        mode=asked_mode(scope),
    )


async def seal(runtime: Runtime, opening: Opening, outcome: Outcome, *, complete: bool = True) -> Sealed:
    """Close the bill, sign the receipt, wait until both are stored, and write the owner's object. Of an
    answer that is not complete only what was drawn for it is charged.

    Raises Unavailable `receipt_not_stored`, `journal_not_kept`, `mode_unavailable`, and what `Meter.change`
    raises: the answer must then not be completed.
    """
    model, meter = outcome.model, opening.meter
    runtime.require_room()
    require_shown(opening.mode, outcome.parameters)
    whole = complete or not meter.draws
    bill = meter.close(opening.request, outcome.use if whole else None)
    change = await meter.change()
    parameters = outcome.parameters.encode()
    upstream = outcome.upstream.encode() if outcome.upstream else b""
    signed = await runtime.sign_receipt(
        ReceiptDraft(
            request=opening.request,
            response=outcome.response,
            parameters=digest_of(Parameters, parameters),
            route=digest_of(RouteRecord, opening.route.record),
            beacon=opening.beacon,
            started=opening.started,
            finished=max(runtime.now(), opening.started),
            tokens_in=bill.use.tokens_in,
            tokens_out=bill.use.tokens_out,
            attachments=(*opening.route.attachments, *bill.attachments),
            payment=bill.payment,
            charged=bill.charged,
            artifact=unhex(model.manifest.artifact) if model else ZERO32,
            manifest=model.manifest_digest if model else ZERO32,
            upstream=digest_of(UpstreamRecord, upstream) if upstream else ZERO32,
            inputs=inputs_root(outcome.inputs),
            client_nonce=opening.client_nonce,
            mode=opening.mode,
        )
    )
    meter.receipt(signed.id)
    await meter.kept()
    made = {
        "parameters": parameters.decode(),
        "upstream": upstream.decode() or None,
        "payment": bill.record.decode() or None,
        "offer": bill.offer.decode() or None,
        "authorization": _base64(bill.authorization) or None,
        "response": bill.response or None,
        "change": base64.b64encode(change).decode() or None,
        "issuer_keys": bill.issuer_keys.decode() or None,
    }
    headers = [(b"hallmark-charged", str(bill.charged).encode())] if bill.record else []
    headers += [(RESPONSE, bill.response.encode())] if bill.response else []
    return Sealed(hex0x(signed.id), _hallmark(runtime, opening, outcome, made, signed), tuple(headers))


def _hallmark(
    runtime: Runtime,
    opening: Opening,
    outcome: Outcome,
    made: dict[str, str | None],
    signed: SignedReceipt,
) -> bytes:
    route = opening.route
    documents = {
        "bundle": runtime.bundle.decode(),
        "configuration": runtime.configuration_document.decode(),
        "parameters": made["parameters"],
        "route": route.record.decode(),
        "candidates": route.candidates.decode() if route.candidates else None,
        "manifest": outcome.model.manifest_bytes.decode() if outcome.model else None,
        "upstream": made["upstream"],
        "payment": made["payment"],
        "offer": made["offer"],
        "inputs": [record.decode() for record in outcome.inputs],
        **({"issuer_keys": made["issuer_keys"]} if made["issuer_keys"] else {}),
    }
    return msgspec.json.encode(
        {
            "id": hex0x(signed.id),
            "receipt": signed.receipt.to_json(),
            "signature": hex0x(signed.signature),
            "network": runtime.configuration.network,
            "chain_id": runtime.configuration.chain_id,
            "salts": {"request": hex0x(opening.request_salt), "response": hex0x(opening.response_salt)},
            "documents": documents,
            "ticket": hex0x(route.ticket) if route.ticket else None,
            "payment_authorization": made["authorization"],
            "payment_response": made["response"],
            **({"change": made["change"]} if made["change"] else {}),
            "evidence": _base64(runtime.evidence),
            "marks": CLAIMS[bool(outcome.inputs), made["payment"] is not None],
            "insecure": runtime.configuration.insecure,
        }
    )


def _claims(*, inputs: bool, paid: bool) -> dict[str, str]:
    claimed = {Question.RAN, Question.MODEL, Question.ROUTE}
    claimed |= {Question.INPUTS} if inputs else set()
    claimed |= {Question.PAID} if paid else set()
    return {
        question.value: (State.CLAIMED if question in claimed else State.ABSENT).value
        for question in Question
    }


CLAIMS: Final = {
    (inputs, paid): _claims(inputs=inputs, paid=paid) for inputs in (False, True) for paid in (False, True)
}
"""The marks as this node alone can strike them: it claims, and nothing more. By whether there are inputs, and
a payment record.
"""


@functools.lru_cache(maxsize=4)
def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
