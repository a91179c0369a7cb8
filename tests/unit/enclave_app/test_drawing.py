"""What is drawn while an answer is made: before its bytes leave, by the offer that it began under, and
nothing for an answer that its engine did not make.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.core.money import FreeUse, Offer, Payment, Price
from hallmark.core.prices import Use, cost
from hallmark.engines.protocol import (
    Array,
    ChatRequest,
    CompletionRequest,
    Delta,
    Description,
    Sampling,
    Task,
    Unoffered,
)
from hallmark.engines.upstream import Target, Upstream
from hallmark.payments.accounts import Drawn
from hallmark.payments.journal import read_journal
from hallmark.services.enclave import account_journal, control, streaming
from hallmark.services.enclave.app import App
from hallmark.testing import x402_payers
from hallmark.testing.billing import NUMBER, SEALING, MemoryHost, offer_entry, pay
from hallmark.testing.runtime import MemoryRuntime

CHAT, INFER = "/v1/chat/completions", "/v1/hallmark/infer"
HELLO = {"model": "tiny", "max_tokens": 40, "messages": [{"role": "user", "content": "hello"}]}
TENSORS = {"model": "scores", "inputs": {"x": [[1, 2, 3, 4]]}}
TOKENS_IN, PIECES = 5, 12
PRICE = Price("tiny", 3_000_000, 7_000_000)
BY_SECOND = Price("scores", second=7, call=5)
NAME = sha256(account_journal.NAME_TAG, SEALING)


class Pieces(Unoffered):
    """A model that says one token at a time: "1 ", "2 ", ... It waits for `go` after the piece `held`, and
    raises `error` after the piece `fails`. A tensor call takes `took` milliseconds of `clock`.
    """

    tasks = frozenset({Task.CHAT, Task.COMPLETION, Task.TENSOR})
    context = 64

    def __init__(self, *, held: int = 0, fails: int = -1, error: Exception | None = None) -> None:
        self.held, self.fails = held, fails
        self.error = error or HallmarkError("engine_failed", "The model could not go on.")
        self.waits, self.go = asyncio.Event(), asyncio.Event()
        self.clock: MemoryRuntime | None = None
        self.took = 0

    async def held_at(self, asking: asyncio.Task[None]) -> None:
        """Until the model waits; whatever ended the request before is raised."""
        waits = asyncio.create_task(self.waits.wait())
        await asyncio.wait((waits, asking), return_when=asyncio.FIRST_COMPLETED)
        if not self.waits.is_set():
            waits.cancel()
            raise AssertionError("the request ended before") from asking.exception()

    def describe(self) -> Description:
        """Nothing to say."""
        return Description("pieces", "1")

    async def generate(
        self,
        request: ChatRequest | CompletionRequest,
        sampling: Sampling,
        seed: int,
    ) -> AsyncGenerator[Delta, None]:
        """Say the pieces."""
        for number in range(PIECES + 1):
            if number == self.fails:
                raise self.error
            if number and number == self.held:
                self.waits.set()
                await self.go.wait()
            await asyncio.sleep(0)
            last = number == PIECES
            yield Delta(
                "" if last else f"{number + 1} ",
                TOKENS_IN,
                min(number + 1, PIECES),
                40,
                "stop" if last else "",
            )

    async def infer(self, inputs: Mapping[str, object]) -> dict[str, Array]:
        """Take the time that the test says."""
        if self.clock is not None:
            self.clock._clock += self.took
        if self.fails == 0:
            raise self.error
        return {"score": np.array([0.5], dtype=np.float32)}

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def host(runtime: MemoryRuntime) -> MemoryHost:
    """A host whose enclave charges for everything."""
    made = MemoryHost()
    runtime.billing = made.bill(runtime.configuration, runtime.now)
    offered(runtime)
    return made


def offered(runtime: MemoryRuntime, **changes: Any) -> Offer:
    """An offer is brought to the enclave; it."""
    assert runtime.billing is not None
    entry = offer_entry(runtime.configuration, runtime.now(), **{"prices": (PRICE, BY_SECOND), **changes})
    runtime.billing.on_message(control.Terms(entry, b"\x21" * 20, 900, permit2=True))
    return Offer.decode(decode(entry).attachments[0])


def drawn(host: MemoryHost) -> int:
    """What the journal that the host has says was drawn last; 0 when nothing was."""
    events = read_journal(host.file, SEALING, NAME).events
    return max((event.total for event in events if isinstance(event, Drawn)), default=0)


class Reader:
    """One paid request over ASGI. `seen` has, for each message with answer text in it, how many pieces have
    left until then and what the host's journal says was drawn.
    """

    def __init__(self, runtime: MemoryRuntime, host: MemoryHost, engine: Pieces) -> None:
        self._app = App(runtime, {"tiny": engine, "scores": engine}, {})
        self._runtime, self._host = runtime, host
        self.seen: list[tuple[int, int]] = []
        self.body = b""
        self.status, self.headers = 0, dict[bytes, bytes]()

    async def ask(self, asked: dict[str, Any], path: str = CHAT, **pays: Any) -> None:
        """Send it and read to the end."""
        body = json.dumps(asked).encode()
        paid = pay(self._runtime.configuration, path, body, self._runtime.now(), **pays)
        headers = [(name.encode(), value.encode()) for name, value in paid.items()]
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await self._app(scope, receive, self._send)  # type: ignore[arg-type]  # messages are dicts

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.body += message.get("body", b"")
        if message.get("more_body"):
            self.seen.append((self.pieces, drawn(self._host)))

    @property
    def pieces(self) -> int:
        """How many pieces have left."""
        events = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")]
        choices = [json.loads(event).get("choices") or [] for event in events]
        return sum(bool(one and one[0]["delta"].get("content")) for one in choices)

    def hallmark(self, *, stream: bool) -> dict[str, Any]:
        """The owner's object."""
        found: dict[str, Any] = json.loads(
            (split_hallmark_stream if stream else split_hallmark)(self.body)[1]
        )
        return found


def record_of(hallmark: dict[str, Any]) -> Payment:
    """The payment record of an owner's object."""
    return Payment.decode(hallmark["documents"]["payment"].encode())


def spent(host: MemoryHost) -> tuple[int, int]:
    """What the account was charged, and what is reserved on it."""
    assert host.journal is not None
    account = host.journal.accounts.account(NUMBER)
    return account.spent, account.reserved


@pytest.mark.parametrize("gap", [0.0, 0.002])
async def test_each_piece_is_drawn_before_it_leaves(
    runtime: MemoryRuntime, host: MemoryHost, monkeypatch: pytest.MonkeyPatch, gap: float
) -> None:
    """At each message that leaves, the host's journal says all that the pieces until and in it cost; one by
    one, and where several leave in one.
    """
    monkeypatch.setattr(streaming, "GAP_S", gap)
    reader = Reader(runtime, host, Pieces())
    await reader.ask(HELLO | {"stream": True})
    assert reader.seen[-1][0] == PIECES
    assert len(reader.seen) >= (PIECES if gap == 0 else 2)
    for pieces, total in reader.seen:
        assert cost(PRICE, Use(TOKENS_IN, pieces)) <= total
    assert reader.seen[-1][1] == runtime.signed[-1].receipt.charged == cost(PRICE, Use(TOKENS_IN, PIECES))
    if gap == 0:  # nor is more drawn than what leaves
        assert all(total == cost(PRICE, Use(TOKENS_IN, max(pieces, 1))) for pieces, total in reader.seen)


async def test_no_more_than_one_piece_leaves_while_the_host_keeps_nothing(
    runtime: MemoryRuntime, host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One draw may be on its way while its bytes leave. The next piece waits for the host's word, and does
    not leave without it; nor does a receipt.
    """
    monkeypatch.setattr(streaming, "GAP_S", 0.0)
    monkeypatch.setattr(account_journal, "KEPT_TIMEOUT_S", 0.05)
    engine = Pieces(held=4)
    reader = Reader(runtime, host, engine)
    asking = asyncio.create_task(reader.ask(HELLO | {"stream": True}))
    await engine.held_at(asking)
    before = reader.pieces
    assert before == 4
    host.silent = True
    engine.go.set()
    await asking
    assert reader.pieces <= before + 1
    assert b"[DONE]" not in reader.body
    assert b'"code":"journal_not_kept"' in reader.body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "newer",
    [
        {"prices": (Price("tiny", 30_000_000, 70_000_000),)},
        {"prices": (Price("tiny", 1, 1),)},
        {"prices": (Price("other", call=1),)},
        {"free": FreeUse(everything=True), "prices": ()},
    ],
)
async def test_a_price_change_touches_no_running_request(
    runtime: MemoryRuntime, host: MemoryHost, newer: dict[str, Any], *, stream: bool
) -> None:
    """What comes while the model is between two pieces is for what begins later: the running request keeps
    its offer, its price, and what it costs.
    """
    assert runtime.billing is not None
    assert runtime.billing.offers.newest is not None
    old = runtime.billing.offers.newest.digest
    engine = Pieces(held=4)
    reader = Reader(runtime, host, engine)
    asking = asyncio.create_task(reader.ask(HELLO | {"stream": stream}))
    await engine.held_at(asking)
    new = offered(runtime, **newer)
    engine.go.set()
    await asking
    hallmark, due = reader.hallmark(stream=stream), cost(PRICE, Use(TOKENS_IN, PIECES))
    record = record_of(hallmark)
    assert (record.offer, record.price, record.rail) == (hex0x(old), PRICE, "vault")
    assert digest_of(Offer, hallmark["documents"]["offer"].encode()) == unhex(record.offer)
    assert (record.charged, runtime.signed[-1].receipt.charged) == (str(due), due)
    assert spent(host) == (due, 0)
    assert drawn(host) == due
    assert runtime.billing.offers.at(runtime.now()) is runtime.billing.offers.newest
    assert runtime.billing.offers.newest.digest == new.digest()


async def test_later_requests_are_charged_by_the_new_offer(runtime: MemoryRuntime, host: MemoryHost) -> None:
    """And what began free stays so, whatever the owner says meanwhile."""
    free = offered(runtime, free=FreeUse(everything=True))
    engine = Pieces(held=4)
    reader = Reader(runtime, host, engine)
    asking = asyncio.create_task(reader.ask(HELLO))
    await engine.held_at(asking)
    newer = offered(runtime, prices=(Price("tiny", 30_000_000, 70_000_000),))
    engine.go.set()
    await asking
    record = record_of(reader.hallmark(stream=False))
    assert (record.rail, record.charged, record.offer) == ("free", "0", hex0x(free.digest()))
    later = Reader(runtime, host, Pieces())
    await later.ask(HELLO)
    record = record_of(later.hallmark(stream=False))
    assert record.offer == hex0x(newer.digest())
    assert int(record.charged) == 30 * TOKENS_IN + 70 * PIECES == runtime.signed[-1].receipt.charged


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [HallmarkError("engine_failed", "No."), RuntimeError("a bug")])
async def test_what_the_model_did_not_answer_costs_nothing(
    runtime: MemoryRuntime, host: MemoryHost, error: Exception, *, stream: bool
) -> None:
    """The answer says so, nothing is signed, and the whole reservation is free again."""
    reader = Reader(runtime, host, Pieces(fails=0, error=error))
    await reader.ask(HELLO | {"stream": stream})
    assert reader.status >= 500
    assert reader.headers[b"hallmark-charged"] == b"0"
    assert (runtime.signed, spent(host)) == ([], (0, 0))


@pytest.mark.parametrize(("path", "asked", "after"), [(CHAT, HELLO, 3), (INFER, TENSORS, 0)])
async def test_a_whole_answer_that_breaks_off_costs_nothing(
    runtime: MemoryRuntime, host: MemoryHost, path: str, asked: dict[str, Any], after: int
) -> None:
    """None of it was delivered, however much of it had been made."""
    reader = Reader(runtime, host, Pieces(fails=after))
    await reader.ask(asked, path)
    assert reader.status >= 500
    assert reader.headers[b"hallmark-charged"] == b"0"
    assert (runtime.signed, spent(host)) == ([], (0, 0))


async def test_a_stream_that_breaks_off_costs_what_has_left(
    runtime: MemoryRuntime, host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt over what has left says what it cost, and the rest of the reservation is free again."""
    monkeypatch.setattr(streaming, "GAP_S", 0.0)
    reader = Reader(runtime, host, Pieces(fails=3))
    await reader.ask(HELLO | {"stream": True})
    due = cost(PRICE, Use(TOKENS_IN, 3))
    assert (reader.pieces, runtime.signed[-1].receipt.charged, spent(host)) == (3, due, (due, 0))


@pytest.mark.parametrize(("took", "seconds"), [(0, 1), (900, 1), (1_500, 2), (4_200, 5), (10**9, None)])
async def test_work_that_is_priced_by_the_second(
    runtime: MemoryRuntime, host: MemoryHost, took: int, seconds: int | None
) -> None:
    """By the started second that the receipt's record shows, beside the price of the call; never more than
    the longest that a request may take.
    """
    engine = Pieces()
    engine.clock, engine.took = runtime, took
    reader = Reader(runtime, host, engine)
    await reader.ask(TENSORS, INFER)
    record = record_of(reader.hallmark(stream=False))
    charged = runtime.signed[-1].receipt.charged
    assert record.milliseconds >= took
    assert record.price == BY_SECOND
    assert int(record.charged) == charged == spent(host)[0]
    if seconds is None:
        assert charged == int(record.reserved)
    else:
        assert charged == 5 + 7 * seconds < int(record.reserved)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (CHAT, HELLO),
        ("/v1/completions", {"model": "tiny", "prompt": "hello", "max_tokens": 8}),
        ("/v1/completions", {"model": "tiny", "prompt": "hello", "max_tokens": 8, "stream": True}),
        ("/v1/completions", {"model": "there", "prompt": "hello", "max_tokens": 8, "stream": True}),
        ("/v1/embeddings", {"model": "there", "input": "hello"}),
        ("/v1/images/generations", {"model": "there", "prompt": "hello"}),
        (INFER, TENSORS),
    ],
)
async def test_every_path_asks_for_its_price(
    runtime: MemoryRuntime, host: MemoryHost, path: str, asked: dict[str, Any]
) -> None:
    """402 with the most that it can cost, in our words and in x402's; no model and no upstream is asked."""
    offered(runtime, prices=(PRICE, BY_SECOND, Price("there", 1_000_000, 1_000_000)))

    async def dial(_name: str) -> Any:
        raise AssertionError("an upstream was asked")

    there = Upstream(Target.parse("there", "http://there.invalid/v1"), dial, silence_s=1)
    engine = Pieces(fails=0, error=AssertionError("a model was asked"))
    app = App(runtime, {"tiny": engine, "scores": engine}, {"there": there})
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://node.invalid"
    ) as client:
        answer = await client.post(path, json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "payment_required")
    most = answer.json()["error"]["payment"]["most"]
    assert int(most) > 0
    offers = x402_payers.challenge_of(answer.headers)["accepts"]
    assert [one["scheme"] for one in offers] == ["batch-settlement", "upto", "exact", "exact"]
    assert {one["amount"] for one in offers} == {most}
    assert (runtime.signed, host.asked, drawn(host)) == ([], [], 0)
