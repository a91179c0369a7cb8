"""A model's page on a real log: what it points to, by whose word, and who serves it, as far as is known."""

from __future__ import annotations

import msgspec

from hallmark.core.blob_ids import blob_text
from hallmark.core.derivations import Figure, Making
from hallmark.core.document import hex0x, unhex
from hallmark.core.receipt import Mode
from hallmark.routing.eligibility import NEEDS, UNASKED
from hallmark.services.explorer import model_cards
from hallmark.services.explorer.figures import Tally
from hallmark.services.explorer.network import GatewayNetwork
from hallmark.testing.derivations import derivation
from hallmark.testing.followed_log import FollowedLogFixture

NETWORK = {
    "slots": [
        {
            "model": "digits",
            "mode": "tee",
            "idle": 5,
            "busy": 1,
            "ineligible": 0,
            "offline": 2,
            "reasons": {},
        }
    ],
}


def told(node: bytes) -> GatewayNetwork:
    """A gateway that hears one node."""
    return msgspec.convert(NETWORK | {"nodes": [{"key": hex0x(node), "answers": True}]}, GatewayNetwork)


async def test_a_page_says_by_whose_word(watching: FollowedLogFixture) -> None:
    """Versions newest first with their blob IDs; each node with what the log and the gateway say of it."""
    net = watching.net
    thursday = net.make_manifest("2", b"another artifact", hex0x(net.manifest.digest()))
    net.add(net.version(thursday))
    net.add(net.retirement(net.nodes[1]))
    await watching.witness()
    watch, tally = watching.watch, Tally({})
    found = model_cards.page(watch, "digits", tally, (), told=told(net.nodes[0].address), now=net.now)
    assert [one.version for one in found.versions] == ["2", net.manifest.version]
    assert [one.now for one in found.versions] == [True, False]
    assert [one.blob for one in found.versions] == [
        blob_text(unhex(one.artifact)) for one in (thursday, net.manifest)
    ]
    assert {one.signed_by for one in found.versions} == {found.row.owner}
    assert [one.size for one in found.versions] == [thursday.size, net.manifest.size]
    assert (found.quality, found.receipts) == ("unknown", ())
    # No bundle has the artifact that the label points to now, and a node that left offers nothing.
    assert found.servers == ()
    assert found.told.startswith("No node offers it.")


async def test_what_it_was_made_from_is_the_owners_word(watching: FollowedLogFixture) -> None:
    """The sentence names tool and figures, says whose word they are, and that nothing is proven."""
    net = watching.net
    made = net.make_manifest("2", b"made from it", hex0x(net.manifest.digest()))
    net.add(net.version(made))
    at = net.add(derivation(net, net.maker, net.manifest.digest(), made.digest()))
    await watching.witness()
    found = model_cards.page(watching.watch, "digits", Tally({}), (), told=None, now=net.now)
    (origin,) = found.origins
    assert (origin.version, origin.index, origin.manifest) == ("2", at, hex0x(made.digest()))
    assert origin.source == hex0x(net.manifest.digest())
    assert origin.sentence == (
        f"Made from digits version {net.manifest.version}, by models/exact.py, version 1: the owner's word. "
        "Measured: held-out images told 448 images over 450; images told alike 450 images over 450: also "
        "the owner's word. No proof: anybody who has both can convert again and compare the bytes."
    )


async def test_a_name_that_claims_something_is_not_shown(watching: FollowedLogFixture) -> None:
    """A tool, a figure or a version cannot wear a mark's word on the page."""
    net = watching.net
    source = net.make_manifest("witnessed", b"the source", hex0x(net.manifest.digest()))
    net.add(net.version(source))
    made = net.make_manifest("2", b"made from it", hex0x(source.digest()))
    net.add(net.version(made))
    making = Making("verified by TEE", "attested", "", (Figure("proven", 1, "checked", 1),))
    net.add(derivation(net, net.maker, source.digest(), made.digest(), making))
    await watching.witness()
    found = model_cards.page(watching.watch, "digits", Tally({}), (), told=None, now=net.now)
    (origin,) = found.origins
    shown = " ".join((origin.sentence, origin.tool, origin.made_from, *origin.measured))
    assert not any(
        word in shown for word in ("verified", "TEE", "attested", "proven", "checked", "witnessed")
    )


async def test_who_serves_it(watching: FollowedLogFixture) -> None:
    """Who may be asked by the log, and what only the gateway can know; without it that is not known."""
    net = watching.net
    net.add(net.retirement(net.nodes[1]))
    await watching.witness()
    watch, tally, node = watching.watch, Tally({}), net.nodes[0]
    heard = told(node.address)
    found = model_cards.page(watch, "digits", tally, (), told=heard, now=net.now)
    (one,) = found.servers
    assert (one.node, one.reason, one.answers, one.asserted) == (hex0x(node.address), "", "answers", False)
    assert "1 node offers it, of which 1 may be asked by what the log holds. 5 slots free now" in found.told
    assert [slots.idle for slots in found.slots] == [5]
    assert [(one.mode, one.free) for one in found.modes if not one.reason] == [("tee", 5)]
    silent = model_cards.page(watch, "digits", tally, (), told=None, now=net.now)
    assert (silent.servers[0].answers, silent.slots, silent.modes) == ("", (), ())
    assert silent.told.endswith(model_cards.SILENT)
    late = model_cards.page(watch, "digits", tally, (), told=heard, now=net.now + 10**12)
    assert late.servers[0].reason
    assert late.servers[0].sentence


def test_each_mode_has_its_free_slots_or_why_it_has_none() -> None:
    """A full node can still be asked; one that is left out cannot; what no node offers says what it needs."""
    row = NETWORK["slots"][0]
    left_out = {"idle": 0, "busy": 0, "ineligible": 4}
    rows = [
        row | {"idle": 0},
        row | {"mode": "replay"} | left_out,
        row | {"model": "other", "mode": "vanilla"},
    ]
    found = model_cards.modes_now(msgspec.convert({"slots": rows}, GatewayNetwork), "digits")
    assert {one.mode: (one.free, one.reason) for one in found} == {
        "vanilla": (0, NEEDS[Mode.VANILLA]),
        "tee": (0, ""),
        "replay": (0, UNASKED),
        "zkml": (0, NEEDS[Mode.ZKML]),
    }
