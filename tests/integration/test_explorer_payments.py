"""What the explorer's pages say of charges, leases and settlements of a real vault on a real EVM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.core.money import Offer
from hallmark.core.vault import Row
from hallmark.services.chain.rpc import RPC
from hallmark.services.explorer import vault_reader
from hallmark.services.explorer.payment_views import Money
from hallmark.services.explorer.wording import moment
from hallmark.testing import payments
from hallmark.testing.anvil import running_anvil
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.network import key
from hallmark.testing.payments import PAYER, offer, paid_answer, price_offer
from hallmark.testing.vaults import SHORT, VaultOnChain, earlier_vault, fresh_vault, settle_at_earlier

pytestmark = pytest.mark.integration
ENCLAVE, PAYEE = key("settlement"), hex0x(key("payee").address)
FRESH = vault_reader.FRESH_MS + 1


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VaultOnChain]:
    """A vault in which the network's settlement key is registered and the payer has an account."""
    async with fresh_vault(url) as chain:
        await chain.register(ENCLAVE, key("payee").address)
        await chain.deposit(PAYER, 1_000)
        await chain.send(chain.ceiling(PAYER, key("payee").address, 900))
        monkeypatch.setattr(payments, "VAULT", chain.address)
        yield chain


class Stage:
    """A network with an offer over that vault, and its explorer."""

    def __init__(self, chain: VaultOnChain) -> None:
        self.chain = chain
        self.exploring = exploring = ExplorerFixture(rpc=chain.rpc)
        self.net = net = exploring.net
        node = net.nodes[0]
        net.restart(node, payment=PAYEE)
        self.terms: Offer = offer(net, vault=hex0x(chain.address))
        net.add(price_offer(net, self.terms))
        self._count = 0

    async def answer(self) -> str:
        """An answer that the payer is charged 3 for, witnessed; its receipt's id."""
        self._count += 1
        made = paid_answer(self.net, self.terms, spend={"nonce": bytes([self._count]) * 32})
        index = self.net.add(made.entry)
        assert self.net.replica().failures(index) == ()
        await self.exploring.witness()
        return hex0x(made.receipt.digest())

    async def money(self, receipt: str) -> Money:
        """What its page says of its money, some time later."""
        self.net.tick(FRESH)
        found = (await self.exploring.explorer.receipt(receipt)).money
        assert found is not None
        return found

    async def lease(self, allowance: int) -> int:
        """The enclave takes a lease; its end, unix s."""
        until = await self.chain.now() + SHORT.lease - 20
        await self.chain.send(self.chain.lease(ENCLAVE, until, [Row(PAYER.address, allowance)]))
        return until

    async def settle(self, cumulative: int) -> None:
        """The enclave settles up to this sum."""
        await self.chain.send(self.chain.settle(ENCLAVE, [Row(PAYER.address, cumulative)]))


async def test_a_charge_is_settled_when_the_vaults_books_reach_it(chain: VaultOnChain) -> None:
    """Not before a lease, not before its sum; then with the transaction, and later ones apart."""
    stage = Stage(chain)
    first, second = await stage.answer(), await stage.answer()
    assert (await stage.money(first)).sentence.endswith("no lease of this enclave on the account was seen.")
    until = await stage.lease(100)
    waiting = await stage.money(first)
    assert waiting.settled == "no"
    closes = moment(1_000 * (until + SHORT.settlement))
    assert waiting.sentence == (
        f"Not settled by the vault yet. It will be by {closes} at the latest, when the window of its lease "
        "closes; after that it is charged only if its payer comes to this enclave again."
    )
    await stage.settle(3)
    paid, waiting = await stage.money(first), await stage.money(second)
    assert (paid.settled, waiting.settled) == ("yes", "no")
    assert "its books for this account and enclave then stood at 3 units" in paid.sentence
    await stage.settle(6)
    later = await stage.money(second)
    assert later.settled == "yes"
    assert later.transaction not in ("", paid.transaction)
    assert (await stage.money(first)).transaction == paid.transaction


async def test_pages_of_account_and_settlement_show_what_the_vault_told(chain: VaultOnChain) -> None:
    """Balance and leases of the payer; what the payee is owed; each settlement under both its names."""
    stage = Stage(chain)
    receipt = await stage.answer()
    await stage.lease(100)
    await stage.settle(3)
    transaction = (await stage.money(receipt)).transaction
    views = stage.exploring.explorer.payments
    payer = await views.account(hex0x(PAYER.address))
    (balance,) = payer.balances
    assert (balance.free, balance.shown, balance.leases) == ("900", "0.0009 DEV", 1)
    assert payer.chain.startswith("The chain was read up to block")
    payee = await views.account(PAYEE)
    assert {fact.name: fact.value for fact in payee.facts}["Settled and not collected yet"] == "0.000003 DEV"
    assert [row.transaction for row in payee.settlements] == [transaction]
    for page in (await views.settlement(transaction), await views.settlement(hex0x(ENCLAVE.address), 2)):
        assert [(row.total, row.sequence) for row in page.rows] == [("0.000003 DEV", 2)]
        assert [row.payer for row in page.accounts] == [hex0x(PAYER.address)]
        assert any(fact.name == "Node with this key" for fact in page.facts)
    with pytest.raises(NotFound):
        await views.settlement(hex0x(ENCLAVE.address), 3)
    assert [row.transaction for row in (await views.settlements()).rows] == [transaction]


async def test_a_charge_whose_window_closed_is_never_settled(chain: VaultOnChain) -> None:
    """Its page says so, also when a row came too late."""
    stage = Stage(chain)
    receipt = await stage.answer()
    await stage.lease(100)
    await chain.pass_time(SHORT.lease + SHORT.settlement + 60)
    assert (await stage.money(receipt)).settled == "lapsed"
    await stage.settle(3)
    late = await stage.money(receipt)
    assert late.settled == "lapsed"
    assert "It is charged only if its payer comes to this enclave again" in late.sentence
    page = await stage.exploring.explorer.payments.settlement(hex0x(ENCLAVE.address), 2)
    assert [row.late for row in page.accounts] == [True]


async def test_a_chain_that_is_away_is_said_to_be(chain: VaultOnChain) -> None:
    """What was read stays; what could not be read is not made up; reading goes on when it is back."""
    stage = Stage(chain)
    first, second = await stage.answer(), await stage.answer()
    await stage.lease(100)
    await stage.settle(3)
    assert (await stage.money(first)).settled == "yes"
    views = stage.exploring.explorer.payments
    reader = views._reader
    reader._rpc, away = RPC("http://127.0.0.1:9"), reader._rpc
    assert (await stage.money(first)).settled == "yes"
    unknown = await stage.money(second)
    assert unknown.settled == "unknown"
    assert "the chain does not answer now (chain_unreachable); it last did at" in unknown.sentence
    account = await views.account(hex0x(PAYER.address))
    assert account.balances == ()
    assert "does not answer" in account.chain
    reader._rpc = away
    assert (await stage.money(second)).settled == "no"


async def test_reading_is_bounded_and_goes_on(chain: VaultOnChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page reads some blocks and says how far it came; the next ones read the rest."""
    stage = Stage(chain)
    receipt = await stage.answer()
    await stage.lease(100)
    await stage.settle(3)
    monkeypatch.setattr(vault_reader, "WINDOW", 2)
    monkeypatch.setattr(vault_reader, "AT_ONCE", 2)
    monkeypatch.setattr(vault_reader, "DEPTH", 1)
    states = [await stage.money(receipt) for _ in range(await chain.rpc.head() + 4)]
    assert "still being read" in states[0].sentence
    assert states[-1].settled == "yes"


async def test_a_vault_of_another_version_is_named_and_not_read(
    chain: VaultOnChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settlements have the same name and are not shown as what they are not: receipts that it charged
    read as unknown, for that reason, and so do the pages of accounts and settlements.
    """
    old = await earlier_vault(chain)
    await chain.send(settle_at_earlier(ENCLAVE.address, key("payee").address), to=old)
    monkeypatch.setattr(payments, "VAULT", old)
    stage = Stage(VaultOnChain(chain.rpc, chain.parameters, old))
    receipt = await stage.answer()
    told = f"the vault {hex0x(old)} is of another version, which this explorer cannot read "
    told += "(vault_of_another_version)"
    money = await stage.money(receipt)
    assert (money.settled, told in money.sentence) == ("unknown", True)
    # the owner's next offer names a vault of today; what is known of it is said first
    terms = offer(stage.net, vault=hex0x(chain.address), since=stage.terms.since + 1)
    stage.net.add(price_offer(stage.net, terms))
    await stage.exploring.witness()
    stage.net.tick(FRESH)
    views = stage.exploring.explorer.payments
    listed = await views.settlements()
    assert (listed.rows, told in listed.chain) == ((), True)
    assert listed.chain.startswith("The chain was read up to block")
    account = await views.account(hex0x(PAYER.address))
    assert told in account.chain
    assert [balance.vault for balance in account.balances] == [hex0x(chain.address)]
    with pytest.raises(NotFound, match="vault_of_another_version"):
        await views.settlement(hex0x(ENCLAVE.address), 1)
