"""Route tickets: recorded when they hold, refused when they cannot."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.core.beacon import EMPTY_ROOT, network_id
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Attempt, Candidate, Candidates, Exclusion, KeyBundle
from hallmark.core.receipt import Mode
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import Key, recover_statement, sign_statement
from hallmark.services.enclave import routes
from hallmark.testing.runtime import CHAIN_ID, MemoryRuntime

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
GATEWAY = Key.generate()
OTHER = Key.generate()


def candidates(runtime: MemoryRuntime, **changes: Any) -> Candidates:
    """A list that has this node in second place."""
    bundle = hex0x(digest_of(KeyBundle, runtime.bundle))
    rows = (
        Candidate(hex0x(OTHER.address), hex0x(bytes(32))),
        Candidate(hex0x(runtime.address), changes.pop("bundle", bundle)),
    )
    excluded = (Exclusion(hex0x(GATEWAY.address), "no_capacity"),)
    return Candidates("tiny", Mode.TEE, changes.pop("rows", rows), excluded)


def ticket(document: bytes, **changes: Any) -> Ticket:
    """A ticket for a candidates document, good for an hour of the runtime's clock."""
    fields: dict[str, Any] = {
        "network": network_id("tests"),
        "gateway": GATEWAY.address,
        "candidates": digest_of(Candidates, document),
        "beacon_size": 0,
        "beacon_root": EMPTY_ROOT,
        "issued": 1_800_000_000_000,
        "expires": 1_800_003_600_000,
        "nonce": bytes(32),
    }
    return Ticket(**(fields | changes))


def headers(document: bytes, signed: Ticket, key: Key = GATEWAY, attempts: str = "[]") -> dict[str, str]:
    """The headers that a gateway sends."""
    packed = signed.pack() + sign_statement(signed, CHAIN_ID, key)
    return {
        "Hallmark-Ticket": base64.b64encode(packed).decode(),
        "Hallmark-Candidates": base64.b64encode(document).decode(),
        "Hallmark-Attempts": attempts,
    }


async def test_a_ticket_goes_into_the_receipt(
    client: httpx.AsyncClient, runtime: MemoryRuntime, check: Any
) -> None:
    """The route record names ticket, node and earlier attempts; the log entry carries all three documents."""
    document = candidates(runtime).encode()
    signed = ticket(document)
    tried = [Attempt(hex0x(OTHER.address), "connect_failed")]
    sent = headers(document, signed, attempts=msgspec.json.encode(tried).decode())
    checked = check(await client.post(CHAT, json=HELLO, headers=sent))
    assert checked.route.path == "plain"
    assert checked.route.saw_prompt == ("gateway", "enclave")
    assert unhex(checked.route.ticket) == signed.struct_hash()
    assert checked.route.chosen == hex0x(runtime.address)
    assert checked.route.attempts == tuple(tried)
    record, listed, packed = runtime.drafts[0].attachments
    assert (listed, packed[:-65]) == (document, signed.pack())
    assert record.decode() == checked.hallmark["documents"]["route"]
    assert unhex(checked.hallmark["ticket"]) == packed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"network": bytes(32)}, "ticket_mismatch"),
        ({"gateway": OTHER.address}, "ticket_mismatch"),
        ({"candidates": bytes(32)}, "ticket_mismatch"),
    ],
)
async def test_tickets_that_cannot_hold_are_refused(
    client: httpx.AsyncClient, runtime: MemoryRuntime, change: dict[str, Any], reason: str
) -> None:
    """Another network, signer or list would fail every full node's check, so no work is done."""
    document = candidates(runtime).encode()
    response = await client.post(CHAT, json=HELLO, headers=headers(document, ticket(document, **change)))
    assert (response.status_code, response.json()["error"]["code"]) == (400, reason)
    assert runtime.signed == []


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"expires": 1_799_999_939_000}, "ticket_expired", "ran out 61 s ago"),
        ({"issued": 1_800_000_062_900}, "ticket_early", "is made in 62 s only"),
    ],
)
async def test_clocks_that_differ_are_the_servers_fault(
    client: httpx.AsyncClient, runtime: MemoryRuntime, change: dict[str, Any], reason: str, told: str
) -> None:
    """A ticket that is not valid by this clock is refused, either way, with how much it lacks; not as
    a fault of the request.
    """
    document = candidates(runtime).encode()
    response = await client.post(CHAT, json=HELLO, headers=headers(document, ticket(document, **change)))
    assert (response.status_code, response.json()["error"]["code"]) == (503, reason)
    assert told in response.json()["error"]["message"]
    assert runtime.signed == []


async def test_a_ticket_that_expired_within_the_skew_is_taken(
    client: httpx.AsyncClient, runtime: MemoryRuntime
) -> None:
    """Clocks may differ by a minute."""
    document = candidates(runtime).encode()
    sent = headers(document, ticket(document, expires=1_799_999_999_000))
    assert (await client.post(CHAT, json=HELLO, headers=sent)).status_code == 200


async def test_a_list_without_this_node_and_bundle_is_refused(
    client: httpx.AsyncClient, runtime: MemoryRuntime
) -> None:
    """The node must be among the candidates, with the bundle that it has now."""
    for changes in ({"rows": ()}, {"bundle": hex0x(bytes(32))}):
        document = candidates(runtime, **changes).encode()
        response = await client.post(CHAT, json=HELLO, headers=headers(document, ticket(document)))
        assert response.json()["error"]["code"] == "ticket_mismatch"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Hallmark-Ticket", "not base64!"),
        ("Hallmark-Ticket", base64.b64encode(b"short").decode()),
        ("Hallmark-Candidates", ""),
        ("Hallmark-Candidates", base64.b64encode(b"{}").decode()),
        ("Hallmark-Candidates", base64.b64encode(bytes(40_000)).decode()),
        ("Hallmark-Attempts", "{}"),
        ("Hallmark-Attempts", "["),
        ("Hallmark-Attempts", json.dumps([{"node": "0x" + "00" * 20, "outcome": "x"}] * 9)),
        ("Hallmark-Attempts", json.dumps([{"node": "0x" + "00" * 20, "outcome": "x" * 65}])),
        ("Hallmark-Attempts", json.dumps([{"node": "someone", "outcome": "x"}])),
    ],
)
async def test_headers_that_cannot_be_read_are_refused(
    client: httpx.AsyncClient, runtime: MemoryRuntime, name: str, value: str
) -> None:
    """Damaged, missing or oversized headers have one reason."""
    document = candidates(runtime).encode()
    sent = headers(document, ticket(document)) | {name: value}
    response = await client.post(CHAT, json=HELLO, headers=sent)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_ticket")


async def test_a_ticket_that_many_requests_share_is_verified_once(
    client: httpx.AsyncClient, runtime: MemoryRuntime, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signature is recovered once; its time and each request's own attempts are looked at every time."""
    recovered: list[bytes] = []

    def counted(statement: Ticket, chain_id: int, signature: bytes) -> bytes:
        recovered.append(signature)
        return recover_statement(statement, chain_id, signature)

    monkeypatch.setattr(routes, "recover_statement", counted)
    document = candidates(runtime).encode()
    signed = ticket(document)
    tried = [Attempt(hex0x(OTHER.address), "connect_failed")]
    for attempts in ("[]", msgspec.json.encode(tried).decode(), "[]"):
        checked = check(
            await client.post(CHAT, json=HELLO, headers=headers(document, signed, attempts=attempts))
        )
        assert len(checked.route.attempts) == (attempts != "[]")
    assert len(recovered) == 1
    runtime._clock = signed.expires + routes.SKEW + 1
    late = await client.post(CHAT, json=HELLO, headers=headers(document, signed))
    assert late.json()["error"]["code"] == "ticket_expired"
