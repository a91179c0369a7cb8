"""A receipt's money: what its record says, what of it the chain has moved, and who learns what from it.

Whether an x402 payment was settled the chain says itself (`x402_money`); what an issuer owes for its tokens
is `token_money`'s. Whether the vault has settled a charge is worked out from two sums: what its books hold of
this payer for this enclave's key, and what the log's receipts of the same key and payer come to, up to this
one by their place in the enclave's journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.money import Offer, Payment
from hallmark.services.chain.vault import OTHER_VERSION
from hallmark.services.chain.vault_events import Emitted, Leased, LeaseRefused, RowTooLate, Settled
from hallmark.services.explorer import links, wording
from hallmark.services.explorer.payment_views import Money
from hallmark.services.explorer.receipt_context import ReceiptContext, attested
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.token_money import token_facts, token_standing
from hallmark.services.explorer.vault_reader import NO_CHAIN, VaultReader, VaultSeen
from hallmark.services.explorer.x402_money import RAILS, standing
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.live import payment_of
from hallmark.verification.payment_wording import DEVELOPMENT, amount, prices

MOST_ADDED: Final = 2_000
"""Receipts of one payer that are added up for a page."""


class Charge(msgspec.Struct, frozen=True):
    """A receipt that charges an account: its record, its offer, and the settlement key of its bundle."""

    record: Payment
    offer: Offer
    enclave: bytes


def charge_of(watch: FollowedLog, told: ReceiptContext) -> Charge | None:
    """What a receipt charges; None when it charges no account of a vault that is known."""
    record, known = payment_of(told.entry), attested(watch, told)
    if record is None or record.rail != "vault" or known is None:
        return None
    found, settlement = watch.replica.registry.offers.get(unhex(record.offer)), known.bundle.settlement
    if found is None or found[1].vault is None or settlement is msgspec.UNSET:
        return None
    return Charge(record, found[1], unhex(settlement))


async def money(
    watch: FollowedLog, told: ReceiptContext, reader: VaultReader, others: Iterable[ReceiptContext] | None
) -> Money | None:
    """A receipt's money; None without a payment record. `others` are the payer's receipts, this one among
    them; None when there are too many to add up.
    """
    record = payment_of(told.entry)
    if record is None:
        return None
    facts = tuple(_facts(record))
    if record.rail == "free":
        said = "Nobody is charged for this answer, so there is nothing for a vault to settle."
        return Money(said, "nothing", "", facts, tuple(_learned(record)))
    if record.rail == "token":
        stands = token_standing(watch, told, record)
        facts = (*facts, *token_facts(watch, told))
        return Money(stands.sentence, stands.settled, "", facts, tuple(_learned(record)))
    if record.rail in RAILS:
        found = await standing(told, record, reader)
        if found.transaction:
            facts = (*facts, Fact("Settled by the transaction", found.transaction, "", found.transaction))
        return Money(found.sentence, found.settled, "", facts, tuple(_learned(record)))
    charge = charge_of(watch, told)
    seen = await reader.seen(unhex(charge.offer.vault or "0x")) if charge else None
    if charge is None or seen is None:
        said = "Whether a vault has settled this cannot be said: its offer or key bundle is not known here."
        return Money(said, "unknown", "", facts, tuple(_learned(record)))
    due = None if others is None else _due(watch, charge, others)
    state, said, transaction = await _settled(charge, seen, reader, due)
    return Money(said, state, transaction, facts, tuple(_learned(record)))


def _due(watch: FollowedLog, charge: Charge, others: Iterable[ReceiptContext]) -> int:
    """What the log's receipts of this key and payer come to, up to this one."""
    total = 0
    for told in others:
        other = charge_of(watch, told)
        same = other is not None and (other.enclave, other.offer.vault) == (
            charge.enclave,
            charge.offer.vault,
        )
        if other is not None and same and other.record.payer == charge.record.payer:
            total += int(other.record.charged) * (other.record.position <= charge.record.position)
    return total


async def _settled(
    charge: Charge, seen: VaultSeen, reader: VaultReader, due: int | None
) -> tuple[str, str, str]:
    """(state, sentence, transaction)."""
    payer = unhex(charge.record.payer or "0x")
    for emitted, cumulative in settled_rows(seen.events, charge.enclave, payer):
        if due is not None and cumulative >= due:
            at = await reader.time_of(emitted.block)
            when = f", at {wording.moment(at)}" if at else ""
            said = (
                f"The vault settled this charge in block {emitted.block:,}{when}: its books for this account "
                f"and enclave then stood at {cumulative:,} units, and the log's charges up to this answer "
                f"come to {due:,}."
            )
            return "yes", said, hex0x(emitted.transaction)
    if not seen.whole:
        return "unknown", chain_words(seen, "Whether the vault has settled this cannot be said: "), ""
    if due is None:
        said = "Whether the vault has settled this was not worked out"
        return "unknown", f"{said}: its payer has over {MOST_ADDED:,} answers.", ""
    until = _lease_end(seen.events, charge.enclave, payer)
    window = seen.delays.settlement if seen.delays else 0
    if not until:
        return "no", "Not settled by the vault yet; no lease of this enclave on the account was seen.", ""
    closes = 1_000 * (until + window)
    if closes < max(seen.at, await reader.time_of(seen.head)):
        said = f"Not settled by the vault, and the window of its lease closed at {wording.moment(closes)}."
        return (
            "lapsed",
            f"{said} It is charged only if its payer comes to this enclave again and a new lease covers it.",
            "",
        )
    said = f"Not settled by the vault yet. It will be by {wording.moment(closes)} at the latest, when the "
    said += (
        "window of its lease closes; after that it is charged only if its payer comes to this enclave again."
    )
    return "no", said, ""


def settled_rows(events: Iterable[Emitted], enclave: bytes, payer: bytes) -> Iterator[tuple[Emitted, int]]:
    """(settlement, cumulative amount) for each that charged this payer by this key, oldest first."""
    listed = list(events)
    late = {
        (emitted.transaction, emitted.event.payer, emitted.event.cumulative)
        for emitted in listed
        if isinstance(emitted.event, RowTooLate) and emitted.event.enclave == enclave
    }
    for emitted in listed:
        event = emitted.event
        if isinstance(event, Settled) and event.enclave == enclave:
            for row in event.rows:
                if row.payer == payer and (emitted.transaction, payer, row.amount) not in late:
                    yield emitted, row.amount


def _lease_end(events: Iterable[Emitted], enclave: bytes, payer: bytes) -> int:
    """When the newest lease of this key on the account ends, unix s; 0 when none was seen."""
    refused: set[bytes] = set()
    ends = 0
    for emitted in events:
        event = emitted.event
        if isinstance(event, LeaseRefused) and (event.enclave, event.payer) == (enclave, payer):
            refused.add(emitted.transaction)
    for emitted in events:
        event = emitted.event
        if isinstance(event, Leased) and event.enclave == enclave and emitted.transaction not in refused:
            ends = event.until if any(row.payer == payer for row in event.rows) else ends
    return ends


def chain_words(seen: VaultSeen, before: str = "") -> str:
    """How far the chain was read, or why it was not."""
    if seen.reason == NO_CHAIN:
        return f"{before}this explorer reads no chain."
    if seen.reason == OTHER_VERSION:
        return (
            f"{before}the vault {hex0x(seen.address)} is of another version, which this explorer cannot read "
            f"({seen.reason})."
        )
    if seen.reason:
        last = f"; it last did at {wording.moment(seen.at)}" if seen.at else ""
        return f"{before}the chain does not answer now ({seen.reason}){last}."
    if not seen.whole:
        return f"{before}the chain is still being read, up to block {seen.last:,} of {seen.head:,}."
    return f"{before}the chain was read up to block {seen.head:,}, at {wording.moment(seen.at)}."


def _facts(record: Payment) -> Iterator[Fact]:
    asset = record.asset
    yield Fact("Rail", record.rail)
    if record.rail == "token":
        yield Fact("Payer", "anonymous: no address is known of who paid")
    if record.payer:
        yield Fact("Payer", record.payer, links.account(record.payer), record.payer)
    yield Fact("Payee", record.payee, links.account(record.payee), record.payee)
    yield Fact("Offer", record.offer, links.offer(record.offer), record.offer)
    yield Fact("For the request", record.request, "", record.request)
    if record.rail == "free":
        yield Fact("Used", f"{record.tokens_in:,} tokens in, {record.tokens_out:,} tokens out")
        return
    if record.price is not None:
        yield Fact("Used, at the offer's price", prices(record, record.price))
    yield Fact("Reserved", amount(int(record.reserved), asset))
    yield Fact("Charged", amount(int(record.charged), asset))
    if asset is not None:
        yield Fact("Asset", f"{asset.name}, chain {asset.chain_id}", "", asset.address)
        if asset.development:
            yield Fact("What the money is", DEVELOPMENT)
    yield Fact("What it buys", "an attempt at this answer; no proof, and no good answer")


def _learned(record: Payment) -> Iterator[Fact]:
    """Who learns what from the payment, in words. Only what somebody does learn stands here, as a fact."""
    every = "this record: offer, tokens, sum and moment of each answer"
    if record.rail == "free":
        yield Fact("Everybody who reads the log", f"{every}; it names no payer")
        yield Fact("Facilitator", "none takes part")
        yield Fact("The chain", "nothing of this answer")
        return
    yield Fact("Payer", "the price before asking, and from its receipts what each answer cost")
    if record.rail == "token":
        yield Fact(
            "Issuer of the tokens",
            "who bought tokens, when and for how much; which node was paid with some, when and for how much. "
            "Not which of its buyers it was, but by time and amounts",
        )
        yield Fact("Payee, and who runs its host", "that somebody paid, when and how much; not who")
        yield Fact("Gateway", "nothing, from money")
        yield Fact("Everybody who reads the log", f"{every}, and the tokens that were spent; no payer")
        yield Fact("The chain", "who buys of the issuer, and what the issuer pays out; no single answer")
        return
    signed = "ceiling" if record.rail == "vault" else "signed payment"
    yield Fact(
        "Payee, and who runs its host",
        f"the payer's address, its {signed}, and when and how much it spends; beside that whatever the route "
        "on this page says",
    )
    yield Fact("Gateway", f"the payer's address and {signed}, which pass through it")
    yield Fact("Everybody who reads the log", f"{every}, under the payer's and payee's addresses")
    if record.rail != "vault":
        yield Fact("Facilitator", "none takes part: the enclave checks the payment, its host settles it")
        yield Fact("The chain", _on_chain(record.rail))
        return
    yield Fact("Facilitator", "none takes part: the enclave checks the payment itself")
    yield Fact(
        "The chain",
        "payer, payee, deposits, ceilings and leases, and what each settlement adds up to, for everybody and "
        "for good; single answers do not stand there",
    )


def _on_chain(rail: str) -> str:
    """What the chain learns of one of x402's rails."""
    if rail == "batch-settlement":
        return (
            "payer, payee, the channel's deposits, and what its claims add up to, for everybody and for "
            "good; single answers do not stand there"
        )
    return "payer, payee, sum and moment of this payment, for everybody and for good"
