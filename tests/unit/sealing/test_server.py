"""What comes sealed is opened, asked of the inner application, and answered under the same seal."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.sealing import SUITES
from hallmark.crypto.hpke import AEAD_AES128, AEAD_CHACHA20, KEM_X25519, KEM_XWING
from hallmark.http.asgi import Message, Receive, Scope, Send, read_body, respond, respond_json
from hallmark.privacy.binary_http import Request, encode_request
from hallmark.services.sealing.inner import came_sealed
from hallmark.services.sealing.replays import ReplayCache
from hallmark.services.sealing.server import SealedApp
from hallmark.testing.sealing import PADDED, Holder, Sealed, ask, foreign, get, post, ratchet

HOLDER = Holder(ratchet(), (0, 1))
WORD = b"persimmon"


class Echo:
    """Answers with what it was asked; notes each scope."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body = await read_body(receive, 1 << 20)
        self.bodies.append(body)
        if scope["path"] == "/error":
            raise InvalidInput("bad_thing", "A thing is bad.", "Make it good.")
        if scope["path"] == "/bug":
            raise RuntimeError(WORD.decode())
        if scope["path"] == "/cut":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half an answer", "more_body": True})
            raise RuntimeError(WORD.decode())
        if scope["path"] == "/head-only":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return
        if scope["path"] == "/nothing":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        await respond(send, 200, body or b"{}")


def served(echo: Echo | None = None, **options: Any) -> tuple[SealedApp, Echo]:
    """An application behind its seal."""
    echo = echo or Echo()
    options.setdefault("tell", lambda _scope, _error: None)
    return SealedApp(echo, HOLDER, **options), echo


@pytest.mark.parametrize("kem", [KEM_X25519, KEM_XWING])
@pytest.mark.parametrize("aead", [AEAD_AES128, AEAD_CHACHA20])
@pytest.mark.parametrize("chunked", [True, False])
async def test_every_suite_and_form_is_answered_under_its_seal(kem: int, aead: int, chunked: bool) -> None:
    """The inner application gets the request as on the plain path, and is told how it came."""
    app, echo = served()
    request = post("/v1/thing?a=b%20c", b'{"x":1}', ((b"hallmark-relay", b"https://relay.test"),))
    sealed = Sealed(HOLDER.configuration(kem), request, aead=aead, chunked=chunked)
    outcome = await ask(app, sealed, pieces=3)
    assert outcome.status == 200
    assert outcome.ended
    kind = b"message/ohttp-chunked-res" if chunked else b"message/ohttp-res"
    assert outcome.headers[b"content-type"] == kind
    answer = sealed.open(outcome.body)
    assert (answer.status, answer.content) == (200, b'{"x":1}')
    (scope,) = echo.scopes
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/v1/thing", b"a=b%20c")
    assert scope["client"] is None
    came = came_sealed(scope)
    assert came is not None
    assert came.window == 0
    assert came.configuration == HOLDER.windows[0].configuration
    assert came.suite == SUITES[kem, 1, aead]
    assert (came.size, came.relay) == (1024, "https://relay.test")


async def test_a_scope_of_the_plain_path_says_nothing_of_sealing() -> None:
    """Only what came sealed is said to have."""
    assert came_sealed({"type": "http"}) is None
    assert came_sealed({"type": "http", "extensions": {"tls": {}}}) is None


async def test_the_response_says_nothing_in_clear() -> None:
    """Neither what was asked, nor the status, nor a header of the answer stands in what leaves."""
    app, _ = served()
    sealed = Sealed(HOLDER.configuration(), post("/v1/thing", WORD))
    outcome = await ask(app, sealed)
    assert WORD not in sealed.capsule + outcome.body
    assert b"application/json" not in outcome.body


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/error", 400, "bad_thing"), ("/bug", 500, "internal_error")]
)
async def test_errors_of_the_application_are_sealed(path: str, status: int, code: str) -> None:
    """What goes wrong inside is told inside; a bug says nothing of its cause."""
    told: list[Exception] = []
    app, _ = served(tell=lambda _scope, error: told.append(error))
    sealed = Sealed(HOLDER.configuration(), post(path, b"x"))
    outcome = await ask(app, sealed)
    answer = sealed.open(outcome.body)
    assert (outcome.status, answer.status, answer.json()["error"]["code"]) == (200, status, code)
    assert WORD not in answer.content
    assert len(told) == (code == "internal_error")


@pytest.mark.parametrize("path", ["/cut", "/head-only"])
async def test_a_cut_answer_has_no_final_chunk(path: str) -> None:
    """What came of it opens, and the end is missing both inside and outside."""
    app, _ = served()
    sealed = Sealed(HOLDER.configuration(), post(path, b"x"))
    outcome = await ask(app, sealed)
    assert outcome.status == 200
    assert not outcome.ended
    reader = sealed.client.response()
    chunks = reader.feed(outcome.body)
    assert any(b"half an answer" in chunk for chunk in chunks) == (path == "/cut")
    with pytest.raises(VerificationFailed, match="cut off"):
        reader.end()


@pytest.mark.parametrize("path", ["/cut", "/head-only"])
async def test_a_cut_answer_without_chunks_is_none(path: str) -> None:
    """Where there is one sealed text, nothing of it leaves."""
    app, _ = served()
    sealed = Sealed(HOLDER.configuration(), post(path, b"x"), chunked=False)
    outcome = await ask(app, sealed)
    assert not outcome.ended
    with pytest.raises(VerificationFailed):
        sealed.open(outcome.body)


async def test_an_answer_without_a_body_has_none() -> None:
    """Neither 204 nor the answer to HEAD holds a frame."""
    app, _ = served()
    for request in (
        post("/nothing", b""),
        Request(b"HEAD", b"https", b"hallmark.invalid", b"/v1/x", (PADDED,)),
    ):
        sealed = Sealed(HOLDER.configuration(), request)
        answer = sealed.open((await ask(app, sealed)).body)
        assert answer.content == b""
        assert len(answer.chunks) == 2


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


SOUND = Sealed(HOLDER.configuration(), post("/v1/thing", b"x" * 2000), pieces=3)


DAMAGED = {
    "nothing": b"",
        "no header": SOUND.capsule[:5],
        "no key": SOUND.capsule[:20],
        "cut in a chunk": SOUND.capsule[:-40],
        "cut between chunks": SOUND.client.header,
        "a bit of the key": _flipped(SOUND.capsule, 10),
        "a bit of the last chunk": _flipped(SOUND.capsule, len(SOUND.capsule) - 1),
        "a bit of the first chunk": _flipped(SOUND.capsule, 60),
        "a KEM that the key has not": _flipped(SOUND.capsule, 2),
        "a KDF that there is not": _flipped(SOUND.capsule, 4),
        "another AEAD": _flipped(SOUND.capsule, 6),
        "bytes behind the end": SOUND.capsule + b"\0",
        "twice": SOUND.capsule + SOUND.capsule,
        "to somebody else's key": Sealed(
            foreign(HOLDER.configuration(), ratchet().keys(3)), post("/v1/thing", b"x")
        ).capsule,
}  # fmt: skip


@pytest.mark.parametrize("why", DAMAGED)
async def test_what_does_not_open_is_one_error_without_detail(why: str) -> None:
    """Every damage gives the same bytes, and the application is not asked."""
    capsule = DAMAGED[why]
    app, echo = served()
    outcome = await ask(app, capsule, pieces=2)
    assert (outcome.status, outcome.reason) == (400, "sealed_unreadable"), why
    assert outcome.body == (await ask(app, HOLDER.configuration().encode()[:1] + b"rubbish")).body
    assert not echo.scopes


async def test_a_key_that_is_not_in_force_is_stale() -> None:
    """Its id stands in clear, so saying so gives nothing away."""
    app, echo = served()
    configuration = msgspec.structs.replace(HOLDER.configuration(), key_id=99)
    outcome = await ask(app, Sealed(configuration, post("/v1/thing", b"x")))
    assert (outcome.status, outcome.reason) == (400, "key_configuration_stale")
    assert not echo.scopes


@pytest.mark.parametrize(
    ("media_type", "headers"),
    [
        (b"application/json", ()),
        (b"message/ohttp-req", ()),
        (b"message/ohttp-chunked-res", ()),
        (b"message/ohttp-chunked-req", ((b"content-encoding", b"gzip"),)),
        (b"message/ohttp-chunked-req", ((b"content-length", b"99999999999"),)),
    ],
)
async def test_what_does_not_say_what_it_is_cannot_be_read(media_type: bytes, headers: Any) -> None:
    """Another media type, another coding, an announced length beyond the limit."""
    app, echo = served()
    outcome = await ask(app, SOUND, media_type=media_type, headers=headers)
    assert (outcome.status, outcome.reason) == (400, "sealed_unreadable")
    assert not echo.scopes


async def test_other_methods_are_told_so() -> None:
    """GET on the sealed path is plain HTTP's own error."""
    app, _ = served()
    seen: list[Message] = []

    async def send(message: Message) -> None:
        seen.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v1/hallmark/sealed", "headers": []}
    await app(scope, send, send)  # type: ignore[arg-type]  # nothing is received
    assert seen[0]["status"] == 405


async def test_a_request_is_taken_once() -> None:
    """The same bytes again, and the same key with other bytes behind it, are refused; another is taken."""
    app, echo = served()
    sealed = Sealed(HOLDER.configuration(), post("/v1/thing", b"x"))
    assert (await ask(app, sealed)).status == 200
    for again in (sealed.capsule, sealed.capsule[:-1] + b"\0"):
        assert (await ask(app, again)).reason == "sealed_unreadable"
    assert (await ask(app, Sealed(HOLDER.configuration(), post("/v1/thing", b"x")))).status == 200
    assert len(echo.scopes) == 2


async def test_a_request_that_did_not_open_is_not_remembered() -> None:
    """Whoever damages a copy does not take the place of the request itself."""
    app, _ = served()
    sealed = Sealed(HOLDER.configuration(), post("/v1/thing", b"x"))
    assert (await ask(app, sealed.capsule[:-1])).reason == "sealed_unreadable"
    assert (await ask(app, sealed)).status == 200


async def test_two_copies_at_once_are_answered_once() -> None:
    """However they race, the application is asked by one of them."""
    app, echo = served()
    sealed = Sealed(HOLDER.configuration(), post("/v1/thing", b"x"))
    outcomes = await asyncio.gather(*(ask(app, sealed, pieces=4) for _ in range(3)))
    assert sorted(each.status for each in outcomes) == [200, 400, 400]
    assert len(echo.scopes) == 1


async def test_a_full_window_refuses_under_the_seal() -> None:
    """When no more can be remembered nothing more is taken, and what was seen stays seen."""
    app, echo = served(replays=ReplayCache(bytes(32), most=1))
    first = Sealed(HOLDER.configuration(), post("/v1/thing", b"x"))
    second = Sealed(HOLDER.configuration(), post("/v1/thing", b"y"))
    assert (await ask(app, first)).status == 200
    answer = second.open((await ask(app, second)).body)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "sealed_window_full")
    assert (await ask(app, first)).reason == "sealed_unreadable"
    other = Sealed(HOLDER.configuration(window=1), post("/v1/thing", b"z"))
    assert (await ask(app, other)).status == 200
    assert len(echo.scopes) == 2


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"\x07rubbish", 400, "bad_binary_http"),
        (encode_request(get("/v1/x")) + b"\1", 400, "bad_binary_http"),
        (post("/v1/x", b"", authority=b"other.test"), 421, "sealed_foreign_authority"),
        (post("/v1/x", b"", ((b"host", b"other.test"),)), 421, "sealed_foreign_authority"),
        (post("/v1/x", b"", authority=b""), 421, "sealed_foreign_authority"),
        (post("/v1/hallmark/sealed", b""), 400, "sealed_nested"),
        (post("/v1/hallmark/sealed/", b""), 400, "sealed_nested"),
        (post("/v1/hallmark/%73ealed", b""), 400, "sealed_nested"),
        (post("/v1/x", b"", ((b"transfer-encoding", b"chunked"),)), 400, "sealed_request_unfit"),
        (post("/v1/x", b"ab", ((b"content-length", b"3"),)), 400, "sealed_request_unfit"),
        (Request(b"OPTIONS", b"https", b"hallmark.invalid", b"*"), 400, "sealed_request_unfit"),
        (post("/v1/x", b"", ((b"hallmark-relay", b"a b"),)), 400, "bad_relay"),
        (post("/v1/x", b"", ((b"hallmark-relay", b"r" * 201),)), 400, "bad_relay"),
        (post("/forbidden", b""), 404, "unknown_path"),
    ],
)
async def test_what_cannot_be_asked_sealed_is_told_under_the_seal(
    request_: Request | bytes, status: int, code: str
) -> None:
    """Requests that open but are none, or not for this server: the application is not asked."""
    app, echo = served(authorities=("node.test:1",), allows=lambda _method, path: path != "/forbidden")
    sealed = Sealed(HOLDER.configuration(), request_)
    outcome = await ask(app, sealed)
    answer = sealed.open(outcome.body)
    assert (outcome.status, answer.status, answer.json()["error"]["code"]) == (200, status, code)
    assert not echo.scopes


@pytest.mark.parametrize("authority", [b"node.test:1", b"NODE.test:1", b"hallmark.invalid"])
async def test_its_own_names_are_taken(authority: bytes) -> None:
    """The server's own name, and the one that names nobody."""
    app, _ = served(authorities=("node.test:1",))
    sealed = Sealed(HOLDER.configuration(), post("/v1/x", b"{}", authority=authority))
    assert sealed.open((await ask(app, sealed)).body).status == 200


async def test_content_beyond_the_limit_cannot_be_read() -> None:
    """The limit is on the whole sealed request, and on what opens of it, however it is cut up."""
    app, echo = served(body=1000)
    large = post("/v1/thing", b"x" * 600_000)
    for pieces in (1, 50):
        outcome = await ask(app, Sealed(HOLDER.configuration(), large, pieces=pieces), pieces=7)
        assert (outcome.status, outcome.reason) == (400, "sealed_unreadable")
    assert not echo.scopes


async def test_a_request_that_never_ends_is_given_up() -> None:
    """Bytes that come too slowly end like everything that cannot be read."""
    app, _ = served(body_s=0.01)
    seen: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def send(message: Message) -> None:
        seen.append(message)

    kind = [(b"content-type", b"message/ohttp-chunked-req")]
    await app({"type": "http", "method": "POST", "path": "/", "headers": kind}, receive, send)
    assert seen[0]["status"] == 400
    assert b"sealed_unreadable" in seen[1]["body"]


async def test_whoever_leaves_early_is_not_waited_for() -> None:
    """A client that goes before its request is whole gets nothing; one that goes later is told of inside."""
    app, echo = served()
    gone = asyncio.Event()
    gone.set()
    whole = SOUND.capsule

    async def receive() -> Message:
        if not gone.is_set():
            return {"type": "http.disconnect"}
        gone.clear()
        return {"type": "http.request", "body": whole[:100], "more_body": True}

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is sent")

    kind = [(b"content-type", b"message/ohttp-chunked-req")]
    await app({"type": "http", "method": "POST", "path": "/", "headers": kind}, receive, send)
    assert not echo.scopes


async def test_the_application_learns_that_the_client_went() -> None:
    """As on the plain path: `receive` says so after the content."""
    seen: list[str] = []

    async def waiting(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        gone.set()
        seen.append((await receive())["type"])
        await respond_json(send, {})

    gone = asyncio.Event()
    app = SealedApp(waiting, HOLDER)
    await ask(app, Sealed(HOLDER.configuration(), post("/v1/x", b"{}")), gone=gone)
    assert seen == ["http.disconnect"]
