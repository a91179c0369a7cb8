"""The client's side of one request: what it asked, and what it has been sent of the answer."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.receipt import request_digest
from hallmark.http.asgi import Message, Send
from hallmark.http.connection import Response
from hallmark.routing.payees import Paying
from hallmark.services.gateway.payments import TOLD

STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class ClientRequest(msgspec.Struct, frozen=True):
    """A request as it is passed on: path, exact body, headers for the enclave, the policy that must be met
    (empty: none), the name that it has here, and who pays whom for it.
    """

    path: str
    body: bytes
    headers: list[tuple[bytes, bytes]]
    policy: str
    name: str
    stream: bool = False
    paying: Paying | None = None


class ResponseWriter:
    """The client's side of one request: knows whether anything was sent, and why the rest was lost."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.status = 0
        self.lost = ""
        self.unpaid = False
        """The node wants to be paid first: the asker's affair."""
        self.salts = b""
        """Those of the answer whose head the client has, as its node told them."""

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head."""
        self.started, self.status = True, status
        self.salts = next((value for key, value in headers if key == b"hallmark-salts"), b"")
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: bytes, *, more: bool) -> None:
        """Send body bytes."""
        message: Message = {"type": "http.response.body", "body": data, "more_body": more}
        await self._send(message)


def receipt_headers(request: ClientRequest, response: Response) -> list[tuple[bytes, bytes]]:
    """Where the answer's receipt will be found, known before the answer is; and the salts, its owner's."""
    salts = response.header(b"hallmark-salts")
    at = b"/v1/hallmark/receipts/" + request.name.encode()
    told = payment_headers(response) if request.paying is not None else []
    return [(b"hallmark-receipt-at", at), *([(b"hallmark-salts", salts)] if salts else []), *told]


def payment_headers(response: Response) -> list[tuple[bytes, bytes]]:
    """What a node says of the payment, to be passed on."""
    return [pair for pair in response.headers if pair[0] in TOLD]


def committed_request(request: ClientRequest, salts: bytes) -> bytes:
    """What a receipt says of this request, whose salt its answer's head told first; 32 bytes."""
    try:
        salt = bytes.fromhex(salts[:64].decode("ascii"))
    except ValueError:
        salt = b""
    return request_digest(salt, request.path, request.body)
