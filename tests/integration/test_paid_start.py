"""A start where everything costs something, as a newcomer and an owner meet it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hallmark.testing.real_network import Network, hallmark, logs, start_network

pytestmark = pytest.mark.integration

NOTICED_S = 240.0
"""Within which nodes read a new offer."""
QUESTION = "What does os.mkfifo do?"
PORT = "26700"


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, str]]:
    """A network that was started with `--paid`, and what its start printed."""
    home = tmp_path_factory.mktemp("paid") / "home"
    started = start_network(home, "--paid", "--port", PORT)
    yield Network(home), started.stdout
    assert hallmark(home, "down").returncode == 0


def offers(network: Network) -> dict[str, Any]:
    """What `offer show` says of each node."""
    shown = msgspec.json.decode(network.run("offer", "show", "--json").stdout)
    return {one["node"]: one for one in shown}


def test_the_first_start_pays_from_a_throw_away_wallet(paid: tuple[Network, str]) -> None:
    """Every question is paid, marked so and cleared; each amount is called development money."""
    network, printed = paid
    assert "every request costs development money" in printed
    assert "A throw-away wallet: 0x" in printed
    assert "The payment was not made" not in printed
    assert printed.count("  cost: 0.") == printed.count("development money)") == 3
    assert printed.count("meets witnessed") == 6
    balance = network.run("wallet", "balance")
    assert "worth nothing" in balance.stdout
    assert network.status()["vault"]["state"] == "ready"


def test_without_payment_nothing_is_served(paid: tuple[Network, str]) -> None:
    """The refusal says what the request can cost; with `--pay` the same question is answered."""
    network, _ = paid
    refused = network.run("ask", QUESTION)
    assert refused.returncode == 2, refused.stdout
    assert refused.stderr.startswith("payment_required: ")
    answered = network.run("ask", QUESTION, "--pay")
    assert answered.returncode == 0, answered.stderr
    assert "meets witnessed" in answered.stdout


def test_an_owners_new_offer_counts_from_then_on(paid: tuple[Network, str]) -> None:
    """Both owners make a model free: the log has their offers, and it is served for nothing."""
    network, _ = paid
    before = offers(network)
    for node in ("node-1", "node-2"):
        done = network.run("offer", "set", "--node", node, "--free-model", "pydoc")
        assert done.returncode == 0, done.stderr
    after = offers(network)
    for node, offer in after.items():
        assert offer["free"]["models"] == ["pydoc"]
        assert offer["position"] > before[node]["position"]
    deadline = time.monotonic() + NOTICED_S
    while (answered := network.run("ask", QUESTION)).returncode and time.monotonic() < deadline:
        assert answered.stderr.startswith("payment_required: ")  # the nodes have not read it yet
    assert answered.returncode == 0, answered.stderr
    assert network.run("infer", "digits", "--input", "models/digits/example.json").returncode == 2


def test_a_second_start_keeps_choice_offers_and_contracts(paid: tuple[Network, str]) -> None:
    """Nothing is said again, and the account is where it was."""
    network, _ = paid
    before, account = offers(network), network.run("wallet", "balance", "--json").stdout
    assert network.run("down").returncode == 0
    again = network.run("up", "--detach", "--no-ask")
    assert again.returncode == 0, again.stderr + logs(network.home)
    assert "price offers" not in again.stdout
    assert {node: one["digest"] for node, one in offers(network).items()} == {
        node: one["digest"] for node, one in before.items()
    }
    kept = msgspec.json.decode(network.run("wallet", "balance", "--json").stdout)
    assert int(kept["wallet"]) == int(msgspec.json.decode(account)["wallet"]) > 0
    assert network.run("ask", QUESTION).returncode == 0
