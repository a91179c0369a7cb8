"""A start says an offer only when there is something new to say, and leaves what an owner has priced."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hallmark.compose.genesis import Author
from hallmark.compose.plan import Offers, load_plan, with_offers
from hallmark.compose.pricing import IMAGE, LAST, SMALL, YEAR, Money, offer_entry, write_offers
from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.entries import decode
from hallmark.core.money import FreeUse, Price
from hallmark.core.prices import Use, check_offer, cost, is_free, price_of
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.testing.priced_home import MONEY, NOW, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site before its first start."""
    return Site(tmp_path / "home")


def test_the_first_start_offers_what_can_be_meant(site: Site) -> None:
    """Each owner signs an offer of its own, for a year, that any full node takes."""
    assert site.start() == ("node-1", "node-2")
    for number, owner in enumerate(site.keys.owners):
        entry, offer = site.founding.offer(owner.address) or (None, None)
        assert entry is not None
        assert offer is not None
        check_offer(offer)
        assert recover_statement(entry.statement, site.plan.chain_id, entry.signatures[0]) == owner.address
        assert (offer.owner, offer.payee) == (hex0x(owner.address), hex0x(owner.address))
        assert (offer.vault, offer.until - offer.since) == (hex0x(MONEY.vault), YEAR)
        assert offer.asset is not None
        assert offer.asset.development
        assert site.offer(number) == offer


def test_small_requests_and_tensor_models_are_free_at_first(site: Site) -> None:
    """What the examples ask costs nothing; what is larger has a price, and so has an upstream's image."""
    site.plan = with_offers(site.home, site.plan, Offers({"large": "http://127.0.0.1:1/v1"}))
    site.start()
    offer = site.offer()
    assert is_free(offer, Use(SMALL, SMALL), "pydoc")
    assert not is_free(offer, Use(SMALL + 1, 1), "pydoc")
    assert not is_free(offer, Use(1, SMALL + 1), "large")
    assert is_free(offer, Use(milliseconds=570_000), "digits")
    assert not is_free(offer, Use(milliseconds=1), "breast-cancer")
    assert not is_free(offer, Use(1, 1, images=1), "large")
    assert cost(price_of(offer, "pydoc"), Use(1_000_000, 1_000_000)) == 750_000
    assert cost(price_of(offer, "large"), Use(images=1)) == cost(price_of(offer, "digits"), Use())


def test_a_second_start_says_nothing(site: Site) -> None:
    """As long as the offer does not end soon."""
    site.start()
    count = len(site.founding.entries)
    assert site.start(now=NOW + YEAR - LAST - 1) == ()
    assert len(site.founding.entries) == count
    assert site.start(now=NOW + YEAR - LAST) == ("node-1", "node-2")
    assert site.offer().until == NOW + YEAR - LAST + YEAR


def test_the_choice_is_kept(site: Site) -> None:
    """`paid` makes everything cost something, also at the next start; `free` nothing; and back."""
    site.start()
    assert site.start(now=NOW + 1, chosen="paid") == ("node-1", "node-2")
    assert site.offer().free == FreeUse()
    assert site.start(now=NOW + 2) == ()
    assert site.start(now=NOW + 3, chosen="free") == ("node-1", "node-2")
    assert is_free(site.offer(), Use(10**9, 10**9, images=9), "pydoc")
    assert load_plan(site.home).pricing == "free"
    site.start(now=NOW + 4, chosen="small-free")
    assert site.offer().free.tokens_in == SMALL


def test_an_owners_own_prices_stay(site: Site) -> None:
    """A start leaves prices and free use as the owner set them, and prices only labels that are new."""
    site.start()
    mine = msgspec.structs.replace(
        site.offer(), prices=(Price("pydoc", 7, 9),), free=FreeUse(10, 10), since=NOW + 1
    )
    author = Author(network_id(site.plan.origin), site.plan.chain_id, NOW + 1)
    site.founding.say((offer_entry(author, site.keys.owners[0], mine),))
    assert site.start(now=NOW + 2) == ("node-1",)
    offer = site.offer()
    assert price_of(offer, "pydoc") == Price("pydoc", 7, 9)
    assert {price.label for price in offer.prices} == {"pydoc", "digits", "breast-cancer"}
    assert (offer.free.tokens_in, offer.free.models) == (10, ("digits",))
    assert site.start(now=NOW + 3) == ()


def test_a_new_model_gets_a_price(site: Site) -> None:
    """And is free where tensor models are; not where everything is paid."""
    site.start()
    nodes = tuple(msgspec.structs.replace(node, models=(*node.models, "more")) for node in site.plan.nodes)
    site.plan = msgspec.structs.replace(site.plan, nodes=nodes)
    assert site.start(now=NOW + 1) == ("node-1", "node-2")
    assert site.offer().prices[-1].label == "more"
    assert "more" in site.offer().free.models
    assert site.start(now=NOW + 2, chosen="paid")
    assert site.offer().free.models == ()


def test_another_vault_is_another_offer(site: Site) -> None:
    """Whoever signs for the old vault would not be served: the new one is offered."""
    site.start()
    assert site.start(now=NOW + 1, money=Money(MONEY.token, b"\x13" * 20)) == ("node-1", "node-2")


def test_a_node_reads_the_entry_as_the_log_has_it(site: Site) -> None:
    """Its file holds the newest entry's exact bytes."""
    site.start()
    site.start(now=NOW + 1, chosen="paid")
    write_offers(site.home, site.plan, site.keys, site.founding)
    for node, owner in zip(site.plan.nodes, site.keys.owners, strict=True):
        data = site.home.file("services", node.name, "offer.entry").read_bytes()
        newest = site.founding.offer(owner.address)
        assert newest is not None
        assert decode(data) == newest[0]


def test_a_model_that_draws_is_priced_by_the_image(site: Site) -> None:
    """It is free at first, as tensor models are, and costs by the number where everything is paid."""
    nodes = tuple(msgspec.structs.replace(node, models=(*node.models, "shapes")) for node in site.plan.nodes)
    site.plan = msgspec.structs.replace(site.plan, nodes=nodes)
    site.start()
    assert is_free(site.offer(), Use(images=3), "shapes")
    site.start(now=NOW + 1, chosen="paid")
    assert not is_free(site.offer(), Use(images=1), "shapes")
    assert cost(price_of(site.offer(), "shapes"), Use(images=3)) == 3 * IMAGE


def test_a_language_model_of_integers_is_priced_by_tokens(site: Site) -> None:
    """Its format says integers, its task says text: it is not free without bound as tensor models are."""
    labels = ("digits-exact", "pydoc-exact")
    nodes = tuple(msgspec.structs.replace(node, models=(*node.models, *labels)) for node in site.plan.nodes)
    site.plan = msgspec.structs.replace(site.plan, nodes=nodes)
    site.start()
    assert price_of(site.offer(), "pydoc-exact").million_tokens_out > 0
    assert price_of(site.offer(), "digits-exact").call > 0
    assert "digits-exact" in site.offer().free.models
    assert "pydoc-exact" not in site.offer().free.models
