"""Seeded kill runs: requests on their way through a real network while its processes get SIGKILL.

One run sends a few streamed and whole requests at once; at moments that the seed picks, the processes that
the seed picks die. What each client then holds must be one of three things: a complete answer whose receipt
is signed and covers exactly what was sent and received; an error in OpenAI's shape with a reason code; or a
connection that broke before the answer was complete. Some ask sealed, through the relay, as the SDK does: the
receipt of a complete answer then says that it came sealed, to the key that this client sealed to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import httpx
import msgspec

from hallmark.compose.home import Home
from hallmark.compose.supervisor import snapshot
from hallmark.core.answer import DONE
from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import State
from hallmark.core.receipt import request_digest, response_digest
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.services.sdk.network import find
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.receipts import open_answer
from hallmark.services.sdk.sealed_way import SealedWay
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sealing.route_compare import compare
from hallmark.testing.chaos_money import Purse
from hallmark.verification.dossier import Dossier

NODES: Final = ("node-1", "node-2")
VICTIMS: Final = (
    *("gateway", "node-1", "node-2", "enclave of node-1", "enclave of node-2", "log"),
    *(
        "fullnode-1",
        "fullnode-2",
        "fullnode-3",
        "fullnode-4",
        "anchor",
        "chain",
        "anvil",
        "web",
        "vault",
        "relay",
        "issuer",
        "supervisor",
    ),
)
QUESTIONS: Final = ("What does os.mkfifo do?", "What is json.dumps for?", "How do I use shutil.copytree?")
IMAGE: Final = [[float(n % 17) for n in range(64)]]
CLIENT_S: Final = 60.0


class Asked(msgspec.Struct, frozen=True):
    """One request as a client sends it, `after` seconds into the run."""

    path: str
    body: bytes
    nonce: bytes
    after: float
    stream: bool
    policy: str = ""
    sealed: bool = False


class Kill(msgspec.Struct, frozen=True):
    """Who dies, how many seconds into the run."""

    victim: str
    after: float


class Outcome(msgspec.Struct, frozen=True):
    """What one client holds. `kind` is answered, refused or broken; `code` a reason code or what broke;
    `wrong` says which promise was not kept, empty when all were.
    """

    kind: str
    code: str = ""
    wrong: str = ""
    dossier: Dossier | None = None
    sealed: bool = False


def requests_of(rng: random.Random) -> list[Asked]:
    """Four to eight requests: chats, completions, tensors; streamed and whole; a third of them sealed; of the
    others some withheld by a policy.
    """
    return [_request(rng) for _ in range(rng.randint(4, 8))]


def kills_of(rng: random.Random) -> list[Kill]:
    """One victim, or (in a third of the runs) two."""
    count = 2 if rng.random() < 1 / 3 else 1
    return [Kill(victim, rng.uniform(0.0, 0.8)) for victim in rng.sample(VICTIMS, count)]


def _request(rng: random.Random) -> Asked:
    kind, stream = rng.choice(("chat", "chat", "completion", "infer")), rng.random() < 0.6
    question, nonce, after = rng.choice(QUESTIONS), rng.randbytes(32), rng.uniform(0.0, 0.5)
    sealed = rng.random() < 1 / 3
    policy = "witnessed" if rng.random() < 0.2 and not sealed else ""
    if kind == "infer":
        body = msgspec.json.encode({"model": "digits", "inputs": {"image": IMAGE}})
        return Asked("/v1/hallmark/infer", body, nonce, after, False, policy, sealed)
    if kind == "chat":
        said: dict[str, object] = {"messages": [{"role": "user", "content": question}]}
        path = "/v1/chat/completions"
    else:
        said, path = {"prompt": question}, "/v1/completions"
    body = msgspec.json.encode({"model": "pydoc", "stream": stream, **said})
    return Asked(path, body, nonce, after, stream, policy, sealed)


async def ask(
    client: httpx.AsyncClient, base: str, asked: Asked, verifier: Verifier, paid: Mapping[str, str]
) -> Outcome:
    """Send one request once, with the headers that pay for it, and say what came of it."""
    await asyncio.sleep(asked.after)
    # The bytes are looked at as they come, so they must come as the receipt covers them.
    headers = {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "hallmark-nonce": asked.nonce.hex(),
        **paid,
    }
    if asked.policy:
        headers["hallmark-policy"] = asked.policy
    received, status, broke = bytearray(), 0, ""
    try:
        async with client.stream("POST", base + asked.path, content=asked.body, headers=headers) as answer:
            status = answer.status_code
            async for chunk in answer.aiter_raw():
                received += chunk
    except httpx.HTTPError as error:
        broke = type(error).__name__
    return judge(asked, status, bytes(received), broke, verifier)


async def ask_sealed(way: SealedWay, asked: Asked, verifier: Verifier) -> Outcome:
    """The same, sealed to an enclave, through the relay."""
    await asyncio.sleep(asked.after)
    question = way.question(asked.path, asked.body)
    question.nonce = asked.nonce
    received, status, broke = bytearray(), 0, ""
    try:
        await question.prepare()
        async with PaidRequest(None, asked.path, asked.body, _nobody) as paid, question.sent(paid) as reply:
            status = reply.status
            async for piece in reply:
                received += piece
    except HallmarkError as error:
        broke = error.reason
    outcome = judge(asked, status, bytes(received), broke, verifier)
    if outcome.dossier is not None and not outcome.wrong:
        assert question.sealed is not None
        try:
            compare(outcome.dossier, question.sealed)
        except HallmarkError as error:
            return msgspec.structs.replace(outcome, wrong=error.reason, sealed=True)
    return msgspec.structs.replace(outcome, sealed=True)


async def _nobody(_: str) -> NoReturn:
    raise AssertionError("nothing was paid")


def judge(asked: Asked, status: int, received: bytes, broke: str, verifier: Verifier) -> Outcome:
    """Whether what a client holds is one of the three things that it may hold; `broke` names what cut it."""
    if status not in (0, 200):
        code = _error_code(received)
        return Outcome("refused", code or broke, "" if code or broke else "error_without_code")
    if asked.stream:
        complete = received.endswith(DONE)
        if not complete:
            wrong = "done_in_a_broken_stream" if b"[DONE]" in received else ""
            code = broke or _error_code(received.rsplit(b"data: ", 1)[-1])
            return Outcome("broken", code, wrong or ("" if code else "stream_ended_in_silence"))
    elif broke or not received:
        return Outcome("broken", broke, "" if broke else "empty_answer")
    try:
        content, dossier = open_answer(asked.path, asked.body, received, stream=asked.stream)
    except HallmarkError as error:
        return Outcome("answered", error.reason, "complete_answer_without_receipt")
    return Outcome("answered", "", _fault(asked, content, dossier, verifier), dossier)


def _fault(asked: Asked, content: bytes, dossier: Dossier, verifier: Verifier) -> str:
    """What does not hold about an answer: signature, digests, nonce, or any mark that fails."""
    receipt, salts = dossier.opened(), dossier.salts
    if salts.request is None or salts.response is None:
        return "no_salts"
    if recover_statement(receipt, dossier.chain_id, unhex(dossier.signature)) != receipt.node:
        return "bad_signature"
    if request_digest(unhex(salts.request), asked.path, asked.body) != receipt.request:
        return "request_digest"
    if response_digest(unhex(salts.response), content) != receipt.response:
        return "response_digest"
    if receipt.client_nonce != asked.nonce:
        return "nonce"
    marks = verifier.verify(dossier, time.time_ns() // 1_000_000).marks
    return ",".join(f"{q.value}:{m.reason}" for q, m in marks.items() if m.state is State.FAILED)


def _error_code(body: bytes) -> str:
    """The reason code of an error in OpenAI's shape, empty when it is none."""
    try:
        error = msgspec.json.decode(body.strip())["error"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return ""
    shaped = isinstance(error, dict) and {"message", "type", "param", "code"} <= set(error)
    return str(error["code"] or "") if shaped and error["message"] else ""


def pid_of(home: Home, victim: str) -> int:
    """The process of a victim now; 0 when it has none."""
    found = snapshot(home)
    if found is None:
        return 0
    if victim == "supervisor":
        return found.supervisor
    owner = {"anvil": "chain"}.get(victim, victim.removeprefix("enclave of "))
    pid = found.services[owner].pid if owner in found.services else 0
    if not pid or owner == victim:
        return pid
    if victim == "anvil":
        return next((child for child in _descendants(pid) if _program(child, b"anvil")), 0)
    return enclave_of(pid)


def enclave_of(host: int) -> int:
    """The enclave of a host's process; 0 when it has none."""
    return next((child for child in _descendants(host) if _program(child, b"/app/enclave.py")), 0)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [*_descendants(child), child]
    return found


def _program(pid: int, mark: bytes) -> bool:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return not argv[0].endswith(b"bwrap") and any(mark in part for part in argv)


async def strike(home: Home, kill: Kill) -> bool:
    """SIGKILL when the time has come; False when there was nobody to kill."""
    await asyncio.sleep(kill.after)
    pid = pid_of(home, kill.victim)
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _paid(purse: Purse | None, asked: Asked, rng: random.Random) -> Mapping[str, str]:
    return {} if purse is None else purse.pay(asked.path, asked.body, rng)


class Run(msgspec.Struct, frozen=True):
    """One seeded run: who died, and what each client holds."""

    seed: int
    kills: tuple[Kill, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def supervisor_died(self) -> bool:
        """Whether the network has to be started again."""
        return any(kill.victim == "supervisor" for kill in self.kills)


def sealed_way(home: Home, verifier: Verifier) -> SealedWay:
    """The sealed way of a client that knows this home's relay, and remembers nothing of other clients."""
    place = msgspec.structs.replace(find(None, None, home.path), home="")
    return SealedWay(place, verifier, CLIENT_S)


async def ask_all(base: str, verifier: Verifier, purse: Purse | None) -> None:
    """One question to each model that the runs ask, so that one whose failures are the last that its gateway
    saw is answered again, if it can be.
    """
    rng = random.Random(time.time_ns())  # noqa: S311 - to be another one each time
    async with httpx.AsyncClient(timeout=CLIENT_S, trust_env=False) as client:
        for digits in (False, True):
            asked = _request(rng)
            while asked.path.endswith("infer") is not digits:
                asked = _request(rng)
            plain = msgspec.structs.replace(asked, after=0.0, policy="", sealed=False)
            await ask(client, base, plain, verifier, _paid(purse, plain, rng))


async def run_once(home: Home, base: str, seed: int, verifier: Verifier, purse: Purse | None = None) -> Run:
    """Requests and kills of one seed, at the same time, until every client is done. Who has a purse pays for
    each, in clear, because a payment is for one node.
    """
    rng = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    asked, kills = requests_of(rng), kills_of(rng)
    limits = httpx.Limits(max_connections=64)
    way = sealed_way(home, verifier)
    async with httpx.AsyncClient(timeout=CLIENT_S, limits=limits, trust_env=False) as client:
        striking = [asyncio.create_task(strike(home, kill)) for kill in kills]
        asking = (
            ask_sealed(way, one, verifier)
            if one.sealed and purse is None
            else ask(client, base, one, verifier, _paid(purse, one, rng))
            for one in asked
        )
        outcomes = await asyncio.gather(*asking)
        struck = await asyncio.gather(*striking)
    await way.aclose()
    died = tuple(kill for kill, done in zip(kills, struck, strict=True) if done)
    return Run(seed, died, tuple(outcomes))
