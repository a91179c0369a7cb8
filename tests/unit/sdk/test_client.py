"""The SDK against a local network: it derives every mark itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark import AsyncClient, Cleared, Client, Draft
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import HallmarkError, Held, InvalidInput, Unavailable, VerificationFailed
from hallmark.core.marks import Finding, Question, State, derive_marks
from hallmark.core.policy import evaluate
from hallmark.core.receipt import Mode
from hallmark.services.sdk.answers import AnswerHeld
from hallmark.services.sdk.asking import require_mode
from hallmark.services.sdk.network import error_of, find
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.way import PlainQuestion
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.local_node import ANSWER
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier

TEXT = "".join(ANSWER)


@pytest.fixture
async def local() -> AsyncIterator[LocalNetwork]:
    """A network of a log, two nodes and a gateway."""
    async with LocalNetwork() as network:
        yield network


@pytest.fixture
async def client(local: LocalNetwork) -> AsyncIterator[AsyncClient]:
    """A client with the network's trust file."""
    async with AsyncClient(local.url, verifier=Verifier(local.trust, verify_stub_evidence)) as client:
        yield client


async def test_a_draft_grows_into_proof(local: LocalNetwork, client: AsyncClient) -> None:
    """A draft comes at once, its marks checked here; waiting gives the quorum's proof, verified here."""
    local.log.witnessing = False
    draft = await client.ask("Which?", model="digits")
    assert isinstance(draft, Draft)
    assert draft.text == TEXT
    marks = {question.value: mark.state.value for question, mark in draft.receipt.marks().items()}
    assert (marks["ran"], marks["proved"]) == ("checked", "absent")
    waiting = asyncio.ensure_future(draft.receipt.wait("witnessed", 5))
    await asyncio.sleep(0)
    local.log.witnessing = True
    local.log.witness()
    verified = await waiting
    assert verified.decide("witnessed").sentence() == "meets witnessed (asks for ran, model, route, proved)"


def test_the_home_variable_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HALLMARK_HOME names the network as it does on the command line; what is given explicitly wins."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "client.json").write_text(f'{{"base_url":"http://{name}"}}')
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "one"))
    assert find(None, None, None).base_url == "http://one"
    assert find(None, None, tmp_path / "other").base_url == "http://other"


def test_a_hint_is_said_once() -> None:
    """It stands in the message as well, for other clients."""
    body = b'{"error":{"message":"No. Wait.","code":"held","hint":"Wait."}}'
    assert str(error_of(412, body)) == "held: No. (Wait.)"
    assert isinstance(error_of(412, body), Held)


async def test_require_gives_another_type(client: AsyncClient) -> None:
    """With `require` the answer is a Cleared that carries the decision and its marks."""
    cleared = await client.ask("Which?", model="digits", require="witnessed")
    assert isinstance(cleared, Cleared)
    assert not isinstance(cleared, Draft)
    assert cleared.decision.sentence() == "meets witnessed (asks for ran, model, route, proved)"
    with pytest.raises(TypeError):
        Cleared(cleared.text, cleared.body, cleared.receipt, cleared.decision)


async def test_what_is_not_witnessed_is_held(local: LocalNetwork, client: AsyncClient) -> None:
    """Without a quorum `require` raises with what is missing, instead of giving the answer."""
    local.log.witnessing = False
    with pytest.raises(AnswerHeld) as caught:
        await client.ask("Which?", model="digits", require="witnessed", timeout=0.05)
    assert caught.value.decision is not None
    assert {s.question.value for s in caught.value.decision.missing} == {"ran", "model", "route", "proved"}
    assert TEXT not in str(caught.value)


async def test_a_stream_gives_pieces_then_a_draft(client: AsyncClient) -> None:
    """Pieces come as text; the draft is there when the stream has ended, and not before."""
    stream = client.stream("Which?", model="digits")
    with pytest.raises(Unavailable):
        _ = stream.draft
    assert [piece async for piece in stream] == list(ANSWER)
    verified = await stream.draft.receipt.wait("witnessed", 5)
    assert verified.decide("witnessed").sentence() == "meets witnessed (asks for ran, model, route, proved)"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_changed_answer_is_not_handed_out(
    local: LocalNetwork, client: AsyncClient, stream: bool
) -> None:
    """An answer that was changed on its way raises; it does not even become a draft."""
    for node in local.nodes:
        node.behaviour = "forge"

    async def asked() -> None:
        if stream:
            _ = [piece async for piece in client.stream("Which?", model="digits")]
        else:
            await client.ask("Which?", model="digits")

    with pytest.raises(VerificationFailed) as caught:
        await asked()
    assert caught.value.reason == "answer_does_not_hold"


async def test_an_old_answer_is_not_a_new_one(
    local: LocalNetwork, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer whose receipt carries another nonce than this request's is refused."""
    monkeypatch.setattr("secrets.token_bytes", lambda size: b"\1" * size)
    await client.ask("Which?", model="digits")
    for node in local.nodes:
        monkeypatch.setattr(node.runtime, "random", lambda size: b"\2" * size)
    monkeypatch.setattr("hallmark.services.sdk.way.headers_of", lambda _nonce: ())
    with pytest.raises(VerificationFailed) as caught:
        await client.ask("Which?", model="digits")
    assert caught.value.reason == "nonce_mismatch"


async def test_a_stream_that_breaks_off_is_no_answer(local: LocalNetwork, client: AsyncClient) -> None:
    """A stream that ends early raises and leaves no draft."""
    for node in local.nodes:
        node.behaviour = "die_midway"
    stream = client.stream("Which?", model="digits")
    with pytest.raises(HallmarkError):
        _ = [piece async for piece in stream]
    with pytest.raises(Unavailable):
        _ = stream.draft


async def test_a_lost_receipt_is_handed_in(local: LocalNetwork, client: AsyncClient) -> None:
    """When the network has not heard of a receipt, its owner submits it and gets its proof."""
    draft = await client.ask("Which?", model="digits")
    local.gateway.outbox._tracks.clear()
    receipt = bytes.fromhex(draft.receipt.id[2:])
    async with asyncio.timeout(60):
        kept = await local.gateway.outbox._store.get(receipt)
        while kept is None or kept.position is None:
            await asyncio.sleep(0.005)
            kept = await local.gateway.outbox._store.get(receipt)
    await local.gateway.outbox._store.forget(local.net.now + 1)
    verified = await draft.receipt.wait("witnessed", 5)
    assert verified.decide("witnessed").sentence() == "meets witnessed (asks for ran, model, route, proved)"


async def test_an_objection_is_taken_from_the_network(local: LocalNetwork, client: AsyncClient) -> None:
    """A dispute that the network tells of makes the mark disputed; its praise would count for nothing."""
    draft = await client.ask("Which?", model="digits")
    await draft.receipt.wait("witnessed", 5)
    entry = draft.receipt.dossier.entry
    assert entry is not None
    local.net.add(local.net.verdict(local.net.full_nodes[0], entry.index, "beacon_mismatch"))
    local.log.witness()
    await local.gateway.follower.reached(local.net.tree.size, 5)
    await draft.receipt.refresh()
    assert State.DISPUTED in {mark.state for mark in draft.receipt.marks().values()}
    with pytest.raises(AnswerHeld):
        await draft.receipt.wait("witnessed", 5)


async def test_a_gateway_cannot_lie_about_proof(local: LocalNetwork, client: AsyncClient) -> None:
    """A proof by too few full nodes fails here, whatever the gateway says."""
    draft = await client.ask("Which?", model="digits")
    await draft.receipt.wait("witnessed", 5)
    entry = draft.receipt.dossier.entry
    assert entry is not None
    weak = local.notary.proof(entry.index, signers=["full node 0", "full node 1"])
    forged = msgspec.structs.replace(entry, proof=weak)
    draft.receipt.dossier = msgspec.structs.replace(draft.receipt.dossier, entry=forged)
    proved = draft.receipt.verify().marks
    assert {mark.state for question, mark in proved.items() if question == "proved"} == {State.FAILED}


async def test_a_saved_receipt_verifies_alone(
    local: LocalNetwork, client: AsyncClient, tmp_path: Path
) -> None:
    """The saved file holds the owner's copies and all proofs, and verifies without any network."""
    cleared = await client.ask("Which?", model="digits", require="witnessed")
    path = cleared.receipt.save(tmp_path / "r.json")
    dossier = Dossier.parse(path.read_bytes())
    assert dossier.request is not None
    verified = Verifier(local.trust, verify_stub_evidence).verify(dossier, local.net.now)
    assert verified.decide("witnessed").sentence() == "meets witnessed (asks for ran, model, route, proved)"
    changed = path.read_bytes().replace(b"seven", b"eight")
    verdict = Verifier(local.trust, verify_stub_evidence).verify(Dossier.parse(changed), local.net.now)
    assert verdict.marks[next(iter(verdict.marks))].reason == "response_mismatch"


@pytest.fixture
def plain_url() -> Iterator[tuple[str, LocalNetwork]]:
    """A local network in a thread of its own, for the plain client."""
    loop = asyncio.new_event_loop()
    import threading

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def enter() -> LocalNetwork:
        return await LocalNetwork().__aenter__()

    network = asyncio.run_coroutine_threadsafe(enter(), loop).result(20)
    yield network.url, network
    asyncio.run_coroutine_threadsafe(network.__aexit__(None, None, None), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


async def test_a_mode_is_kept_or_nothing_is_handed_out(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt has the asked mode; one that nobody keeps is refused, and one that got lost is noticed."""
    draft = await client.ask("Which?", model="digits", mode="tee")
    assert draft.receipt.dossier.opened().mode == Mode.TEE
    for name, kind, reason in (
        ("replay", Unavailable, "mode_unavailable"),
        ("any", InvalidInput, "bad_mode"),
    ):
        with pytest.raises(kind) as caught:
            await client.ask("Which?", model="digits", mode=name)
        assert caught.value.reason == reason
        with pytest.raises(kind):
            await client.infer("digits", {}, mode=name)
        with pytest.raises(kind):
            _ = [piece async for piece in client.stream("Which?", model="digits", mode=name)]
    with pytest.raises(VerificationFailed) as lost:
        require_mode(draft.receipt.dossier.opened(), ((b"hallmark-mode", b"replay"),))
    assert lost.value.reason == "mode_not_kept"
    monkeypatch.setattr("hallmark.services.sdk.way.PlainQuestion.sent", _without_its_mode(PlainQuestion.sent))
    with pytest.raises(VerificationFailed) as lost:
        await client.ask("Which?", model="digits", mode="replay")
    assert lost.value.reason == "mode_not_kept"


def _without_its_mode(sent: Callable[..., Any]) -> Callable[..., Any]:
    """What sends a question as somebody on the way would who leaves its mode out."""

    @contextlib.asynccontextmanager
    async def stripped(question: PlainQuestion, paid: PaidRequest) -> AsyncIterator[Any]:
        asked, question._headers = question._headers, ()
        async with sent(question, paid) as response:
            question._headers = asked
            yield response

    return stripped


def test_the_plain_client_does_the_same(plain_url: tuple[str, LocalNetwork], tmp_path: Path) -> None:
    """Without asyncio: ask, stream, require, wait, save, by a trust file on disk."""
    url, network = plain_url
    with Client(url, verifier=Verifier(network.trust, verify_stub_evidence)) as client:
        assert [model["id"] for model in client.models()] == ["digits"]
        draft = client.ask("Which?", model="digits")
        assert draft.text == TEXT
        assert draft.receipt.wait("witnessed", 5).decide("witnessed").missing == ()
        assert client.ask("Which?", model="digits", mode="tee", require="witnessed").text == TEXT
        with pytest.raises(Unavailable):
            client.infer("digits", {}, mode="vanilla")
        stream = client.stream("Which?", model="digits")
        assert "".join(stream) == TEXT
        assert stream.draft.receipt.save(tmp_path / "r.json").stat().st_size > 1000


async def test_without_a_trust_file_no_mark_is_derived(local: LocalNetwork) -> None:
    """Answers come, but a client that trusts nothing shows no marks and clears nothing."""
    async with AsyncClient(local.url) as client:
        draft = await client.ask("Which?", model="digits")
        with pytest.raises(HallmarkError) as caught:
            draft.receipt.marks()
        assert caught.value.reason == "no_trust_file"
        with pytest.raises(HallmarkError):
            await client.ask("Which?", model="digits", require="witnessed")


async def test_reviews_that_the_network_adds_are_kept(local: LocalNetwork, client: AsyncClient) -> None:
    """A review that was logged after the answer reaches the owner's copy, and its mark with it."""
    reviewer = local.net.reviewers[0]
    local.net.register(reviewer)
    local.log.witness()
    draft = await client.ask("Which?", model="digits")
    await draft.receipt.wait("witnessed")
    assert draft.receipt.dossier.entry is not None
    local.net.add(local.net.review(reviewer, draft.receipt.dossier.entry.index))
    local.log.witness()
    assert await local.gateway.follower.reached(local.net.tree.size, 5)
    await draft.receipt.refresh("witnessed", 1000)
    assert draft.receipt.dossier.reviews
    assert draft.receipt.verify().marks[Question.REVIEWED].state is State.WITNESSED


def test_a_held_answer_that_waiting_cannot_clear_says_so() -> None:
    """Nobody is told to wait for a network whose enclaves are confined less than fully."""
    detail = {"insecure": "root-is-directory", "assurance": "simulated"}
    ran = Finding(Question.RAN, State.CLAIMED, "the node", 1, detail=detail)
    needs = ClearingPolicy("p", 1, (Requirement("ran", "witnessed", assurance=("simulated",)),))
    held = AnswerHeld(evaluate(needs, derive_marks((ran,)), 10), "p")
    assert "Wait longer" not in held.hint
    assert "however long one waits" in held.hint
    assert "folder that its user can change" in held.hint
