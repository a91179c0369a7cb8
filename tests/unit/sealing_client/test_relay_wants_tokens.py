"""A relay that takes Privacy Pass tokens: a sealed client gets them from the issuer that its owner names."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hallmark import AsyncClient
from hallmark.core.hashing import sha256
from hallmark.core.tokens import token_challenge
from hallmark.http.serve import Listen, Service, bind
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sealing.refusals import CLEAR, NotReached
from hallmark.services.sealing.relay_tokens import BATCH, challenge_in
from hallmark.testing.listening import listening
from hallmark.testing.ports import free_port
from hallmark.testing.private_tokens import PrivateTokenIssuer, WantsTokens
from hallmark.testing.sealed_network import SealedNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.tokens import SIGNING

Pair = tuple[WantsTokens, PrivateTokenIssuer]


class Door:
    """A relay that wants tokens, in front of the network's, and its issuer; `relay_url` and `issuer_url`."""

    def __init__(self, local: SealedNetwork) -> None:
        self.local = local
        self.issuer = PrivateTokenIssuer()
        self.relay = WantsTokens(local.relay, self.issuer)
        self.relay_url = self.issuer_url = ""

    def client(self, **more: Any) -> AsyncClient:
        """A client that goes through this relay."""
        verifier = Verifier(self.local.trust, verify_stub_evidence)
        given = {"relay": self.relay_url, "relay_issuer": self.issuer_url} | more
        return AsyncClient(privacy="sealed", verifier=verifier, timeout=5.0, **given)

    async def refused(self, **more: Any) -> NotReached:
        """How a question ends that this relay does not take; no capsule has come through it."""
        async with self.client(**more) as client:
            with pytest.raises(NotReached) as caught:
                await client.ask("Which?", model="digits")
        assert not self.local.honest.seen
        assert CLEAR in caught.value.hint
        return caught.value


@pytest.fixture
async def door(local: SealedNetwork) -> AsyncIterator[Door]:
    """The relay and the issuer, listening."""
    made = Door(local)
    async with contextlib.AsyncExitStack() as stack:
        sock = bind(Listen(free_port()))
        made.relay_url = await stack.enter_async_context(listening(Service(made.relay), sock))
        sock = bind(Listen(free_port()))
        made.issuer_url = await stack.enter_async_context(listening(Service(made.issuer), sock))
        yield made


async def test_each_capsule_goes_with_a_token_of_its_own(door: Door) -> None:
    """They are made in batches, and none of them is one that the issuer saw."""
    async with door.client() as client:
        for _ in range(2):
            assert (await client.ask("Which?", model="digits")).receipt.id
    sent = len(door.local.honest.seen)
    assert sent == len(door.relay.spent) >= 4
    assert len(door.issuer.asked) == -(-sent // BATCH) * BATCH
    assert len(set(door.issuer.asked)) == len(door.issuer.asked)


async def test_without_an_issuer_nothing_is_sent(door: Door) -> None:
    """The refusal says what is wanted and how to name who makes it."""
    error = await door.refused(relay_issuer=None)
    assert error.reason == "relay_wants_token"
    assert "--relay-issuer" in error.hint


async def test_a_client_that_outlives_an_epoch_asks_for_the_new_one(door: Door) -> None:
    """What the relay said of itself days ago is not what it wants now."""
    door.relay.stale = True
    async with door.client() as client:
        await client.way.path.link.info()  # type: ignore[attr-defined]
        door.relay.stale = False
        assert (await client.ask("Which?", model="digits")).receipt.id


async def test_what_a_401_asks_for_is_got(door: Door) -> None:
    """A relay that began to want tokens, or another key's, after it was asked what it wants."""
    async with door.client() as client:
        link = client.way.path.link  # type: ignore[attr-defined]
        info = await link.info()
        link._info = msgspec.structs.replace(info, tokens=None)
        assert (await client.ask("Which?", model="digits")).receipt.id
    door.relay.silent = True
    async with door.client() as client:
        with pytest.raises(NotReached, match="relay_challenge_other"):
            await client.ask("Which?", model="digits")


def _challenge(context: bytes) -> str:
    return base64.urlsafe_b64encode(token_challenge(b"issuer.test", context, b"relay.test")).decode()


@pytest.mark.parametrize(
    "challenge",
    [
        _challenge(sha256(b"you, and nobody else")),
        _challenge(b"short"),
        "AAIA",
        "AAE",
        "!",
        _challenge(b"")[:-4],
    ],
)
async def test_a_challenge_that_tags_is_not_answered(door: Door, challenge: str) -> None:
    """A relay cannot know a client again by what it asked it for; nobody is asked for a token."""
    door.relay.challenge = challenge
    assert (await door.refused()).reason == "relay_challenge_other"
    assert not door.issuer.asked


async def test_a_key_that_the_issuer_does_not_show_is_not_used(door: Door) -> None:
    """Neither can it be told by a key of its own."""
    door.issuer.spki = SIGNING[1].public.spki
    error = await door.refused()
    assert error.reason == "relay_issuer_other"
    assert not door.issuer.asked


async def test_an_issuer_that_is_away(door: Door) -> None:
    """Or that is none, or whose signatures do not hold."""
    assert (await door.refused(relay_issuer="http://127.0.0.1:9")).reason == "relay_issuer_away"
    assert (await door.refused(relay_issuer=door.relay_url)).reason == "relay_issuer_away"
    door.issuer.down = True
    assert (await door.refused()).reason == "relay_issuer_away"
    door.issuer.down = False
    door.issuer._key = SIGNING[1]
    assert (await door.refused()).reason == "relay_issuer_away"


def test_challenges_are_read_as_the_rfc_writes_them() -> None:
    """RFC 9577 section 2.1: parameters with and without quotes; other schemes ask for nothing here."""
    for header in (
        b'PrivateToken challenge="AAI=", token-key="MII="',
        b"privatetoken challenge=AAI=,token-key=MII=",
    ):
        asked = challenge_in(header)
        assert asked is not None
        assert (asked.challenge, asked.token_key) == ("AAI=", "MII=")
    for header in (
        None,
        b"",
        b"Basic realm=x",
        b'PrivateToken challenge="AAI="',
        b'PrivateToken token-key="x"',
    ):
        assert challenge_in(header) is None
