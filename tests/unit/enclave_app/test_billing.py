"""Answers that are paid for: refused before anything is done. What is drawn meanwhile: `test_drawing`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.hashing import keccak256
from hallmark.core.money import FreeUse, Offer, Payment, Price
from hallmark.core.prices import Use, cost
from hallmark.core.spending import SpendingAuthorization
from hallmark.core.vault import Settlement, unpack_rows
from hallmark.crypto.secp256k1 import is_signed_by
from hallmark.services.enclave import account_journal, control
from hallmark.services.enclave.app import App
from hallmark.testing.billing import NUMBER, PAYER, SETTLEMENT, VAULT, MemoryHost, offer_entry, pay
from hallmark.testing.runtime import MemoryRuntime

CHAT = "/v1/chat/completions"
HELLO = {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
PRICE = Price("tiny", 1_000_000, 2_000_000)


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
    entry = offer_entry(runtime.configuration, runtime.now(), **changes)
    taken = runtime.billing.on_message(control.Terms(entry))
    offer = Offer.decode(decode(entry).attachments[0])
    assert taken == (control.TermsTaken(offer.digest()),)
    return offer


@pytest.fixture
async def asking(runtime: MemoryRuntime, host: MemoryHost, make_app: Any) -> AsyncIterator[Any]:
    """Asks, paying or not."""
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:

        async def ask(
            asked: dict[str, Any] = HELLO, *, path: str = CHAT, headers: Any = None, **pays: Any
        ) -> Any:
            body = json.dumps(asked).encode()
            paid = (
                pay(runtime.configuration, path, body, runtime.now(), **pays) if headers is None else headers
            )
            return await client.post(path, content=body, headers=paid)

        yield ask


def record_of(hallmark: dict[str, Any]) -> Payment:
    """The payment record of an owner's object."""
    return Payment.decode(hallmark["documents"]["payment"].encode())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_paid_answer_says_what_was_bought(
    runtime: MemoryRuntime, host: MemoryHost, asking: Any, check: Any, *, stream: bool
) -> None:
    """Charged by the offer's price for the receipt's tokens, from the account, under the payer's spend."""
    found = check(await asking(HELLO | {"stream": stream}))
    receipt, record = found.receipt, record_of(found.hallmark)
    assert receipt.payment == record.digest()
    assert digest_of(Offer, found.hallmark["documents"]["offer"].encode()) == unhex(record.offer)
    assert (
        receipt.charged == int(record.charged) == cost(PRICE, Use(receipt.tokens_in, receipt.tokens_out)) > 0
    )
    assert (record.rail, record.payer, record.account) == ("vault", hex0x(PAYER.address), NUMBER)
    assert record.request == hex0x(receipt.request)
    assert int(record.charged) <= int(record.reserved)
    entry = decode(runtime.signed[-1].entry)
    assert entry.attachments[3] == record.encode()
    spend = SpendingAuthorization.decode(entry.attachments[4]).spend
    assert record.authorization == hex0x(VAULT.digest(spend))
    assert host.journal is not None
    account = host.journal.accounts.account(NUMBER)
    assert (account.spent, account.reserved) == (receipt.charged, 0)
    assert record.position == host.journal.position


async def test_what_the_offer_calls_free_is_not_charged(
    runtime: MemoryRuntime, asking: Any, check: Any
) -> None:
    """Small uses and named models, with or without a payment; and everything where it says so."""
    for free in (FreeUse(10_000, 1_000), FreeUse(models=("tiny",)), FreeUse(everything=True)):
        offer = offered(runtime, free=free)
        for headers in ({}, None):
            found = check(await asking(headers=headers))
            record = record_of(found.hallmark)
            assert (record.rail, record.charged, found.receipt.charged) == ("free", "0", 0)
            assert record.offer == hex0x(offer.digest())
            assert (record.tokens_in, record.tokens_out) == (
                found.receipt.tokens_in,
                found.receipt.tokens_out,
            )
            assert found.hallmark["payment_authorization"] is None


async def test_without_an_offer_there_is_no_record(runtime: MemoryRuntime, make_app: Any) -> None:
    """As where nothing is sold."""
    runtime.billing = MemoryHost().bill(runtime.configuration, runtime.now)
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        answer = await client.post(CHAT, json=HELLO)
    assert answer.json()["hallmark"]["documents"]["payment"] is None
    assert runtime.signed[-1].receipt.charged == 0


async def test_who_does_not_pay_is_told_what_it_costs(
    runtime: MemoryRuntime, host: MemoryHost, asking: Any
) -> None:
    """402 with offer, payee, vault and the most that it can cost; nothing ran, nothing was drawn."""
    answer = await asking(headers={})
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert (error["code"], error["payment"]["vault"]) == ("payment_required", hex0x(VAULT.address))
    assert error["payment"]["payee"] == runtime.configuration.payment
    assert error["payment"]["enclave"] == hex0x(SETTLEMENT.address)
    assert int(error["payment"]["most"]) >= 16
    assert (runtime.signed, host.asked) == ([], [])


@pytest.mark.parametrize(
    ("pays", "status", "reason"),
    [
        ({"headers": {"hallmark-payment": "garbage!"}}, 400, "bad_payment_header"),
        ({"headers": {"hallmark-payment": "A" * 16_384}}, 400, "bad_payment_header"),
        ({"maximum": 3}, 402, "payment_short"),
        ({"ceiling": {"max_claimable": 3}}, 402, "payment_short"),
        ({"expires": 1}, 402, "payment_expired"),
        ({"enclave": b"\7" * 20}, 402, "payment_mismatch"),
        ({"payee": b"\7" * 20}, 402, "payment_mismatch"),
        ({"request": b"\7" * 32}, 402, "payment_mismatch"),
    ],
)
async def test_bad_payments_do_nothing(
    runtime: MemoryRuntime, host: MemoryHost, asking: Any, pays: Any, status: int, reason: str
) -> None:
    """Each has its reason; nothing runs, nothing is drawn, the host is asked nothing."""
    answer = await asking(**pays)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, reason)
    assert (runtime.signed, host.asked) == ([], [])


async def test_a_poor_payer_is_turned_away(runtime: MemoryRuntime, host: MemoryHost, asking: Any) -> None:
    """One without an account, without enough in it, under too low a ceiling; and while the chain is away."""
    for change, status, reason in (
        ({"free": 3}, 402, "insufficient_balance"),
        ({"free": 10**6, "most": 3}, 402, "insufficient_balance"),
        ({"most": 2**90, "reason": "chain_unreachable"}, 503, "lease_unavailable"),
        ({"reason": "account_absent"}, 402, "account_unknown"),
        ({"reason": "ceiling_refused"}, 402, "ceiling_refused"),
    ):
        for name, value in change.items():
            setattr(host, name, value)
        answer = await asking()
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, reason)
    assert runtime.signed == []
    host.reason = ""
    assert (await asking()).status_code == 200


async def test_one_payment_is_served_once(runtime: MemoryRuntime, asking: Any) -> None:
    """Of 64 copies at once one is answered; the others are told of its receipt, or that it is under way."""
    body = json.dumps(HELLO).encode()
    paid = pay(runtime.configuration, CHAT, body, runtime.now())
    answers = await asyncio.gather(*(asking(headers=paid) for _ in range(64)))
    served = [answer for answer in answers if answer.status_code == 200]
    assert len(served) == len(runtime.signed) == 1
    refused = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
    assert refused <= {"payment_reused", "node_busy"}
    again = await asking(headers=paid)
    assert again.status_code == 409
    assert served[0].json()["hallmark"]["id"] in again.json()["error"]["message"]


async def test_one_account_pays_for_many_at_once(
    runtime: MemoryRuntime, host: MemoryHost, engines: Any
) -> None:
    """64 requests together all succeed when the balance covers them, with few leases."""
    app = App(MemoryRuntime.over(runtime, capacity=64), engines, {})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        body = json.dumps(HELLO).encode()

        async def ask(number: int) -> httpx.Response:
            headers = pay(runtime.configuration, CHAT, body, runtime.now(), nonce=number.to_bytes(32, "big"))
            return await client.post(CHAT, content=body, headers=headers)

        answers = await asyncio.gather(*(ask(number) for number in range(64)))
    assert [answer.status_code for answer in answers] == [200] * 64
    charged = sum(answer.json()["hallmark"]["receipt"]["charged"] for answer in answers)
    assert host.journal is not None
    assert host.journal.accounts.account(NUMBER).spent == charged
    assert sum(isinstance(asked, control.LeaseSigned) for asked in host.asked) <= 3


async def test_no_byte_leaves_before_it_is_drawn(
    runtime: MemoryRuntime, host: MemoryHost, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the host does not say that it has the reservation, nothing comes."""
    monkeypatch.setattr(account_journal, "KEPT_TIMEOUT_S", 0.05)
    host.silent = True
    for stream in (False, True):
        answer = await asking(HELLO | {"stream": stream}, nonce=bytes([stream]) * 32)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_not_kept")


async def test_what_cannot_be_handed_out_says_what_it_costs(
    runtime: MemoryRuntime, host: MemoryHost, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for a receipt: nothing is charged, and the credit is free again. A receipt that was handed over
    and not acknowledged may be in the log: its charge stands, and the error says so, not nothing.
    """
    assert host.journal is not None
    opened, spent, becomes = runtime.open_meter, 0, [""]

    async def full_meanwhile(asked: Any) -> Any:
        meter = await opened(asked)
        runtime.refuse = becomes[0]
        return meter

    monkeypatch.setattr(runtime, "open_meter", full_meanwhile)
    for number, reason in enumerate(("outbox_full", "receipt_not_stored")):
        runtime.refuse, becomes[0] = "", reason
        answer = await asking(nonce=bytes([number]) * 32)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, reason)
        account = host.journal.accounts.account(NUMBER)
        charged = account.spent - spent
        assert (answer.headers["hallmark-charged"], account.reserved) == (str(charged), 0)
        assert bool(charged) == (reason == "receipt_not_stored")
        spent = account.spent
    # of a stream the client has the bytes: what was drawn for them is charged, with or without a receipt
    for number, reason in enumerate(("outbox_full", "receipt_not_stored"), start=2):
        runtime.refuse, becomes[0] = "", reason
        answer = await asking(HELLO | {"stream": True}, nonce=bytes([number]) * 32)
        assert (answer.status_code, b"[DONE]" in answer.content) == (200, False)
        account = host.journal.accounts.account(NUMBER)
        assert (account.spent > spent, account.reserved) == (True, 0)
        spent = account.spent


async def test_work_that_is_priced_by_the_call(runtime: MemoryRuntime, asking: Any, check: Any) -> None:
    """A tensor model's call has its price, and a model without one is not sold."""
    inputs = {"model": "scores", "inputs": {"x": [[1, 2, 3, 4], [0.5, 0, 0, 0]]}}
    found = check(await asking(inputs, path="/v1/hallmark/infer"))
    assert found.receipt.charged == 5
    assert record_of(found.hallmark).milliseconds > 0
    offered(runtime, prices=(PRICE,))
    refused = await asking(inputs, path="/v1/hallmark/infer", nonce=b"\1" * 32)
    assert refused.json()["error"]["code"] == "no_price"


async def test_offers_of_others_are_refused(runtime: MemoryRuntime, host: MemoryHost) -> None:
    """By another key, for another payee or network, or one that cannot be meant; the one in force stays."""
    assert runtime.billing is not None
    before = runtime.billing.offers.at(runtime.now())
    for changes, reason in (
        ({"owner": PAYER}, "offer_of_another"),
        ({"payee": hex0x(b"\7" * 20)}, "offer_names_other"),
        ({"network": hex0x(b"\7" * 32)}, "offer_names_other"),
        ({"prices": ()}, "price_missing"),
    ):
        owner = {"owner": changes.pop("owner")} if changes.get("owner") is PAYER else {}
        entry = offer_entry(runtime.configuration, runtime.now(), **owner, **changes)
        taken = runtime.billing.on_message(control.Terms(entry))
        assert taken == (control.TermsTaken(b"", reason),)
    (garbage,) = runtime.billing.on_message(control.Terms(b"garbage"))
    assert isinstance(garbage, control.TermsTaken)
    assert garbage.reason
    assert runtime.billing.offers.at(runtime.now()) is before


async def test_a_settlement_is_for_what_was_charged(
    runtime: MemoryRuntime, host: MemoryHost, asking: Any
) -> None:
    """Signed by the settlement key over cumulative rows; nothing when the chain has it all; closing gives the
    lease back.
    """
    for number in range(3):
        assert (await asking(nonce=bytes([number]) * 32)).status_code == 200
    charged = sum(signed.receipt.charged for signed in runtime.signed)
    assert runtime.billing is not None
    (signed,) = runtime.billing.on_message(control.Settle(1, {}))
    assert isinstance(signed, control.SettlementSigned)
    (row,) = unpack_rows(signed.rows)
    assert (row.payer, row.amount) == (PAYER.address, charged)
    statement = Settlement(
        SETTLEMENT.address, signed.sequence, keccak256(signed.rows), signed.receipts_root, 0
    )
    digest = VAULT.digest(statement)
    assert is_signed_by(digest, signed.signature, SETTLEMENT.address)
    (again,) = runtime.billing.on_message(control.Settle(2, {PAYER.address: charged}))
    assert isinstance(again, control.SettlementSigned)
    assert again.rows == b""
    (closing,) = runtime.billing.on_message(control.Settle(3, {PAYER.address: charged}, closing=True))
    assert isinstance(closing, control.SettlementSigned)
    assert unpack_rows(closing.rows) == (row,)
    assert closing.sequence > signed.sequence
