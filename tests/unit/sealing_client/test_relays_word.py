"""What a relay says itself is a reason to fail with, and never one to go another way."""

from __future__ import annotations

import msgspec
import pytest

from hallmark import AsyncClient
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.privacy.binary_http import END, content_piece, start_response
from hallmark.privacy.ohttp import ServerRequest
from hallmark.services.relay.info import CHUNKED_RESPONSE, INFO, TO_GATEWAY, TO_NODE
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.way import Pairs
from hallmark.services.sdk.way import Question as Asked
from hallmark.services.sealing.refusals import CLEAR
from hallmark.testing.ports import free_port
from hallmark.testing.relays import Mischief
from hallmark.testing.sealed_network import SealedNetwork

ASKED = b'{"model":"digits","messages":[{"role":"user","content":"Which?"}]}'
PADDED = ((b"content-encoding", b"hallmark-padded"),)


def code(reason: str) -> bytes:
    """The body of a refusal."""
    return msgspec.json.encode({"error": {"message": "No.", "code": reason}})


def instead(local: SealedNetwork, path: str, status: int, body: bytes) -> None:
    """Let the relay answer so on `path`, with the plain way as where to go."""
    honest = local.relay._app
    away = ((b"location", f"{local.url}/v1/chat/completions".encode()),)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(path):
            await respond(send, status, body, away)
        else:
            await honest(scope, receive, send)

    local.relay._app = app


async def failed(client: AsyncClient, local: SealedNetwork) -> str:
    """The reason with which a question ends; no node and no gateway saw it."""
    with pytest.raises(HallmarkError) as caught:
        await client.ask("Which?", model="digits")
    assert CLEAR in caught.value.hint
    assert not any(node.bodies for node in local.nodes)
    return caught.value.reason


@pytest.mark.parametrize(
    ("path", "status", "body", "reason"),
    [
        (INFO, 503, b"", "relay_unreachable"),
        (INFO, 307, b"", "relay_unreachable"),
        (INFO, 200, b"[]", "relay_unreadable"),
        (INFO, 200, b"\xff", "relay_unreadable"),
        (TO_NODE + "0x", 404, code("relay_unknown_node"), "relay_undelivered"),
        (TO_NODE + "0x", 503, code("relay_peer_away"), "relay_undelivered"),
        (TO_NODE + "0x", 503, code("relay_peer_silent"), "answer_lost"),
        (TO_NODE + "0x", 429, code("relay_rate"), "relay_refused"),
        (TO_NODE + "0x", 307, b"", "relay_refused"),
        (TO_NODE + "0x", 500, b"\xff", "relay_refused"),
        (TO_NODE + "0x", 400, code("key_configuration_stale"), "key_configuration_refused"),
        (TO_GATEWAY, 404, code("relay_unknown_node"), "relay_undelivered"),
        (TO_GATEWAY, 400, code("key_configuration_stale"), "gateway_keys_refused"),
    ],
)
async def test_a_relay_that_refuses(
    local: SealedNetwork, client: AsyncClient, path: str, status: int, body: bytes, reason: str
) -> None:
    """Each refusal has its reason; a redirection is followed nowhere."""
    instead(local, path, status, body)
    assert await failed(client, local) == reason


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"\0\7\5\xff\xff\0\0\0\0", "no_common_suite"),
        (b"\0", "relay_without_gateway"),
        (b"\0\1", "relay_without_gateway"),
    ],
)
async def test_a_relay_without_keys_of_a_gateway(
    local: SealedNetwork, client: AsyncClient, blob: bytes, reason: str
) -> None:
    """None, and what is none."""
    local.relay.mischief, local.relay.other_keys = Mischief.OTHER_KEYS, blob
    assert await failed(client, local) == reason


UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "noise": b"\xff noise",
    "an end that is missing": start_response(200, ()) + content_piece(b"{}"),
    "frames that are none": start_response(200, PADDED) + content_piece(b"\xff" * 300) + END,
    "half a frame": start_response(200, PADDED) + content_piece(bytes(100)) + END,
    "something behind the end": start_response(200, ()) + END + b"more",
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_sealed_answer_that_cannot_be_read(
    local: SealedNetwork, client: AsyncClient, name: str
) -> None:
    """What opens and is no response ends in one error, however it is wrong."""
    (window,) = local.gateway_keys.in_force()
    honest = local.relay._app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != TO_GATEWAY:
            await honest(scope, receive, send)
            return
        request = ServerRequest(window.keys)
        request.feed(await read_body(receive, 1 << 20))
        request.end()
        writer = request.response()
        answer = writer.header + writer.seal(UNREADABLE[name], final=True)
        await respond(send, 200, answer, content_type=CHUNKED_RESPONSE)

    local.relay._app = app
    assert await failed(client, local) == "sealed_answer_unreadable"


async def test_a_broken_refusal_leaves_no_connection_behind(
    local: SealedNetwork, client: AsyncClient
) -> None:
    """A refusal that breaks off is closed, so that a relay cannot use up a client's connections."""
    for node in local.nodes:
        node.behaviour = "busy"
    await client.way.path.passage("digits")  # type: ignore[attr-defined]
    local.relay.only = TO_NODE + hex0x(local.net.nodes[0].address)
    local.relay.mischief = Mischief.TRUNCATE
    for _ in range(6):
        with pytest.raises(HallmarkError):
            await client.ask("Which?", model="digits")
    assert local.relay.done
    assert not any(lane.in_use for lane in client.way._pool._lanes.values())  # type: ignore[attr-defined]


class Paying(PaidRequest):
    """A payment that goes with a question, and what became of it."""

    def __init__(self) -> None:
        super().__init__(None, "", b"", lambda _: pytest.fail("nothing is looked up"))
        self.fate: list[bool] = []

    @property
    def headers(self) -> Pairs:
        """See `PaidRequest`."""
        return ((b"hallmark-tokens", b"some"),)

    async def failed(self, *, sent: bool) -> None:
        """See `PaidRequest`."""
        self.fate.append(sent)


@pytest.mark.parametrize(
    "said",
    [
        (404, "relay_unknown_node"),
        (503, "relay_peer_away"),
        (503, "relay_peer_silent"),
        (400, "key_configuration_stale"),
        (429, "relay_rate"),
    ],
)
async def test_a_relays_word_gives_no_money_back(
    local: SealedNetwork, client: AsyncClient, said: tuple[int, str]
) -> None:
    """It may have handed the capsule in: what was paid is not spent again, and goes to no second node."""
    capsules = 0
    honest = local.relay._app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal capsules
        if scope["path"].startswith(TO_NODE + "0x"):
            capsules += 1
            await respond(send, said[0], code(said[1]))
        else:
            await honest(scope, receive, send)

    local.relay._app = app
    assert await _fate(client) == [True]
    assert capsules == 1


async def test_money_stays_where_nothing_left(local: SealedNetwork, client: AsyncClient) -> None:
    """A relay that cannot be connected to has got nothing."""
    question = client.question("/v1/chat/completions", ASKED)
    await question.prepare()
    client.way.path.link.url = f"http://127.0.0.1:{free_port()}"  # type: ignore[attr-defined]
    assert await _fate(client, question) == [False]
    assert not any(node.bodies for node in local.nodes)


async def _fate(client: AsyncClient, question: Asked | None = None) -> list[bool]:
    paying = Paying()
    if question is None:
        question = client.question("/v1/chat/completions", ASKED)
        await question.prepare()
    with pytest.raises(HallmarkError):
        async with question.sent(paying):
            pass
    return paying.fate
