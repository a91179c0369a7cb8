"""Anything may come: the answer is one of two errors, or a sealed response."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hallmark.core.errors import HallmarkError
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.privacy.binary_http import Request, encode_request
from hallmark.services.sealing.inner import Came, inner_scope
from hallmark.services.sealing.server import SealedApp
from hallmark.testing.sealing import PADDED, Holder, Sealed, ask, ratchet

HOLDER = Holder(ratchet())
REASONS = ("sealed_unreadable", "key_configuration_stale")
SOUND = Sealed(
    HOLDER.configuration(), Request(b"POST", b"https", b"hallmark.invalid", b"/x", (PADDED,), b"y")
)
FAST = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


async def _echo(_scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, await read_body(receive, 1 << 20))


def _app() -> SealedApp:
    return SealedApp(_echo, HOLDER)


@FAST
@given(st.binary(max_size=300), st.sampled_from([b"message/ohttp-req", b"message/ohttp-chunked-req"]))
def test_rubbish_is_one_of_two_errors(capsule: bytes, media_type: bytes) -> None:
    """Whatever bytes come."""
    outcome = asyncio.run(ask(_app(), capsule, media_type=media_type, pieces=2))
    assert (outcome.status, outcome.reason in REASONS) == (400, True)


@FAST
@given(
    st.integers(0, len(SOUND.capsule) - 1),
    st.integers(1, 255),
    st.sampled_from(["change", "cut", "drop", "put"]),
)
def test_damage_never_opens(at: int, value: int, how: str) -> None:
    """A byte changed, left out or put in, or an end cut off, anywhere."""
    data = SOUND.capsule
    damaged = {
        "change": data[:at] + bytes((data[at] ^ value,)) + data[at + 1 :],
        "cut": data[:at],
        "drop": data[:at] + data[at + 1 :],
        "put": data[:at] + bytes((value,)) + data[at:],
    }[how]
    outcome = asyncio.run(ask(_app(), damaged, pieces=3))
    if damaged != data:
        assert (outcome.status, outcome.reason in REASONS) == (400, True)


@FAST
@given(st.binary(max_size=400), st.integers(1, 9))
@example(b"", 1)
@example(b"\0", 1)
def test_whatever_was_sealed_is_answered_under_its_seal(message: bytes, pieces: int) -> None:
    """An opened message that is no request is told so to whoever sealed it, and to nobody else."""
    sealed = Sealed(HOLDER.configuration(), message or b"\0", pieces=pieces)
    outcome = asyncio.run(ask(_app(), sealed, pieces=pieces))
    assert outcome.status == 200
    assert 200 <= sealed.open(outcome.body).status < 600


TEXT = st.binary(max_size=20)


@FAST
@given(TEXT, TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=4), TEXT)
def test_whatever_request_comes_is_a_scope_or_an_error_with_a_reason(
    method: bytes, authority: bytes, path: bytes, headers: list[tuple[bytes, bytes]], content: bytes
) -> None:
    """Nobody else's exception leaves, whatever fields hold."""
    request = Request(method or b"GET", b"https", authority, b"/" + path, tuple(headers), content)
    came = Came(0, bytes(32), "", 1024)
    try:
        encode_request(request)
        scope = inner_scope(request, came, {}, frozenset((authority.lower(),)))
    except HallmarkError:
        return
    except UnicodeDecodeError:
        assert not (method + path).isascii()  # the decoder lets none of those pass
        return
    assert scope["path"].startswith("/")
