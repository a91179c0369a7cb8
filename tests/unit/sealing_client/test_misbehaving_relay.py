"""A relay that misbehaves: whatever it does to a question or an answer, the client notices, and says what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.unit.sealing_client.conftest import sealed_client

from hallmark import AsyncClient
from hallmark.core.document import hex0x
from hallmark.core.documents import Candidate, RouteRecord
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.marks import Question
from hallmark.services.relay.info import TO_GATEWAY, TO_NODE
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.sealed_way import SealedQuestion
from hallmark.services.sealing.client import Passage, SealedPath
from hallmark.services.sealing.node_check import CheckedNode
from hallmark.services.sealing.refusals import CLEAR, AnswerBroken
from hallmark.services.sealing.route_compare import compare
from hallmark.testing.local_node import ANSWER
from hallmark.testing.relays import Mischief
from hallmark.testing.sealed_network import GatewayKeys, SealedNetwork, only

TEXT = "".join(ANSWER)


def pinned(local: SealedNetwork) -> str:
    """Let the gateway offer the first node alone, and the relay misbehave there alone; that path."""
    node = local.net.nodes[0]
    assert node.bundle is not None
    one = (Candidate(hex0x(node.address), hex0x(node.bundle.digest())),)
    local.directory.ticket = lambda route: local.ticket(msgspec.structs.replace(only(route), candidates=one))
    local.relay.only = TO_NODE + hex0x(node.address)
    return local.relay.only


async def asked(client: AsyncClient, *, streamed: bool) -> None:
    """Ask, and read the answer to its end."""
    if not streamed:
        await client.ask("Which?", model="digits")
        return
    async for _ in client.stream("Which?", model="digits"):
        pass


async def test_an_answer_comes_sealed(local: SealedNetwork, client: AsyncClient) -> None:
    """Answer, stream and proof; the relay saw sizes, the gateway no question, and the mark says so."""
    draft = await client.ask("Which?", model="digits")
    assert draft.text == TEXT
    sealed = draft.receipt.sealed
    assert sealed is not None
    assert sealed.suite.startswith("x-wing/")
    assert draft.receipt.marks()[Question.ROUTE].detail["path"] == "sealed"
    stream = client.stream("Which?", model="digits")
    assert "".join([piece async for piece in stream]) == TEXT
    local.log.witness()
    verified = await stream.draft.receipt.wait("witnessed", 5)
    assert verified.decide("witnessed").sentence().startswith("meets witnessed")
    assert not [path for path in local.directory.asked if "completions" in path]
    assert {size.bit_count() for _, _, size in local.honest.seen} != set()
    nodes = {path for path, _, _ in local.honest.seen if path != TO_GATEWAY}
    assert nodes <= {TO_NODE + hex0x(node.address) for node in local.net.nodes}


async def test_the_client_draws(local: SealedNetwork, client: AsyncClient) -> None:
    """Of two candidates both are asked, sooner or later, whatever order the gateway likes."""
    for _ in range(24):
        await client.ask("Which?", model="digits")
    assert all(node.bodies for node in local.nodes)


MISCHIEF: dict[Mischief, str] = {
    Mischief.DROP: "answer_lost",
    Mischief.SWAP_NODE: "key_configuration_refused|sealed_unreadable",
    Mischief.TAMPER_REQUEST: "sealed_unreadable",
    Mischief.TAMPER_ANSWER: "sealed_tampered",
    Mischief.DUPLICATE: "sealed_tampered",
    Mischief.REORDER: "sealed_tampered",
    Mischief.TRUNCATE: "sealed_truncated",
    Mischief.CUT: "answer_lost",
    Mischief.FINAL_EARLY: "sealed_tampered",
    Mischief.REPLAY: "sealed_tampered|sealed_unreadable|answer_unsigned|replayed|request_replayed",
    Mischief.ANOTHERS_ANSWER: "sealed_tampered",
    Mischief.PLAIN_ANSWER: "sealed_not_an_answer",
    Mischief.WRONG_TYPE: "sealed_not_an_answer",
    Mischief.SAY_STALE: "key_configuration_refused",
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("mischief", MISCHIEF)
async def test_what_a_relay_does_to_an_answer(
    local: SealedNetwork, client: AsyncClient, mischief: Mischief, streamed: bool
) -> None:
    """Dropped, swapped, changed, repeated, reordered, cut, another's: no answer, and its own reason."""
    pinned(local)
    await client.ask("The one before.", model="digits")
    local.relay.mischief = mischief
    local.relay.other = TO_NODE + hex0x(local.net.nodes[1].address)
    with pytest.raises(HallmarkError) as caught:
        await asked(client, streamed=streamed)
    assert local.relay.done > 0
    assert caught.value.reason in MISCHIEF[mischief].split("|"), caught.value
    local.relay.mischief = Mischief.NONE
    assert (await client.ask("Which?", model="digits")).text == TEXT


async def test_a_relay_that_delays(local: SealedNetwork) -> None:
    """An answer that does not come in time is none, and the client says what it sent in clear: nothing."""
    async with sealed_client(local, timeout=0.3) as client:
        pinned(local)
        local.relay.mischief = Mischief.DELAY
        local.relay.gate.clear()
        with pytest.raises(HallmarkError) as caught:
            await client.ask("Which?", model="digits")
        local.relay.gate.set()
    assert caught.value.reason == "answer_lost"
    assert CLEAR in caught.value.hint


async def test_keys_of_the_relays_own_for_the_gateway(local: SealedNetwork, client: AsyncClient) -> None:
    """A relay that shows a client other keys for the gateway gets no route for it."""
    local.relay.mischief = Mischief.OTHER_KEYS
    local.relay.other_keys = GatewayKeys().blob
    with pytest.raises(HallmarkError) as caught:
        await client.ask("Which?", model="digits")
    assert caught.value.reason in ("gateway_keys_refused", "sealed_unreadable")


async def test_another_node_is_asked_only_where_the_first_did_not_begin(
    local: SealedNetwork, client: AsyncClient
) -> None:
    """Busy: the other node answers. Cut in the middle: nobody else is asked."""
    local.nodes[0].behaviour = "busy"
    for _ in range(6):
        assert (await client.ask("Which?", model="digits")).text == TEXT
    for node in local.nodes:
        node.behaviour, node.bodies = "die_midway", []
    with pytest.raises(HallmarkError):
        await asked(client, streamed=True)
    assert sum(len(node.bodies) for node in local.nodes) == 1


async def test_a_mode_that_was_not_kept_under_the_seal(
    local: SealedNetwork, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that forgets the mode, and an enclave that answers in another, get nothing handed out."""
    passage = SealedPath.passage

    async def forgetful(way: SealedPath, model: str, _mode: str = "", assurance: str = "") -> Passage:
        return await passage(way, model, "", assurance)

    exchanged = SealedQuestion._exchanged

    async def deaf(question: SealedQuestion, node: CheckedNode, paid: PaidRequest) -> Any:
        headers, question._headers = question._headers, ()
        try:
            return await exchanged(question, node, paid)
        finally:
            question._headers = headers

    monkeypatch.setattr(SealedPath, "passage", forgetful)
    monkeypatch.setattr(SealedQuestion, "_exchanged", deaf)
    with pytest.raises(HallmarkError, match="mode_not_kept"):
        await client.ask("Which?", model="digits", mode="replay")
    with pytest.raises(HallmarkError, match="mode_not_kept"):
        _ = [piece async for piece in client.stream("Which?", model="digits", mode="replay")]


async def test_an_enclaves_own_refusal_is_told(local: SealedNetwork, client: AsyncClient) -> None:
    """A refusal comes sealed, and with its own reason."""
    for node in local.nodes:
        node.behaviour = "refuse"
    with pytest.raises(InvalidInput) as caught:
        await client.ask("Which?", model="digits")
    assert caught.value.reason == "unsupported_parameter"


async def test_a_forged_answer_under_the_seal(local: SealedNetwork, client: AsyncClient) -> None:
    """An answer that is not the one that the receipt signs is not handed out, sealed or not."""
    for node in local.nodes:
        node.behaviour = "forge"
    with pytest.raises(HallmarkError) as caught:
        await client.ask("Which?", model="digits")
    assert caught.value.reason == "answer_does_not_hold"


ROUTES: dict[str, Callable[[RouteRecord], RouteRecord]] = {
    "sealed_route_missing": lambda record: _with(record, path="plain", sealed=msgspec.UNSET),
    "sealed_other_ticket": lambda record: _with(record, ticket="0x" + "11" * 32),
    "sealed_other_key": lambda record: _sealed(record, configuration="0x" + "11" * 32),
    "sealed_other_size": lambda record: _sealed(record, size=4096),
    "sealed_other_relay": lambda record: _sealed(record, relay="http://elsewhere"),
    "sealed_seen_in_clear": lambda record: _with(record, saw_prompt=("gateway", "enclave")),
}


def _with(record: RouteRecord, **changes: Any) -> RouteRecord:
    return msgspec.structs.replace(record, **changes)


def _sealed(record: RouteRecord, **changes: Any) -> RouteRecord:
    return _with(record, sealed=msgspec.structs.replace(record.sealed, **changes))


@pytest.mark.parametrize("saw", [("gateway", "enclave"), ("enclave", "relay"), ("enclave", "anybody"), ()])
async def test_who_saw_it_in_clear(local: SealedNetwork, client: AsyncClient, saw: tuple[str, ...]) -> None:
    """The enclave, and a provider where one answers: whoever else is named, or nobody, is not this way."""
    receipt = (await client.ask("Which?", model="digits")).receipt
    assert receipt.sealed is not None
    record = _with(RouteRecord.decode(receipt.dossier.documents.route.encode()), saw_prompt=saw)
    documents = msgspec.structs.replace(receipt.dossier.documents, route=record.encode().decode())
    with pytest.raises(AnswerBroken) as caught:
        compare(msgspec.structs.replace(receipt.dossier, documents=documents), receipt.sealed)
    assert caught.value.reason == "sealed_seen_in_clear"


async def test_the_route_record_says_what_was_sealed(local: SealedNetwork, client: AsyncClient) -> None:
    """Each part of the record that is not what the client did has a reason."""
    receipt = (await client.ask("Which?", model="digits")).receipt
    assert receipt.sealed is not None
    for reason, change in ROUTES.items():
        record = RouteRecord.decode(receipt.dossier.documents.route.encode())
        documents = msgspec.structs.replace(receipt.dossier.documents, route=change(record).encode().decode())
        dossier = msgspec.structs.replace(receipt.dossier, documents=documents)
        with pytest.raises(AnswerBroken) as caught:
            compare(dossier, receipt.sealed)
        assert caught.value.reason == reason
    other = next(node for node in local.net.nodes if node.address != receipt.sealed.node.node)
    elsewhere = msgspec.structs.replace(receipt.sealed.node, node=other.address)
    with pytest.raises(AnswerBroken) as caught:
        compare(receipt.dossier, msgspec.structs.replace(receipt.sealed, node=elsewhere))
    assert caught.value.reason == "sealed_other_node"


async def test_what_would_reveal_is_refused(local: SealedNetwork, client: AsyncClient) -> None:
    """Wallet commands, a relay beside a plain way, a sealed way without relay or trust file."""
    with pytest.raises(HallmarkError) as caught:
        await client.balance()
    assert caught.value.reason == "not_on_the_sealed_way"
    verifier = client.verifier
    for reason, options in {
        "relay_for_plain": {"base_url": local.url, "relay": local.relay_url},
        "bad_privacy": {"base_url": local.url, "privacy": "very"},
        "no_relay": {"base_url": local.url, "privacy": "sealed", "verifier": verifier},
        "no_trust_file": {"base_url": local.url, "privacy": "sealed", "relay": local.relay_url},
    }.items():
        with pytest.raises(InvalidInput) as refused:
            AsyncClient(**options)  # type: ignore[arg-type]
        assert refused.value.reason == reason
