"""What the pages of a real network say of a paid answer: its receipt, its payer's account, its offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.test_paid_answers import ASKED, Payer

from hallmark.core.marks import Question, State
from hallmark.http.client import Pool
from hallmark.testing.real_network import Network

pytestmark = pytest.mark.integration


@pytest.fixture
async def payer(paid_network: Network, tmp_path: Path) -> AsyncIterator[Payer]:
    """Somebody with 10 DEV in the account."""
    payer = Payer(paid_network, tmp_path / "payer")
    await payer.client.fund("12")
    await payer.client.deposit("10")
    yield payer
    await payer.close()


async def test_a_paid_answer_has_its_pages(payer: Payer) -> None:
    """The receipt's page says that the vault has not settled it yet, and until when it can; the account's
    page shows what is left and what was charged; the offer's page lists the answer.
    """
    pool = Pool()

    async def page(path: str) -> Any:
        async with pool.request("GET", f"{payer.client.base_url}{path}.json") as response:
            assert response.status == 200, path
            return msgspec.json.decode(await response.read())

    draft = await payer.client.ask("What does os.nice do?", **ASKED)
    assert draft.payment is not None
    verified = await draft.receipt.wait("witnessed", 30)
    mark = verified.marks[Question.PAID]
    assert mark.state in (State.CLAIMED, State.CHECKED, State.WITNESSED), mark.shows
    assert mark.detail["payer"] == payer.wallet.address
    assert mark.detail["development"] == "yes"
    found = (await page(f"/explore/receipts/{draft.receipt.id}"))["money"]
    assert found["settled"] in ("no", "yes"), found["sentence"]
    assert "the vault" in found["sentence"].lower()
    account = await page(f"/explore/accounts/{mark.detail['payer']}")
    assert [row["id"] for row in account["receipts"]] == [draft.receipt.id]
    assert [balance["development"] for balance in account["balances"]] == [True]
    offer = await page(f"/explore/offers/{mark.detail['offer']}")
    assert draft.receipt.id in [row["id"] for row in offer["receipts"]]
    assert offer["row"]["standing"] == "in force"
    assert (await page("/network"))["prices"]
    await pool.aclose()
