"""`hallmark offer` reads amounts as people write them, refuses what cannot be meant, signs as the owner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli
from hallmark.compose.founding import Founding
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError
from hallmark.core.money import FreeUse, Offer, Price
from hallmark.core.prices import Use, is_free, price_of
from hallmark.testing.priced_home import Site

PYDOC = ("--node", "node-1", "--model", "pydoc")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A home whose owners have said their first offers; nothing runs."""
    site = Site(tmp_path / "home")
    site.start()
    return site


def run(site: Site, *arguments: str) -> str:
    """What `hallmark offer` prints."""
    done = CliRunner().invoke(
        cli,
        ["--home", str(site.home.path), "offer", *arguments],
        catch_exceptions=False,
        standalone_mode=False,
    )
    return done.output


def refusal(site: Site, *arguments: str) -> str:
    """The reason with which `hallmark offer set` refuses, having changed nothing."""
    count = len(Founding(site.home).entries)
    with pytest.raises(HallmarkError) as caught:
        run(site, "set", *arguments)
    assert len(Founding(site.home).entries) == count
    assert caught.value.message.endswith(".")
    return caught.value.reason


def newest(site: Site, number: int = 0) -> Offer:
    """The owner's newest offer, from the file that its node reads."""
    path = site.home.file("services", site.plan.nodes[number].name, "offer.entry")
    return Offer.decode(decode(path.read_bytes()).attachments[0])


def test_show_says_prices_what_is_free_and_that_it_is_development_money(site: Site) -> None:
    """Each node with its own offer, in words and amounts that people read."""
    shown = run(site, "show")
    for said in ("node-1: offer 0x", "node-2: offer 0x", "0.15 DEV", "0.60 DEV", "worth nothing"):
        assert said in shown
    assert "node-2" not in run(site, "show", "--node", "node-1")
    data: list[dict[str, Any]] = json.loads(run(site, "show", "--json"))
    assert [one["node"] for one in data] == ["node-1", "node-2"]
    assert data[0]["prices"][2]["million_tokens_in"] == 150_000


def test_set_changes_one_model_of_one_node(site: Site) -> None:
    """The rest stays; the new offer begins later and is what the node reads."""
    before = site.offer()
    run(site, "set", *PYDOC, "--in", "0.2", "--out", "1.25")
    after = newest(site)
    assert price_of(after, "pydoc") == Price("pydoc", 200_000, 1_250_000)
    assert price_of(after, "digits") == price_of(before, "digits")
    assert after.free == before.free
    assert after.since > before.since
    assert newest(site, 1) == site.offer(1)
    assert "0.20 DEV" in run(site, "show")


def test_set_changes_what_is_free(site: Site) -> None:
    """Bounds as numbers; a model becomes free and ceases to be; both zero: no request is small."""
    run(site, "set", "--node", "node-1", "--free-in", "100", "--free-out", "10", "--paid-model", "digits")
    offer = newest(site)
    assert offer.free == FreeUse(100, 10)
    run(site, "set", "--node", "node-1", "--free-in", "0", "--free-out", "0", "--free-model", "pydoc")
    offer = newest(site)
    assert is_free(offer, Use(10**9, 10**9), "pydoc")
    assert not is_free(offer, Use(1, 1), "digits")


def test_a_price_that_is_changed_survives_a_start(site: Site) -> None:
    """The next start has nothing to say about it."""
    run(site, "set", *PYDOC, "--in", "0.2", "--out", "1.25")
    said = newest(site)
    again = Site(site.home.path)
    assert again.start(now=said.since + 1) == ()
    assert again.offer() == said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*PYDOC, "--in", "0.0000001"), "amount_below_unit"),
        ((*PYDOC, "--in", "1e3"), "bad_amount"),
        ((*PYDOC, "--in", "-1"), "bad_amount"),
        ((*PYDOC, "--in", "1,5"), "bad_amount"),
        ((*PYDOC, "--in", "99999999999999999999"), "amount_too_large"),
        ((*PYDOC, "--in", "9999999999999999"), "amount_too_large"),
        ((*PYDOC, "--in", "0", "--out", "0"), "price_missing"),
        (PYDOC, "bad_price"),
        (("--node", "node-1", "--in", "1"), "bad_price"),
        (("--node", "node-1", "--free-in", "5"), "bad_free_use"),
        (("--node", "node-1"), "nothing_to_set"),
        (("--node", "node-9", "--free-model", "pydoc"), "node_unknown"),
        (("--node", "node-9", "--model", "pydoc", "--in", "1"), "no_offer"),
        (("--node", "node-1", "--model", "gpt-12", "--in", "1"), "model_not_offered"),
        (("--node", "node-1", "--free-model", "gpt-12"), "model_not_offered"),
        ((*PYDOC, "--in", "0.15", "--out", "0.60"), "nothing_changes"),
    ],
)
def test_what_cannot_be_meant_is_refused(site: Site, arguments: tuple[str, ...], reason: str) -> None:
    """With a reason, and nothing is signed."""
    assert refusal(site, *arguments) == reason


def test_a_home_without_a_network_has_no_offers(tmp_path: Path) -> None:
    """It says how to get one."""
    with pytest.raises(HallmarkError) as caught:
        CliRunner().invoke(
            cli, ["--home", str(tmp_path), "offer", "show"], catch_exceptions=False, standalone_mode=False
        )
    assert caught.value.reason == "no_network"
