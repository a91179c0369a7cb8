"""Privacy Pass at the relay: the challenge, tokens that hold and tokens that do not, each spent once."""

from __future__ import annotations

import base64
import json
import re
import secrets
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hallmark.core.errors import Conflict, InvalidInput
from hallmark.core.hashing import sha256
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.services.relay.info import CHUNKED_REQUEST, CHUNKED_RESPONSE
from hallmark.services.relay.settings import Tokens
from hallmark.services.relay.spent import Spent
from hallmark.services.relay.tokens import PSS, TokenCheck, TokenNeeded
from hallmark.store import sqlite_url
from hallmark.store.raw import RawDatabase
from hallmark.testing.relay_network import relay_scene

KEY = rsa.generate_private_key(65_537, 2048)
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
TOKENS = Tokens("issuer.example", base64.urlsafe_b64encode(SPKI).decode(), "relay.example", 100)
NODE = b"\x01" * 20
NOW = 1_000.0


def made(challenge: bytes, key: rsa.RSAPrivateKey = KEY, kind: bytes = b"\0\x02") -> bytes:
    """A token for a challenge, as an issuer's blind signature comes out when it is unblinded."""
    signed = kind + secrets.token_bytes(32) + sha256(challenge) + sha256(SPKI)
    return signed + key.sign(signed, PSS, SHA384())


def shown(token: bytes) -> bytes:
    """The Authorization header."""
    return b'PrivateToken token="' + base64.urlsafe_b64encode(token) + b'"'


def test_the_challenge_is_that_of_the_rfc_and_the_same_for_everybody() -> None:
    """RFC 9577 section 2.1.1: type, issuer, a context of 32 bytes, origin; another one in another epoch."""
    check = TokenCheck(TOKENS)
    challenge = check.challenge(10)
    assert challenge[:18] == b"\0\x02\0\x0eissuer.example"
    assert challenge[18] == 32
    assert challenge[51:] == b"\0\x0drelay.example"
    assert TokenCheck(TOKENS).challenge(10) == challenge != check.challenge(11)
    error = check.needed("relay_token_missing", "x", NOW)
    ((name, value),) = error.headers
    found = re.fullmatch(rb'PrivateToken challenge="([^"]+)", token-key="([^"]+)"', value)
    assert name == b"www-authenticate"
    assert found
    assert base64.urlsafe_b64decode(found[1]) == challenge
    assert base64.urlsafe_b64decode(found[2]) == SPKI


def test_a_token_is_good_in_its_epoch_and_the_next() -> None:
    """Its nullifier is that of its signed part; padding and quotes may be missing."""
    check = TokenCheck(TOKENS)
    for epoch in (9, 10):
        token = made(check.challenge(epoch))
        bare = b"PrivateToken token=" + base64.urlsafe_b64encode(token).rstrip(b"=")
        for header in (shown(token), bare):
            found = check.verify(header, NOW)
            assert (found.epoch, found.nullifier) == (epoch, sha256(token[:98]))


def test_what_is_no_token_of_this_issuer_and_epoch_is_refused() -> None:
    """Other epochs, keys, types, bits, lengths and headers; none at all has a reason of its own."""
    check = TokenCheck(TOKENS)
    good = made(check.challenge(10))
    other = rsa.generate_private_key(65_537, 2048)
    wrong = [
        shown(made(check.challenge(8))),
        shown(made(check.challenge(11))),
        shown(made(check.challenge(10), other)),
        shown(made(check.challenge(10), kind=b"\0\x01")),
        shown(good[:-1] + bytes((good[-1] ^ 1,))),
        shown(good[:5] + bytes((good[5] ^ 1,)) + good[6:]),
        shown(good[:-1]),
        shown(good + b"\0"),
        b"Bearer x",
        b"PrivateToken token=A",
    ]
    for header in wrong:
        with pytest.raises(TokenNeeded) as refused:
            check.verify(header, NOW)
        assert refused.value.reason == "relay_token_invalid"
    with pytest.raises(TokenNeeded) as refused:
        check.verify(None, NOW)
    assert refused.value.reason == "relay_token_missing"


def test_an_issuers_key_is_an_rsa_key_of_2048_bits() -> None:
    """Anything else is refused at the start."""
    small = rsa.generate_private_key(65_537, 1024).public_key()
    der = small.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for text in ("", "!", "AAAA", base64.b64encode(der).decode()):
        with pytest.raises(InvalidInput, match="relay_token_key"):
            TokenCheck(Tokens("i", text))


async def test_tokens_are_spent_once_and_forgotten_with_their_epoch(tmp_path: Path) -> None:
    """A nullifier is on disk before its capsule goes; a restart does not forget it, its epoch's end does."""
    url = sqlite_url(tmp_path / "store.db")
    database = RawDatabase(url)
    spent = Spent(database)
    await spent.spend(10, b"n" * 32)
    await spent.spend(9, b"n" * 32)
    database.close()
    database = RawDatabase(url)
    spent = Spent(database)
    with pytest.raises(Conflict, match="relay_token_spent"):
        await spent.spend(10, b"n" * 32)
    await spent.forget(10)
    rows = database.read(lambda t: t.fetch("SELECT epoch FROM spent", ()))
    assert [row[0] for row in rows] == [10]
    database.close()


async def test_a_capsule_with_a_token_passes_once() -> None:
    """401 with the challenge, 200, 409; what is refused for another reason costs no token."""

    async def node(_scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, await read_body(receive, 100), content_type=CHUNKED_RESPONSE)

    tokens = Tokens("issuer.example", base64.b64encode(SPKI).decode())
    async with relay_scene({NODE: node}, node, tokens=tokens) as scene:

        async def post(token: bytes | None, where: str) -> tuple[int, bytes, str]:
            headers = [(b"content-type", CHUNKED_REQUEST)]
            headers += [(b"authorization", shown(token))] if token else []
            async with Pool().request("POST", where, headers, b"x") as response:
                body, challenge = await response.read(), response.header(b"www-authenticate") or b""
            return response.status, challenge, body.decode()

        status, asked, _ = await post(None, scene.to(NODE))
        found = re.search(rb'challenge="([^"]+)"', asked)
        assert (status, bool(found)) == (401, True)
        assert found
        token = made(base64.urlsafe_b64decode(found[1]))
        assert (await post(token, scene.to(b"\x09" * 20)))[0] == 404
        assert (await post(token, scene.to(NODE)))[::2] == (200, "x")
        status, _, body = await post(token, scene.to(NODE))
        assert (status, json.loads(body)["error"]["code"]) == (409, "relay_token_spent")
