"""Answers that an issuer's tokens pay for: held before any work, settled before any receipt."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.money import Payment
from hallmark.core.tokens import Token, TokenSpend
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.issuing import decode_change
from hallmark.payments.tokens import HEADER, Blank, Signed, pay_with, take_change
from hallmark.services.enclave import control, token_billing
from hallmark.services.enclave.billing import Billing
from hallmark.services.enclave.token_billing import TokenBilling
from hallmark.testing.billing import SETTLEMENT, offer_entry
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.token_desk import MemoryIssuer, TokenHost
from hallmark.testing.tokens import tokens_of

CHAT = "/v1/chat/completions"
HELLO = {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
UNIT = 1


@pytest.fixture
def issuer(runtime: MemoryRuntime) -> MemoryIssuer:
    """An issuer that this network's nodes take tokens of."""
    return MemoryIssuer(runtime.configuration.network, runtime.now())


@pytest.fixture
def host(runtime: MemoryRuntime, issuer: MemoryIssuer) -> TokenHost:
    """A host whose enclave charges for everything."""
    made = TokenHost(issuer)
    runtime.billing = made.bill_tokens(runtime.configuration, runtime.now)
    runtime.billing.on_message(control.Terms(offer_entry(runtime.configuration, runtime.now())))
    return made


class Asking:
    """Asks with tokens. `sealed` says whether the requests come sealed."""

    def __init__(self, app: Any, issuer: MemoryIssuer) -> None:
        self._app, self.sealed = app, True
        self.keys = KeySet(issuer.document)
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self._serve), base_url="http://node.invalid"
        )

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        if self.sealed:
            scope = {**scope, "extensions": {"hallmark.sealed": None}}
        await self._app(scope, receive, send)

    async def ask(self, *tokens: Token, stream: bool = False) -> tuple[httpx.Response, tuple[Blank, ...]]:
        """The answer, and the blanks of the change."""
        payment, blanks = pay_with(self.keys, tokens, os.urandom)
        body = json.dumps({**HELLO, **({"stream": True} if stream else {})})
        return await self._client.post(CHAT, content=body, headers={HEADER: payment.encode()}), blanks

    async def aclose(self) -> None:
        """Close."""
        await self._client.aclose()


@pytest.fixture
async def asking(host: TokenHost, runtime: MemoryRuntime, make_app: Any) -> AsyncIterator[Asking]:
    """Asks with tokens."""
    made = Asking(make_app(runtime), host.issuer)
    yield made
    await made.aclose()


def hallmark_of(answer: httpx.Response, *, stream: bool = False) -> dict[str, Any]:
    """The owner's object."""
    assert answer.status_code == 200, answer.text
    _, raw = (split_hallmark_stream if stream else split_hallmark)(answer.content)
    found: dict[str, Any] = msgspec.json.decode(raw)
    return found


def record_of(hallmark: dict[str, Any]) -> Payment:
    """The payment record."""
    return Payment.decode(hallmark["documents"]["payment"].encode())


def change_in(asking: Asking, hallmark: dict[str, Any], blanks: tuple[Blank, ...]) -> tuple[Token, ...]:
    """The tokens that come back."""
    record, given = record_of(hallmark), decode_change(base64.b64decode(hallmark.get("change", "")))
    signed = [Signed(one.value, one.message) for one in given]
    reserved, charged = int(record.reserved), int(record.charged)
    return take_change(asking.keys, blanks, signed, reserved=reserved, charged=charged)


@pytest.mark.parametrize("stream", [False, True])
async def test_change_comes_back_and_is_spent_again(
    asking: Asking, runtime: MemoryRuntime, issuer: MemoryIssuer, stream: bool
) -> None:
    """The record names nobody, the log entry carries the tokens, and every unit is somewhere."""
    tokens, spent = tokens_of(issuer.document, 10), 0
    for _ in range(2):
        answer, blanks = await asking.ask(*tokens, stream=stream)
        hallmark = hallmark_of(answer, stream=stream)
        record, worth = record_of(hallmark), sum(UNIT << one.value for one in tokens)
        assert (record.rail, record.payer, record.account, int(record.reserved)) == ("token", None, 0, worth)
        spend = TokenSpend.of(asking.keys.digest, tokens)
        assert record.authorization == hex0x(spend.digest())
        assert decode(runtime.signed[-1].entry).attachments[-1] == spend.encode()
        tokens = change_in(asking, hallmark, blanks)
        spent += int(record.charged)
        assert 0 < int(record.charged) < worth
        assert sum(UNIT << one.value for one in tokens) == worth - int(record.charged)
    assert (await issuer.store.totals())["earned"] == spent


async def test_tokens_are_spent_once(asking: Asking, issuer: MemoryIssuer, runtime: MemoryRuntime) -> None:
    """The second request is refused before any work, and gets no receipt."""
    tokens = tokens_of(issuer.document, 10)
    await asking.ask(*tokens)
    answer, _ = await asking.ask(*tokens)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "token_spent")
    assert "hallmark-charged" not in answer.headers
    assert len(runtime.signed) == 1


async def test_tokens_that_another_request_holds_are_refused(asking: Asking, host: TokenHost) -> None:
    """It may be over in a moment: asking again can help."""
    tokens = tokens_of(host.issuer.document, 10)
    host.change = lambda answer: msgspec.structs.replace(answer, reason="token_held", body=b"")
    answer, _ = await asking.ask(*tokens)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "token_held")


async def test_tokens_are_taken_sealed_alone(asking: Asking, host: TokenHost) -> None:
    """Whoever read them on the way could spend them."""
    asking.sealed = False
    answer, _ = await asking.ask(*tokens_of(host.issuer.document, 10))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "tokens_need_sealing")
    assert host.carried == []


async def test_an_enclave_that_has_just_begun_waits_for_its_first_key_set(
    asking: Asking, host: TokenHost, runtime: MemoryRuntime
) -> None:
    """Its host may bring one at any moment, so it does not say that it takes no tokens."""
    assert host.journal is not None
    tokens = TokenBilling(SETTLEMENT, host.journal, host.send, runtime.now, runtime.configuration)
    billing = host.billing = runtime.billing = Billing(runtime.configuration, host.journal, tokens=tokens)
    billing.on_message(control.Terms(offer_entry(runtime.configuration, runtime.now())))
    asyncio.get_running_loop().call_later(0.05, billing.on_message, host.issuer.terms())
    answer, _ = await asking.ask(*tokens_of(host.issuer.document, 10))
    assert answer.status_code == 200


async def test_an_enclave_without_any_key_set_says_so(
    asking: Asking, host: TokenHost, runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again can help; nobody after the first waits."""
    monkeypatch.setattr(token_billing, "FIRST_KEYS_S", 0.01)
    assert host.journal is not None
    tokens = TokenBilling(SETTLEMENT, host.journal, host.send, runtime.now, runtime.configuration)
    runtime.billing = Billing(runtime.configuration, host.journal, tokens=tokens)
    runtime.billing.on_message(control.Terms(offer_entry(runtime.configuration, runtime.now())))
    for _ in range(2):
        answer, _ = await asking.ask(*tokens_of(host.issuer.document, 10))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "token_keys_missing")
        monkeypatch.setattr(token_billing, "FIRST_KEYS_S", 1_000.0)
    assert (host.carried, runtime.signed) == ([], [])


async def test_an_issuer_that_is_down_means_no_work(
    asking: Asking, host: TokenHost, runtime: MemoryRuntime
) -> None:
    """Refused before anything is done, and the tokens are good later."""
    tokens, host.issuer.down = tokens_of(host.issuer.document, 10), True
    answer, _ = await asking.ask(*tokens)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "issuer_unavailable")
    assert answer.headers["hallmark-charged"] == "0"
    assert runtime.signed == []
    host.issuer.down = False
    answer, _ = await asking.ask(*tokens)
    assert answer.status_code == 200


async def test_a_host_that_says_held_without_the_issuer_is_found_out(
    asking: Asking, host: TokenHost, runtime: MemoryRuntime
) -> None:
    """The issuer signs what it holds: another request's word is no word."""

    def forged(answer: control.IssuerAnswer) -> control.IssuerAnswer:
        said = json.loads(answer.body)
        return msgspec.structs.replace(
            answer, body=json.dumps({**said, "until": said.get("until", 0) + 1}).encode()
        )

    host.change = forged
    answer, _ = await asking.ask(*tokens_of(host.issuer.document, 10))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "issuer_word")
    assert runtime.signed == []


async def test_no_receipt_before_the_issuer_settled(
    asking: Asking, host: TokenHost, runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt never names tokens that could still be spent elsewhere. The error does not say that nothing
    was charged, by which a client would take its tokens for good again: the issuer may settle them yet.
    """
    monkeypatch.setattr(token_billing, "SETTLE_TIMEOUT_S", 0.05)
    assert runtime.billing is not None
    runtime.billing = host.bill_tokens(runtime.configuration, runtime.now)
    runtime.billing.on_message(control.Terms(offer_entry(runtime.configuration, runtime.now())))
    host.change = lambda answer: answer if b"until" in answer.body else None
    answer, _ = await asking.ask(*tokens_of(host.issuer.document, 10))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "change_unavailable")
    assert int(answer.headers["hallmark-charged"]) > 0
    assert runtime.signed == []


async def test_too_few_tokens_are_refused_and_stay_good(asking: Asking, host: TokenHost) -> None:
    """Nobody is asked to hold them."""
    answer, _ = await asking.ask(*tokens_of(host.issuer.document, 0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "payment_short")
    assert host.carried == []


async def test_forged_tokens_are_refused(asking: Asking, host: TokenHost) -> None:
    """Each signature is checked inside, before the issuer is asked."""
    (token,) = tokens_of(host.issuer.document, 10)
    answer, _ = await asking.ask(msgspec.structs.replace(token, nonce=bytes(32)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "token_invalid")
    assert host.carried == []


async def test_the_host_reads_no_token(asking: Asking, host: TokenHost) -> None:
    """What it carries is sealed to the issuer."""
    (token,) = tokens_of(host.issuer.document, 10)
    await asking.ask(token)
    carried = b"".join(one.body for one in host.carried)
    for secret in (token.nonce, token.authenticator):
        assert base64.b64encode(secret)[4:-4] not in carried
        assert secret not in base64.b64decode(json.loads(host.carried[0].body)["sealed"])


async def test_a_402_names_the_key_sets(asking: Asking, host: TokenHost) -> None:
    """So a client knows which tokens are taken."""
    asking.sealed = True
    answer = await asking._client.post(CHAT, content=json.dumps(HELLO))
    assert answer.status_code == 402
    assert answer.json()["error"]["payment"]["tokens"] == [hex0x(asking.keys.digest)]
    assert unhex(answer.json()["error"]["payment"]["tokens"][0]) == KeySet(host.issuer.document).digest
