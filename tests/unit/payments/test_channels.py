"""batch-settlement's channels: one request at a time, in step with its client, never over what is
deposited.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, InvalidInput
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.payments.accounts import Accounts, PaymentRequired
from hallmark.payments.x402 import rails
from hallmark.payments.x402.challenge import Settling, challenge, requirements
from hallmark.payments.x402.channels import MISMATCH, Channels, Corrective, OnChain

CONFIG = digests.Channel(b"\1" * 20, bytes(20), b"\2" * 20, b"\3" * 20, b"\4" * 20, 900, b"\5" * 32)
CHANNEL = digests.channel_id(CONFIG, 31_337)
NOW = 1_790_000_000
OFFER = Offer(
    network=hex0x(b"\1" * 32),
    owner=hex0x(b"\2" * 20),
    payee=hex0x(b"\3" * 20),
    asset=Asset(31_337, hex0x(b"\x11" * 20), 6, "DEV", "Development Dollar", "1", development=True),
    vault=None,
    prices=(Price("pydoc", 150_000),),
    free=FreeUse(),
    since=1_000,
    until=2_000,
)


def voucher(total: int, amount: int = 100) -> rails.Authorization:
    """A voucher whose signature holds, for `total` in all, with a request of at most `amount`."""
    channel = rails.Channel(CONFIG, CHANNEL, total)
    digest = digests.voucher_digest(CHANNEL, total, 31_337)
    return rails.Authorization(
        "batch-settlement", "voucher", CONFIG.payer, amount, digest, 0, b"\6" * 65, channel=channel
    )


def opened(balance: int = 1_000) -> tuple[Accounts, Channels]:
    """A channel with a deposit."""
    accounts = Accounts()
    channels = Channels(accounts)
    channels.observe(7, CHANNEL, CONFIG, OnChain(balance, 0))
    return accounts, channels


def name(number: int) -> bytes:
    """A request's 32 bytes."""
    return number.to_bytes(32, "big")


def serve(accounts: Accounts, channels: Channels, number: int, total: int, charged: int) -> None:
    """One request from voucher to end."""
    channels.begin(voucher(total), name(number), NOW)
    accounts.draw(name(number), charged)
    accounts.end(name(number), charged)


def test_vouchers_follow_what_was_charged() -> None:
    """Each is for what was charged before and the most of its request, and what is charged is less."""
    accounts, channels = opened()
    serve(accounts, channels, 1, 100, 40)
    serve(accounts, channels, 2, 140, 100)
    assert (channels.charged(CHANNEL), channels.claimable()) == (140, {CHANNEL: 140})
    channels.observe(7, CHANNEL, CONFIG, OnChain(1_000, 140))
    assert channels.claimable() == {}


def test_channels_outlive_a_restart() -> None:
    """The newest voucher is kept with the accounts: what was charged can still be claimed, and only once."""
    accounts, channels = opened()
    serve(accounts, channels, 1, 100, 40)
    again = Accounts(accounts.events(0))
    restored = Channels(again)
    (claim,) = restored.claims(100)
    assert (claim.config, claim.max_claimable, claim.total_claimed) == (CONFIG, 100, 40)
    restored.claimed(CHANNEL, 40)
    assert restored.claims(100) == ()
    serve(again, restored, 2, 140, 1)


def test_claims_follow_the_chain_in_both_directions() -> None:
    """What the chain went back behind is claimed again; of a channel that is not known nothing is."""
    accounts, channels = opened()
    serve(accounts, channels, 1, 100, 40)
    for claimed, claimable in ((40, {}), (0, {CHANNEL: 40}), (30, {CHANNEL: 40}), (40, {})):
        channels.claimed(CHANNEL, claimed)
        assert channels.claimable() == claimable
    channels.claimed(bytes(32), 5)
    assert channels.state(bytes(32)) is None


def test_a_client_that_is_out_of_step_is_told_the_state() -> None:
    """With x402's own code and the client's own last signature, so that stock clients go on by themselves."""
    accounts, channels = opened()
    serve(accounts, channels, 1, 100, 40)
    with pytest.raises(Corrective) as refused:
        channels.begin(voucher(200), name(2), NOW)
    assert (refused.value.status, refused.value.error) == (402, MISMATCH)
    assert refused.value.told["voucherState"] == {
        "signedMaxClaimable": "100",
        "signature": "0x" + "06" * 65,
    }
    state = refused.value.told["channelState"]
    assert isinstance(state, dict)
    assert (state["chargedCumulativeAmount"], state["balance"]) == ("40", "1000")
    serve(accounts, channels, 2, 140, 1)


def test_a_voucher_is_not_served_twice() -> None:
    """While its request runs the channel is busy; afterwards its sum is not the next one."""
    accounts, channels = opened()
    channels.begin(voucher(100), name(1), NOW)
    for number in range(2, 66):
        with pytest.raises(Conflict) as refused:
            channels.begin(voucher(100), name(number), NOW)
        assert refused.value.reason == "channel_busy"
    accounts.draw(name(1), 1)
    accounts.end(name(1), 1)
    with pytest.raises(Corrective):
        channels.begin(voucher(100), name(66), NOW)


def test_a_voucher_for_which_nothing_was_charged_is_good_for_the_next_request() -> None:
    """Its client signs the same bytes again: the sum has not changed."""
    accounts, channels = opened()
    serve(accounts, channels, 1, 100, 0)
    serve(accounts, channels, 2, 100, 100)
    assert channels.charged(CHANNEL) == 100


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda channels: channels.begin(voucher(1_100, 1_100), name(1), NOW), "insufficient_balance"),
        (lambda channels: closing(channels).begin(voucher(100), name(1), NOW), "channel_closing"),
        (lambda _: Channels(Accounts()).begin(voucher(100), name(1), NOW), "channel_unknown"),
    ],
)
def test_what_the_chain_does_not_hold_is_not_spent(change: Callable[[Channels], object], reason: str) -> None:
    """More than the deposit, a channel that its payer empties, one without a deposit: nothing is reserved."""
    accounts, channels = opened()
    with pytest.raises(PaymentRequired) as refused:
        change(channels)
    assert refused.value.reason == reason
    assert accounts.account(7).reserved == 0


def closing(channels: Channels) -> Channels:
    """The payer asked for its money."""
    channels.observe(7, CHANNEL, CONFIG, OnChain(1_000, 0, withdraw_at=NOW + 900))
    return channels


def test_ways_to_pay_come_in_order_and_are_for_one_price() -> None:
    """batch-settlement, upto, exact by EIP-3009 and by Permit2; without Permit2's contracts, two of them."""
    settling = Settling(b"\x09" * 20, b"\x09" * 20, 900)
    offered = requirements(OFFER, 25, settling)
    assert [(one.scheme, one.extra.get("assetTransferMethod")) for one in offered] == [
        ("batch-settlement", "eip3009"),
        ("upto", "permit2"),
        ("exact", None),
        ("exact", "permit2"),
    ]
    assert {(one.amount, one.network, one.pay_to) for one in offered} == {("25", "eip155:31337", OFFER.payee)}
    few = requirements(OFFER, 25, Settling(b"\x09" * 20, b"\x09" * 20, 900, permit2=False))
    assert [one.scheme for one in few] == ["batch-settlement", "exact"]
    assert challenge(offered, "http://a/v1/completions", "payment_required").accepts == offered


def test_nothing_is_offered_for_nothing() -> None:
    """A price below one unit is an error, not a free answer."""
    with pytest.raises(InvalidInput) as refused:
        requirements(OFFER, 0, Settling(b"\x09" * 20, b"\x09" * 20, 900))
    assert refused.value.reason == "price_below_unit"
