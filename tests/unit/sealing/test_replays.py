"""What was seen in a window is known for as long as it is open."""

from __future__ import annotations

import os

import pytest

from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.privacy.ohttp import KeyConfiguration, decode_list
from hallmark.services.gateway.sealed import TURN_MS, GatewayKeys
from hallmark.services.sealing.keys import ScheduledKeys
from hallmark.services.sealing.replays import ReplayCache
from hallmark.services.sealing.server import SealedApp
from hallmark.testing.sealing import EVERY, SINCE, Sealed, ask, from_blob, post, ratchet


def test_each_is_admitted_once() -> None:
    """Ten thousand keys of both sizes; each is known afterwards, in the next window too, and none is that is
    new.
    """
    cache = ReplayCache(os.urandom(32))
    seen = [os.urandom(32 if number % 2 else 1120) for number in range(10_000)]
    for key in seen:
        cache.admit(7, key)
    for key in seen[::7]:
        with pytest.raises(VerificationFailed):
            cache.admit(7, key)
        with pytest.raises(VerificationFailed):
            cache.admit(8, key)
    cache.admit(8, os.urandom(32))


def test_what_is_forgotten_is_the_whole_window() -> None:
    """Windows that are kept forget nothing."""
    cache = ReplayCache(bytes(32))
    cache.admit(1, b"a")
    cache.admit(2, b"b")
    cache.forget(2)
    cache.admit(2, b"a")
    with pytest.raises(VerificationFailed):
        cache.admit(2, b"b")


def test_a_full_window_takes_nothing_more() -> None:
    """It refuses what is new, and still knows what is not."""
    cache = ReplayCache(bytes(32), most=3)
    for key in (b"a", b"b", b"c"):
        cache.admit(1, key)
    with pytest.raises(Unavailable, match="remembered"):
        cache.admit(1, b"d")
    with pytest.raises(VerificationFailed):
        cache.admit(1, b"a")
    cache.admit(2, b"d")


def test_memory_is_what_is_kept_of_them() -> None:
    """Eight bytes each and a little around them."""
    cache = ReplayCache(bytes(32))
    for number in range(50_000):
        cache.admit(1, number.to_bytes(32, "big"))
    buckets = cache._windows[1]._buckets.values()
    assert sum(map(len, buckets)) == 8 * 50_000
    assert len(buckets) <= 4096


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """Whatever is asked."""
    await respond(send, 200, b"{}")


def sealed_to(configuration: KeyConfiguration) -> Sealed:
    """A request of its own."""
    return Sealed(configuration, post("/v1/thing", b"x"))


async def test_a_clock_that_is_set_back_and_forth_makes_no_request_new() -> None:
    """Who runs the host sets the clock: what was seen in a window that began early is known when it comes
    again, whatever was asked in between.
    """
    at = [SINCE + EVERY - 1]
    app = SealedApp(answers, ScheduledKeys(ratchet(), lambda: at[0]))
    first, second = (from_blob(ratchet().blob(window)) for window in (0, 1))
    early = sealed_to(second)
    assert (await ask(app, early)).status == 200
    at[0] = SINCE + 1
    assert (await ask(app, sealed_to(first))).status == 200
    at[0] = SINCE + EVERY
    assert (await ask(app, early)).reason == "sealed_unreadable"
    assert (await ask(app, sealed_to(second))).status == 200
    at[0] = SINCE + 2 * EVERY - 1
    assert (await ask(app, sealed_to(second))).status == 200
    assert (await ask(app, early)).reason == "sealed_unreadable"


async def test_a_gateway_takes_no_request_twice_however_long_one_waits() -> None:
    """Keys of the turn before still open what was under way, once; then they are gone, with what was
    remembered of them, and a clock that is set back brings nothing back.
    """
    at = [10 * TURN_MS]
    keys = GatewayKeys(os.urandom, lambda: at[0])
    app = SealedApp(answers, keys)
    blob = keys.published
    early, late = sealed_to(from_blob(blob)), sealed_to(from_blob(blob))
    assert (await ask(app, early)).status == 200
    at[0] += TURN_MS
    assert keys.published != blob
    assert (await ask(app, early)).reason == "sealed_unreadable"
    assert (await ask(app, late)).status == 200
    assert (await ask(app, sealed_to(from_blob(keys.published)))).status == 200
    at[0] += TURN_MS
    for again in (early, late):
        assert (await ask(app, again)).reason == "key_configuration_stale"
    at[0] = 10 * TURN_MS
    assert (await ask(app, early)).reason == "key_configuration_stale"


def test_a_gateways_keys_of_two_turns_have_different_ids() -> None:
    """So who has older ones is told so; after a long silence none but the newest are there."""
    for first in (0, 1, 253, 254, 255):
        at = [0]
        keys = GatewayKeys(lambda n: bytes([first]) if n == 1 else os.urandom(n), lambda: at[0])  # noqa: B023
        for turn in (1, 2, 3):
            at[0] = turn * TURN_MS
            newest, before = keys.in_force()
            assert len(newest.keys.keys() | before.keys.keys()) == 4
            assert {key.key_id for key in decode_list(keys.published)} == newest.keys.keys()
        at[0] = 9 * TURN_MS
        assert [window.number for window in keys.in_force()] == [9]
