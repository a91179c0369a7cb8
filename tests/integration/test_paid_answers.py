"""A network that prices everything: deposits, answers that are paid from the account, and payments that are
not taken. Real enclaves, real chain, the command line's own network.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hallmark import AsyncClient, Draft
from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import Question, State
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.vault import SpendingCeiling, Vault, vault_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.payments.spending import request_name, sign_spending
from hallmark.services.chain.toolchain import repository_root
from hallmark.services.sdk.spending import SignedPayment
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing.real_network import Network

pytestmark = pytest.mark.integration
PATH = "/v1/chat/completions"
LIMITS = {"max_per_request": "0.05", "max_per_day": "20"}
ASKED: dict[str, Any] = {"model": "pydoc", "max_tokens": 4}


class Payer:
    """A client with a wallet of its own and money in its account."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.home = folder
        folder.mkdir()
        (folder / "keys").mkdir()
        for name in ("client.json", "keys/faucet.secp256k1"):
            (folder / name).write_bytes((network.home / name).read_bytes())
        (folder / "keys" / "faucet.secp256k1").chmod(0o600)
        self.wallet = Wallet.new(folder)
        self.client = AsyncClient(home=folder)
        self.client.spending(**LIMITS)
        self._pool = Pool()

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        await self._pool.aclose()

    async def signed(self, text: str, **changes: Any) -> tuple[bytes, SignedPayment]:
        """A request's body, and a payment for it."""
        body = msgspec.json.encode({**ASKED, "messages": [{"role": "user", "content": text}], **changes})
        assert self.client._spending is not None
        paid = await self.client._spending.pay(PATH, body)
        assert paid is not None
        return body, paid

    async def send(self, body: bytes, header: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request with this payment header."""
        headers = [(b"content-type", b"application/json"), (b"hallmark-payment", header.encode())]
        url = self.client.base_url + PATH
        async with self._pool.request("POST", url, headers, body) as response:
            return response.status, msgspec.json.decode(await response.read())


@pytest.fixture
async def payer(paid_network: Network, tmp_path: Path) -> AsyncIterator[Payer]:
    """Somebody with 10 DEV in the account."""
    payer = Payer(paid_network, tmp_path / "payer")
    await payer.client.fund("12")
    await payer.client.deposit("10")
    yield payer
    await payer.close()


async def test_a_deposit_buys_answers(payer: Payer) -> None:
    """The first answer takes a lease, the mark `paid` is checked here, and the account shows what is held."""
    draft = await payer.client.ask("What does os.mkfifo do?", **ASKED)
    assert draft.payment is not None
    assert (draft.payment.rail, draft.payment.payer) == ("vault", payer.wallet.address)
    assert 0 < draft.payment.charged <= draft.payment.reserved
    verified = await draft.receipt.wait("witnessed", 30)
    assert verified.marks[Question.PAID].state not in (State.ABSENT, State.FAILED)
    found = await payer.client.balance()
    assert found.wallet == 2_000_000
    assert found.deposited + found.spent == 10_000_000
    assert found.leased + found.spent > 0
    assert found.hidden == 0
    (spent,) = (await payer.client.history()).payments
    assert (spent.charged, spent.receipt) == (draft.payment.charged, draft.receipt.id)


async def test_streams_and_tensor_models_are_paid_for(payer: Payer) -> None:
    """A stream says at its end what it cost; a tensor model has one price a call, known before."""
    stream = payer.client.stream("What does os.stat do?", **ASKED)
    assert "".join([piece async for piece in stream])
    paid = stream.draft.payment
    assert paid is not None
    assert 0 < paid.charged <= paid.reserved
    example = repository_root() / "models" / "digits" / "example.json"
    answer = await payer.client.infer("digits", msgspec.json.decode(example.read_bytes()))
    assert answer.payment is not None
    assert (answer.payment.charged, answer.payment.reserved) == (1_000, 1_000)
    payments = (await payer.client.history()).payments
    assert [(one.model, one.charged) for one in payments] == [("digits", 1_000), ("pydoc", paid.charged)]


async def test_many_at_once_on_one_account(payer: Payer) -> None:
    """64 parallel requests on one account all succeed; each is charged once, the ceiling is signed once."""
    drafts: list[Draft[Any]] = await asyncio.gather(
        *(payer.client.ask(f"What is number {n}?", **ASKED) for n in range(64))
    )
    charged = [draft.payment.charged for draft in drafts if draft.payment is not None]
    assert len(charged) == 64
    payments = (await payer.client.history(100)).payments
    assert sorted(spent.charged or 0 for spent in payments) == sorted(charged)
    assert len({spent.receipt for spent in payments}) == 64


async def test_one_payment_sent_64_times_is_served_once(payer: Payer) -> None:
    """All the others are told that it is used; the account is charged for one answer."""
    body, paid = await payer.signed("What does os.walk do?")
    answers = await asyncio.gather(*(payer.send(body, paid.header) for _ in range(64)))
    served = [value for status, value in answers if status == 200]
    assert len(served) == 1
    refused = {(status, value["error"]["code"]) for status, value in answers if status != 200}
    assert refused <= {(409, "payment_reused"), (503, "no_node")}, refused
    status, value = await payer.send(body, paid.header)
    assert (status, value["error"]["code"]) == (409, "payment_reused")
    assert served[0]["hallmark"]["id"] in value["error"]["message"]


async def test_payments_that_are_not_taken(payer: Payer) -> None:
    """Short, expired, foreign, of another chain, for other bytes, unsigned, garbage, too long: each has its
    reason; nothing runs and nothing is drawn.
    """
    body, paid = await payer.signed("What does os.stat do?")
    whole = base64.b64decode(paid.header)
    found, salt = SpendingAuthorization.decode(whole[:-32]), whole[-32:]
    vault = Vault(payer.client._money.chain.chain_id, unhex(payer.client._money.chain.vault))

    def made(spend: Spend, ceiling: SpendingCeiling | None = None, at: Vault = vault) -> str:
        session = Key.generate()
        under = replace(ceiling or found.ceiling, session=session.address)
        by = payer.wallet.key.sign(vault_digest(under, at.chain_id, at.address))
        return sign_spending(under, by, spend, salt, session=session, vault=at)

    stranger = Key.generate()
    cases = {
        "payment_short": made(replace(found.spend, maximum=1)),
        "payment_expired": made(replace(found.spend, expires=1)),
        "payment_signature": made(found.spend, at=Vault(1, vault.address)),
        "payment_mismatch": made(replace(found.spend, request=request_name(salt, PATH, b"{}"))),
        "account_unknown": "",
        "no_node_for_payee": made(replace(found.spend, payee=stranger.address)),
        "bad_payment_header": "garbage!",
        "payment_header_too_large": "A" * 16_384,
    }
    under = replace(found.ceiling, payer=stranger.address, session=bytes(20))
    by = stranger.sign(vault_digest(under, vault.chain_id, vault.address))
    spend = replace(found.spend, payer=stranger.address)
    cases["account_unknown"] = sign_spending(under, by, spend, salt, session=stranger, vault=vault)
    told = {}
    for reason, header in cases.items():
        status, value = await payer.send(body, header)
        assert status in (400, 402), (reason, status, value)
        told[reason] = value["error"]["code"]
    assert told == {reason: reason for reason in cases}
    assert (await payer.client.balance()).deposited == 10_000_000
    # what was signed for these bytes is still good
    assert (await payer.send(body, paid.header))[0] == 200


async def test_without_a_payment_there_is_no_answer(payer: Payer) -> None:
    """402 with what it costs, whom and where; a client that may not pay raises, and pays nothing."""
    async with AsyncClient(home=payer.home) as client:
        with pytest.raises(HallmarkError) as caught:
            await client.ask("What does os.mkfifo do?", **ASKED)
    assert caught.value.reason == "payment_required"


async def test_the_command_line_pays(paid_network: Network) -> None:
    """From a new wallet to a paid answer in five commands; what it cost stands below the answer."""
    for arguments in (("new",), ("fund", "10"), ("deposit", "5.00")):
        done = await asyncio.to_thread(paid_network.run, "wallet", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    ask = ("ask", "What does os.mkfifo do?", "--max-tokens", "8")
    refused = await asyncio.to_thread(paid_network.run, *ask)
    assert (refused.returncode, "payment_required" in refused.stderr) == (2, True)
    done = await asyncio.to_thread(paid_network.run, *ask, "--pay", "--timeout", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cost  0.00" in done.stdout
    assert "development money" in done.stdout
    short = await asyncio.to_thread(paid_network.run, *ask, "--pay", "--max", "0.000001")
    assert (short.returncode, "payment_short" in short.stderr) == (2, True)
