"""Signing in: a key proves itself once to one site; tokens are new, hashed, bounded in time; CSRF; Bearer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, Unauthorized
from hallmark.core.statements import SignIn
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.review.session_store import _SESSIONS
from hallmark.services.review.sessions import CSRF_HEADER, SignInRequest
from hallmark.testing.network import CHAIN_ID, key
from hallmark.testing.review_desk import ReviewDesk

PERSON = key("person")


def proof(office: ReviewDesk, signer: Key = PERSON, **changes: Any) -> SignInRequest:
    """A proof for a fresh challenge; `changes` replace fields before it is signed."""
    challenge = office.desk.sessions.challenge()
    statement = SignIn(
        unhex(challenge.network),
        PERSON.address,
        unhex(challenge.nonce),
        unhex(challenge.origin),
        challenge.at,
    )
    statement = msgspec.structs.replace(statement, **changes)
    return SignInRequest(statement.to_json(), hex0x(sign_statement(statement, CHAIN_ID, signer)))


async def refused(office: ReviewDesk, request: SignInRequest) -> str:
    """The sentence of a refused sign-in."""
    with pytest.raises(Unauthorized, match="sign_in_refused") as caught:
        await office.desk.sessions.sign_in(request)
    return caught.value.message


async def test_a_key_signs_in(office: ReviewDesk) -> None:
    """A proof opens a session that says whose key it was, and no token stands on disk."""
    session = await office.desk.sessions.sign_in(proof(office))
    found = await office.desk.sessions.person(session.token)
    assert found is not None
    assert (found.address, found.reviewer) == (hex0x(PERSON.address), False)
    (row,) = await office.desk.office.store.read(sa.select(_SESSIONS))
    assert session.token.encode() not in bytes(row.token)
    assert await office.desk.sessions.person("guess") is None


async def test_a_proof_counts_once(office: ReviewDesk) -> None:
    """Replaying a proof is refused, also when two come at the same time."""
    request = proof(office)
    await office.desk.sessions.sign_in(request)
    assert "used already" in await refused(office, request)


async def test_a_proof_is_for_now_here_and_its_own_key(office: ReviewDesk) -> None:
    """Another key, network, site, an old or a made-up challenge, a wrong clock: each is refused."""
    assert "not by that key" in await refused(office, proof(office, key("other")))
    assert "another network" in await refused(office, proof(office, network=bytes(32)))
    assert "another site" in await refused(office, proof(office, origin=bytes(32)))
    assert "not from here" in await refused(office, proof(office, nonce=b"\1" * 32))
    assert "not of now" in await refused(office, proof(office, at=1))
    late = proof(office, at=office.net.now + 5 * 60_000)
    office.net.tick(5 * 60_000)
    assert "too old" in await refused(office, late)
    with pytest.raises(HallmarkError, match="statement_fields"):
        await office.desk.sessions.sign_in(SignInRequest({}, "0x" + "00" * 65))


async def test_a_token_from_before_is_ended_at_sign_in(office: ReviewDesk) -> None:
    """Nobody can plant a session: the one that the browser brought is ended, and the new one is another."""
    sessions = office.desk.sessions
    planted = await sessions.sign_in(proof(office))
    office.net.tick(1)
    mine = await sessions.sign_in(proof(office), planted.token)
    assert mine.token != planted.token
    assert await sessions.person(planted.token) is None
    assert await sessions.person(mine.token) is not None


async def test_sessions_end(office: ReviewDesk) -> None:
    """A session ends when it is not used for an hour, twelve hours after sign-in at last, and at sign-out."""
    sessions = office.desk.sessions
    first = await sessions.sign_in(proof(office))
    office.net.tick(3_600_000)
    assert await sessions.person(first.token) is None
    second = await sessions.sign_in(proof(office))
    for _ in range(23):
        office.net.tick(1_800_000)
        assert await sessions.person(second.token) is not None
    office.net.tick(1_800_000)
    assert await sessions.person(second.token) is None
    third = await sessions.sign_in(proof(office))
    await sessions.sign_out(third.token)
    assert await sessions.person(third.token) is None


async def test_a_cookie_needs_the_csrf_token_to_change_something(office: ReviewDesk) -> None:
    """By cookie, changes need the session's own token in header or form; by Bearer they do not."""
    sessions = office.desk.sessions
    session = await sessions.sign_in(proof(office))
    cookie = {"cookie": f"a=b; {sessions.cookie_name}={session.token}"}
    assert (await sessions.require(cookie, changes=False)).address == hex0x(PERSON.address)
    for headers in (cookie, {**cookie, CSRF_HEADER: "0" * 64}):
        with pytest.raises(Unauthorized, match="csrf"):
            await sessions.require(headers)
    await sessions.require({**cookie, CSRF_HEADER: session.csrf})
    await sessions.require(cookie, csrf=session.csrf)
    await sessions.require({"authorization": f"Bearer {session.token}"})
    other = await sessions.sign_in(proof(office))
    with pytest.raises(Unauthorized, match="csrf"):
        await sessions.require({**cookie, CSRF_HEADER: other.csrf})
    with pytest.raises(Unauthorized, match="not_signed_in"):
        await sessions.require({})


async def test_cookies_are_bound_to_https_where_the_site_is() -> None:
    """On an https origin the cookie is Secure, of the host alone, not readable by scripts."""
    office = ReviewDesk(public_url="https://review.example")
    value = office.desk.sessions.set_cookie("token")
    assert value.startswith("__Host-hallmark-session=token; Path=/;")
    assert {"HttpOnly", "SameSite=Strict", "Secure"} <= set(value.split("; "))
    assert "Secure" not in ReviewDesk().desk.sessions.set_cookie("token")
    assert "Max-Age=0" in office.desk.sessions.set_cookie("")


async def test_who_is_a_reviewer_is_asked_of_the_log_each_time(office: ReviewDesk) -> None:
    """A reviewer whose key retires is none any more in a session that is still open."""
    reviewer = office.net.reviewers[0]
    challenge = office.desk.sessions.challenge()
    statement = SignIn(
        unhex(challenge.network),
        reviewer.address,
        unhex(challenge.nonce),
        unhex(challenge.origin),
        challenge.at,
    )
    request = SignInRequest(statement.to_json(), hex0x(sign_statement(statement, CHAIN_ID, reviewer.key)))
    session = await office.desk.sessions.sign_in(request)
    assert session.person.reviewer
    office.net.add(office.net.retirement(reviewer))
    await office.witness()
    person = await office.desk.sessions.person(session.token)
    assert person is not None
    assert not person.reviewer
