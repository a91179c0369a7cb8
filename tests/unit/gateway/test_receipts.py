"""Receipts after the answer: into the log, witnessed, held for a policy, asked for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from hallmark.core.answer import DONE, split_hallmark, split_hallmark_stream
from hallmark.core.document import hex0x
from hallmark.core.documents import Candidates
from hallmark.core.marks import State
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.client import Pool
from hallmark.testing.dossiers import clearing_policy, proof_verifier
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier

CANARY = "canary sings at dawn"


async def until(local: LocalNetwork, pending: int) -> None:
    """Wait until so many receipts are pending on disk."""
    async with asyncio.timeout(60):
        while len(await local.gateway.outbox._store.pending()) != pending:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_receipt_grows_until_it_is_witnessed(ask: Any, local: LocalNetwork) -> None:
    """Received, logged, witnessed: each stage can be waited for, and the marks rise with it."""
    local.log.witnessing = False
    _, headers, _ = await ask.chat()
    path = f"/v1/hallmark/receipts/{headers['hallmark-receipt']}"
    _, logged = await ask.get(f"{path}?wait=logged")
    assert (logged["stage"], logged["marks"]["proved"]["state"]) == ("logged", "absent")
    _, still = await ask.get(f"{path}?wait=witnessed&timeout=20")
    assert still["stage"] == "logged"
    waiting = asyncio.ensure_future(ask.get(f"{path}?wait=witnessed"))
    await asyncio.sleep(0)
    local.log.witness()
    _, witnessed = await waiting
    assert witnessed["stage"] == "witnessed"
    states = {question: mark["state"] for question, mark in witnessed["marks"].items()}
    assert {states[q] for q in ("ran", "model", "route", "proved")} == {"witnessed"}
    assert witnessed["marks"]["proved"]["by"] == "4 of 4 full nodes"


async def test_answer_and_proof_cost_the_log_one_request(ask: Any, local: LocalNetwork) -> None:
    """The receipt is submitted; its proof, those of what it rests on and the leaves behind it come from what
    is followed, however often they are asked for.
    """
    local.log.paths.clear()
    await ask.chat(Hallmark_Policy="witnessed")
    _, headers, _ = await ask.chat()
    for _ in range(3):
        path = f"/v1/hallmark/receipts/{headers['hallmark-receipt']}?wait=witnessed"
        _, found = await ask.get(path)
        assert found["stage"] == "witnessed"
        assert None not in (found["entry"]["proof"], found["entry"]["after"])
        assert None not in (found["registration"]["proof"], found["version"]["proof"])
    assert local.log.paths == ["/add"] * 2


async def test_a_place_that_the_log_lied_about_has_no_proof(ask: Any, local: LocalNetwork) -> None:
    """A receipt that the log names the place of another for is never witnessed."""
    local.log.witnessing = False
    _, headers, _ = await ask.chat()
    track = await local.gateway.outbox.track(bytes.fromhex(headers["hallmark-receipt"][2:]))
    assert track is not None
    await track.placed.wait()
    track.kept = msgspec.structs.replace(track.kept, position=0)
    local.log.witness()
    _, found = await ask.get(f"/v1/hallmark/receipts/{headers['hallmark-receipt']}?wait=witnessed&timeout=50")
    assert found["stage"] == "logged"


async def test_the_dossier_completes_with_the_owners_copies(ask: Any, local: LocalNetwork) -> None:
    """The gateway's dossier has no salts and no copies; with the owner's it verifies offline in full."""
    sent = b'{"model":"digits","messages":[]}'
    _, _, body = await ask.raw("/v1/chat/completions", sent)
    content, raw = split_hallmark(body)
    hallmark = json.loads(raw)
    _, found = await ask.get(f"/v1/hallmark/receipts/{hallmark['id']}?wait=witnessed")
    assert found["request"] is found["response"] is found["documents"]["parameters"] is None
    assert found["salts"] == {"request": None, "response": None}
    merged = {name: found[name] for name in Dossier.__struct_fields__} | {
        "salts": hallmark["salts"],
        "request": {"path": "/v1/chat/completions", "body": sent.decode()},
        "response": {"body": content.decode()},
    }
    dossier = Dossier.parse(json.dumps(merged).encode())
    verified = verify_dossier(
        dossier,
        local.trust,
        local.net.now,
        verify_evidence=verify_stub_evidence,
        verify_proof=proof_verifier(local.trust),
    )
    assert verified.decide("witnessed").sentence() == "meets witnessed (asks for ran, model, route, proved)"


async def test_a_policy_holds_the_answer_until_it_is_met(ask: Any, local: LocalNetwork) -> None:
    """With Hallmark-Policy nothing of the answer leaves before the quorum has witnessed it."""
    local.log.witnessing = False
    for stream in (False, True):
        local.log.added.clear()
        asked = asyncio.ensure_future(ask.chat(stream=stream, Hallmark_Policy="witnessed"))
        await local.log.added.wait()
        assert not asked.done()
        local.log.witness()
        status, headers, body = await asked
        assert status == 200
        split = split_hallmark_stream if stream else split_hallmark
        assert headers["hallmark-receipt"] == json.loads(split(body)[1])["id"]
        assert body.endswith(DONE) is stream


async def test_a_policy_that_is_not_met_withholds_the_answer() -> None:
    """409 with what is missing, after a bounded time; the receipt stays available, the answer does not."""
    async with LocalNetwork(hold_ms=50) as local:
        local.log.witnessing = False
        body = b'{"model":"digits","messages":[]}'
        headers = [(b"hallmark-policy", b"witnessed")]
        pool = Pool()
        url = f"{local.url}/v1/chat/completions"
        async with pool.request("POST", url, headers, body) as response:
            assert response.status == 412
            assert response.header(b"x-should-retry") == b"false"
            answer = await response.read()
        error = json.loads(answer)["error"]
        assert error["code"] == "held"
        assert {m["question"] for m in error["missing"]} == {"ran", "model", "route", "proved"}
        assert b"seven" not in answer
        await pool.aclose()


async def _enact(local: LocalNetwork, name: str, enforcement: str) -> None:
    """The authority brings a policy into force, and the gateway has read it."""
    policy = clearing_policy(name, State.CHECKED, "hardware", "simulated")
    made = msgspec.structs.replace(policy, enforcement=enforcement)
    index = local.log.net.add(local.net.policy_entry(f"clearing:{name}", made))
    local.log.witness()
    assert await local.gateway.follower.reached(index + 1, 5)


async def test_policies_of_the_log_count_from_their_place_on(ask: Any, local: LocalNetwork) -> None:
    """A policy that came into force after the trust file was made can be named in a request."""
    status, _, body = await ask.chat(Hallmark_Policy="later")
    assert (status, json.loads(body)["error"]["code"]) == (404, "policy_unknown")
    await _enact(local, "later", "enforce")
    status, _, _ = await ask.chat(Hallmark_Policy="later")
    assert status == 200


async def test_a_policy_that_only_warns_gates_nothing_and_says_so(ask: Any, local: LocalNetwork) -> None:
    """Naming a policy that is merely tried out is refused: it would look like a gate."""
    await _enact(local, "trial", "warn")
    status, _, body = await ask.chat(Hallmark_Policy="trial")
    assert (status, json.loads(body)["error"]["code"]) == (400, "policy_only_warns")


async def test_a_policy_never_clears_what_failed(ask: Any, local: LocalNetwork) -> None:
    """An answer that was changed on its way is withheld at once, with the failed mark named."""
    for node in local.nodes:
        node.behaviour = "forge"
    status, _, body = await ask.chat(Hallmark_Policy="witnessed")
    error = json.loads(body)["error"]
    assert status == 412
    assert [(f["question"], f["reason"]) for f in error["failed"]] == [("ran", "response_mismatch")]
    assert b"eight" not in body


async def test_hardware_is_not_simulated(ask: Any) -> None:
    """A policy that asks for hardware is not met by a simulated enclave, however well witnessed."""
    status, _, body = await ask.chat(Hallmark_Policy="hardware")
    error = json.loads(body)["error"]
    assert status == 412
    assert [(m["question"], m["reason"]) for m in error["missing"]] == [("ran", "assurance_not_allowed")]


async def test_a_verdict_disputes_the_receipt(ask: Any, local: LocalNetwork) -> None:
    """One full node's logged verdict shows as disputed, and among what speaks against the receipt."""
    _, headers, _ = await ask.chat()
    path = f"/v1/hallmark/receipts/{headers['hallmark-receipt']}"
    _, found = await ask.get(f"{path}?wait=witnessed")
    index = found["entry"]["index"]
    local.net.add(local.net.verdict(local.net.full_nodes[0], index, "beacon_mismatch"))
    local.log.witness()
    await local.gateway.follower.reached(local.net.tree.size, 5)
    _, found = await ask.get(path)
    assert found["marks"]["proved"]["state"] == "disputed"
    assert {status["state"] for status in found["status"]} == {"disputed"}


async def test_nothing_is_lost_while_the_log_is_down(ask: Any, local: LocalNetwork) -> None:
    """Answers go on without the log; their receipts are kept and brought in when it is back."""
    local.log.down = True
    receipts = [(await ask.chat())[1]["hallmark-receipt"] for _ in range(3)]
    assert (await ask.get(f"/v1/hallmark/receipts/{receipts[0]}"))[1]["stage"] == "received"
    local.log.down = False
    for receipt in receipts:
        _, found = await ask.get(f"/v1/hallmark/receipts/{receipt}?wait=witnessed")
        assert found["stage"] == "witnessed"


async def test_a_new_process_brings_in_what_an_old_one_left(tmp_path: Path) -> None:
    """Receipts that were on disk only are submitted by the next process."""
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    async with LocalNetwork(url) as local:
        local.log.down = True
        body = b'{"model":"digits","messages":[]}'
        async with Pool().request("POST", f"{local.url}/v1/chat/completions", body=body) as response:
            await response.read()
        signed = [s.entry for node in local.nodes for s in node.runtime.signed]
        await until(local, 1)
    async with LocalNetwork(url) as second:
        await until(second, 0)
        logged = [leaf[8:] for leaf in second.net.leaves]
    assert signed[0] in logged


async def test_an_owner_can_hand_a_receipt_in(ask: Any, local: LocalNetwork) -> None:
    """A receipt that the network seems to lack is taken from its owner, if its node signed it."""
    answer = local.net.answer(local.net.nodes[0])
    status, _, body = await ask.raw("/v1/hallmark/receipts", answer.entry.encode())
    assert (status, json.loads(body)["id"]) == (202, hex0x(answer.receipt.digest()))
    _, found = await ask.get(f"/v1/hallmark/receipts/{hex0x(answer.receipt.digest())}?wait=witnessed")
    assert found["stage"] == "witnessed"
    assert found["registration"]["index"] == local.net.nodes[0].registered
    broken = bytearray(answer.entry.encode())
    broken[40] ^= 1
    assert (await ask.raw("/v1/hallmark/receipts", bytes(broken)))[0] in (400, 422)
    assert (await ask.raw("/v1/hallmark/receipts", b"{}"))[0] == 400


async def test_a_route_ticket_for_a_client_that_goes_direct(ask: Any, local: LocalNetwork) -> None:
    """The ticket is signed by the gateway and commits to the candidates, whose bundles come along."""
    status, _, body = await ask.raw("/v1/hallmark/route", b'{"model":"digits"}')
    route = json.loads(body)
    packed = bytes.fromhex(route["ticket"][2:])
    ticket = Ticket.unpack(packed[:-65])
    assert status == 200
    assert recover_statement(ticket, 31337, packed[-65:]) == local.net.gateway.address
    document = Candidates.decode(route["candidates"].encode())
    assert ticket.candidates == document.digest()
    assert [c.node for c in document.candidates] == [node["node"] for node in route["nodes"]]


async def test_the_network_and_its_models(ask: Any, local: LocalNetwork) -> None:
    """Models show eligible capacity; members show why they are left out; the trust file says what it is."""
    _, models = await ask.get("/v1/models")
    assert [(m["id"], m["hallmark"]["nodes"], m["hallmark"]["capacity"]) for m in models["data"]] == [
        ("digits", 2, 16)
    ]
    assert (await ask.get("/v1/models/digits"))[1]["hallmark"]["modes"] == ["tee"]
    by_mode = models["data"][0]["hallmark"]["by_mode"]
    assert by_mode["tee"] == {"available": True, "free": 16, "reason": ""}
    assert by_mode["replay"]["free"] == 0
    assert by_mode["replay"]["reason"] == "Replay needs a model whose artifact is of integers."
    assert (await ask.get("/v1/models/none"))[0] == 404
    local.net.add(local.net.retirement(local.net.nodes[0]))
    local.log.witness()
    await local.gateway.follower.reached(local.net.tree.size, 5)
    _, network = await ask.get("/v1/hallmark/network")
    excluded = {m["key"]: m.get("excluded") for m in network["members"] if m["role"] == "node"}
    assert excluded[hex0x(local.net.nodes[0].address)] == {"digits": "retired"}
    node = local.net.nodes[1]
    assert "node-2" in {n["name"] for n in network["nodes"] if n["key"] == hex0x(node.address)}
    assert "node-2" in {m["name"] for m in network["members"] if m["key"] == hex0x(node.address)}
    assert (await ask.get("/v1/models"))[1]["data"][0]["hallmark"]["excluded"] == {"retired": 1}
    _, _, trust = await ask.raw("/v1/hallmark/trust", method="GET")
    assert trust.startswith(b"# For convenience only")


async def test_canaries_reach_neither_disk_nor_metrics(tmp_path: Path, capfd: Any) -> None:
    """A string planted in request, stop words and answer headers is in no database, log line or metric."""
    path = tmp_path / "gateway.db"
    async with LocalNetwork(f"sqlite:///{path}") as local:
        pool = Pool()
        body = json.dumps(
            {"model": "digits", "messages": [CANARY], "stop": [CANARY], "user": CANARY}
        ).encode()
        for behaviour in ("ok", "busy", "die", "forge", "unsigned"):
            for node in local.nodes:
                node.behaviour = behaviour
            async with pool.request("POST", f"{local.url}/v1/chat/completions", body=body) as response:
                await response.read()
        async with pool.request("GET", f"{local.url}/metrics") as response:
            metrics = await response.read()
        await pool.aclose()
    out, err = capfd.readouterr()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for held in (files, metrics, out.encode(), err.encode()):
        assert CANARY.encode() not in held
        assert b"seven" not in held
    salts = [node.runtime.signed[0] for node in local.nodes if node.runtime.signed]
    assert salts
