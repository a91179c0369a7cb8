"""What a newcomer gets who says `hallmark up` and nothing else: two answers for nothing, one that is paid
with money that is worth nothing; and then `up --free`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hallmark.core.document import digest_of, hex0x
from hallmark.core.marks import Question, State
from hallmark.core.money import Offer, Payment
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.real_network import Network, hallmark, logs, start_network
from hallmark.verification.dossier import Dossier

pytestmark = pytest.mark.integration

PORT = "26900"
FREE, PRICED = ("digits", "pydoc"), "breast-cancer"


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, str]]:
    """A network as its first start makes it, and what that start printed."""
    home = tmp_path_factory.mktemp("newcomer") / "home"
    started = start_network(home, "--port", PORT)
    yield Network(home), started.stdout
    assert hallmark(home, "down").returncode == 0


def first(network: Network, label: str) -> tuple[State, Payment, Offer]:
    """What the receipt that the start saved says of payment: the mark as a stranger strikes it from the two
    files alone, the record, and the offer that it names.
    """
    dossier = Dossier.parse((network.home / "receipts" / f"first-{label}.json").read_bytes())
    marks = Verifier.read(network.trust).verify(dossier, time.time_ns() // 1_000_000).marks
    documents = dossier.documents
    assert documents.payment is not None
    assert documents.offer is not None
    record = Payment.decode(documents.payment.encode())
    assert record.offer == hex0x(digest_of(Offer, documents.offer.encode()))
    return marks[Question.PAID].state, record, Offer.decode(documents.offer.encode())


def offers(network: Network) -> list[dict[str, Any]]:
    """What `offer show` says of each node."""
    found: list[dict[str, Any]] = msgspec.json.decode(network.run("offer", "show", "--json").stdout)
    return found


def test_the_first_start_asks_two_questions_for_nothing_and_pays_for_one(
    newcomer: tuple[Network, str],
) -> None:
    """Small ones cost nothing by the owner's signed offer, and their receipts say so; the priced one is paid
    from a throw-away wallet, and every amount is called development money.
    """
    network, printed = newcomer
    free, ready, paid = printed.partition("services are up after")
    assert ready
    for label in FREE:
        assert f"{label}: " in free
        state, record, offer = first(network, label)
        assert (state, record.rail, record.charged) == (State.NOT_REQUIRED, "free", "0")
        assert not offer.free.everything
        assert record.offer in {one["digest"] for one in offers(network)}
    assert free.count("  cost: ") == free.count("  cost: free by the node's offer") == len(FREE)
    assert f"{PRICED}: the example in models/{PRICED}/example.json" in paid
    assert "A throw-away wallet: 0x" in paid
    assert "in its account: development money." in paid
    assert "The payment was not made" not in printed
    assert paid.count("  cost: ") == paid.count("  cost: 0.") == paid.count("development money)") == 1
    assert printed.count("meets witnessed") == 2 * len((*FREE, PRICED))
    state, record, offer = first(network, PRICED)
    assert (state.is_negative, state) != (True, State.NOT_REQUIRED)
    assert state.rank > 0
    assert (record.rail, int(record.charged) > 0) == ("vault", True)
    assert record.asset is not None
    assert record.asset.development
    assert "worth nothing" in network.run("wallet", "balance").stdout


def test_after_up_free_nothing_needs_a_payment(newcomer: tuple[Network, str]) -> None:
    """Every model is asked for nothing, and the receipts say that none was required by the new offer."""
    network, _ = newcomer
    assert network.run("down").returncode == 0
    again = network.run("up", "--detach", "--free")
    assert again.returncode == 0, again.stdout + again.stderr + logs(network.home)
    costs = again.stdout.count("  cost: ")
    assert costs == again.stdout.count("  cost: free by the node's offer") == len((*FREE, PRICED))
    assert "wallet" not in again.stdout
    assert all(one["free"]["everything"] for one in offers(network))
    for label in (*FREE, PRICED):
        assert f"{label}: " in again.stdout
        state, record, offer = first(network, label)
        assert (state, record.rail, record.charged) == (State.NOT_REQUIRED, "free", "0")
        assert offer.free.everything
