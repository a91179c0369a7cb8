"""Accounts, offers and settlements: from the fold over the log, and from what the vaults told.

A figure that rests on the chain says how far the chain was read; one that rests on the log is of what a
quorum covers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.core.marks import Question
from hallmark.core.money import Asset, Offer
from hallmark.services.chain.vault import OTHER_VERSION
from hallmark.services.chain.vault_events import Deposited, Emitted, Settled
from hallmark.services.explorer import links, offers, receipts, wording
from hallmark.services.explorer.filters import ID, KEY
from hallmark.services.explorer.index import Index
from hallmark.services.explorer.money import MOST_ADDED, chain_words, money, settled_rows
from hallmark.services.explorer.payment_views import (
    AccountPage,
    Balance,
    Money,
    OfferPage,
    Offers,
    PaidRow,
    SettledRow,
    SettlementPage,
    SettlementRow,
    Settlements,
)
from hallmark.services.explorer.receipt_context import ReceiptContext, of_logged
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.vault_reader import VaultReader, VaultSeen
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.live import payment_of
from hallmark.verification.payment_wording import DEVELOPMENT, amount

SHOWN: Final = 25
SETTLEMENTS: Final = 50


class Payments:
    """Implements `PaymentViews`."""

    def __init__(
        self, watch: FollowedLog, index: Index, reader: VaultReader, chain_id: int, clock: Callable[[], int]
    ) -> None:
        self._watch, self._index, self._reader, self._clock = watch, index, reader, clock
        self._chain_id = chain_id

    async def money(self, told: ReceiptContext) -> Money | None:
        """A receipt's money; None without a payment record."""
        record = payment_of(told.entry)
        if record is None or not record.payer:
            return await money(self._watch, told, self._reader, ())
        found = await self._about(unhex(record.payer), MOST_ADDED + 1)
        others = found if told.index >= 0 else [*found, told]
        return await money(self._watch, told, self._reader, others if len(found) <= MOST_ADDED else None)

    async def offers(self) -> Offers:
        """See `PaymentViews`."""
        now = self._clock()
        return Offers(now, offers.listed(self._watch, offers.known(self._watch), now))

    async def offer(self, digest: str) -> OfferPage:
        """See `PaymentViews`."""
        found, now = offers.find(self._watch, digest), self._clock()
        named = await self._about(found[0], SHOWN)
        return offers.page(self._watch, found, self._paid(named, now), now)

    async def account(self, address: str) -> AccountPage:
        """See `PaymentViews`; raises NotFound `unknown_account` for what is no address."""
        if not KEY.fullmatch(address):
            raise NotFound("unknown_account", "An address is 0x and 40 lower-case hexadecimal digits.")
        now, mine = self._clock(), unhex(address)
        asked = [one for one in offers.known(self._watch) if one[2].payee == address]
        paid = await self._about(mine, MOST_ADDED + 1)
        balances, facts, told = [], list(self._charged(paid)), list[VaultSeen]()
        settled: list[SettlementRow] = []
        for vault, asset in self._vaults():
            seen = await self._reader.seen(vault)
            told.append(seen)
            settled += [row for row in await self._settlements(seen, asset) if row.payee == address]
            try:
                balances += await self._balance(seen, asset, mine)
                earned = await self._reader.earned(vault, mine)
            except HallmarkError:
                continue
            facts += [Fact("Settled and not collected yet", amount(earned, asset))] * bool(earned)
        if any(balance.development for balance in balances) or any(
            one[2].asset and one[2].asset.development for one in asked
        ):
            facts.append(Fact("What the money is", DEVELOPMENT))
        sentence = _sentence(pays=bool(paid or balances), is_paid=bool(asked or settled))
        return AccountPage(
            now,
            address,
            sentence,
            _chain(told),
            tuple(facts),
            tuple(balances),
            offers.listed(self._watch, asked, now),
            self._paid(paid[:SHOWN], now),
            tuple(settled[:SHOWN]),
        )

    async def settlements(self) -> Settlements:
        """See `PaymentViews`."""
        rows, told = list[SettlementRow](), list[VaultSeen]()
        for vault, asset in self._vaults():
            seen = await self._reader.seen(vault)
            told.append(seen)
            rows += await self._settlements(seen, asset)
        return Settlements(self._clock(), _chain(told), tuple(rows[:SETTLEMENTS]))

    async def settlement(self, name: str, sequence: int = -1) -> SettlementPage:
        """See `PaymentViews`."""
        if not (ID if sequence < 0 else KEY).fullmatch(name):
            raise _unknown("A transaction is 0x and 64, a key 0x and 40 lower-case hexadecimal digits.")
        told = list[VaultSeen]()
        for vault, asset in self._vaults():
            seen = await self._reader.seen(vault)
            told.append(seen)
            found = [
                emitted
                for emitted in seen.events
                if isinstance(emitted.event, Settled) and _is_named(emitted, emitted.event, name, sequence)
            ]
            if found:
                rows = tuple([await self._settlement(emitted, asset) for emitted in found])
                accounts = tuple(row for emitted in found for row in _accounts(seen, emitted, asset))
                return SettlementPage(
                    self._clock(), _chain([seen]), rows, self._about_settlement(found, asset), accounts
                )
        raise _unknown(f"No such settlement was seen. {_chain(told)}")

    async def _about(self, subject: bytes, limit: int) -> list[ReceiptContext]:
        """Receipts of the folded log whose record names this payer or offer, newest first."""
        found = []
        for number, at in enumerate(await self._index.about(subject, limit)):
            if at < self._watch.replica.size:
                _, entry = self._watch.leaves.entry(at)
                record = payment_of(entry)
                if record is not None and hex0x(subject) in (record.payer, record.offer):
                    found.append(of_logged(self._watch.judge.logged(at)))
            if number % 50 == 49:
                # A page must not hold up what is followed meanwhile.
                await asyncio.sleep(0)
        return found

    def _paid(self, found: Iterable[ReceiptContext], now: int) -> tuple[PaidRow, ...]:
        rows = []
        for told in found:
            record = payment_of(told.entry)
            if record is None:
                continue
            line = receipts.row(self._watch, told, now)
            mark = next(mark for mark in line.marks if mark.question == Question.PAID)
            charged = amount(int(record.charged), record.asset) if record.payer else ""
            rows.append(
                PaidRow(
                    line.id,
                    line.index,
                    line.finished,
                    record.payer or "",
                    record.payee,
                    charged,
                    line.model,
                    mark,
                    line.asserted_by,
                )
            )
        return tuple(rows)

    def _charged(self, found: list[ReceiptContext]) -> Iterator[Fact]:
        """What the log's receipts charge a payer, by asset."""
        sums: dict[str, tuple[int, int, Asset | None]] = {}
        for told in found[:MOST_ADDED]:
            record = payment_of(told.entry)
            if record is not None and record.payer:
                name = record.asset.address if record.asset else ""
                count, total, _ = sums.get(name, (0, 0, None))
                sums[name] = count + 1, total + int(record.charged), record.asset
        least = "at least " if len(found) > MOST_ADDED else ""
        for count, total, asset in sums.values():
            yield Fact(
                "Charged, by the log", f"{least}{amount(total, asset)} for {wording.count(count, 'answer')}"
            )

    def _vaults(self) -> Iterator[tuple[bytes, Asset]]:
        """Vaults on this network's chain that an offer names, each once, newest offer first."""
        seen: set[bytes] = set()
        for _, _, offer in offers.known(self._watch):
            vault = _vault_of(offer, self._chain_id)
            if vault is not None and offer.asset is not None and vault not in seen:
                seen.add(vault)
                yield vault, offer.asset

    async def _balance(self, seen: VaultSeen, asset: Asset, payer: bytes) -> list[Balance]:
        account = await self._reader.account(seen.address, payer)
        came = (one.event for one in seen.events if isinstance(one.event, Deposited))
        if account.empty and all(event.payer != payer for event in came):
            return []
        return [
            Balance(
                hex0x(seen.address),
                str(account.free),
                amount(account.free, asset),
                account.open_leases,
                amount(account.withdrawing, asset) if account.withdrawing else "",
                1_000 * account.ready_at,
                asset.development,
            )
        ]

    async def _settlements(self, seen: VaultSeen, asset: Asset) -> list[SettlementRow]:
        found = [emitted for emitted in seen.events if isinstance(emitted.event, Settled)]
        return [await self._settlement(emitted, asset) for emitted in reversed(found[-SETTLEMENTS:])]

    async def _settlement(self, emitted: Emitted, asset: Asset) -> SettlementRow:
        event = emitted.event
        assert isinstance(event, Settled)
        return SettlementRow(
            hex0x(event.enclave),
            event.sequence,
            hex0x(event.payee),
            amount(event.total, asset),
            len(event.rows),
            hex0x(emitted.transaction),
            emitted.block,
            await self._reader.time_of(emitted.block),
        )

    def _about_settlement(self, found: list[Emitted], asset: Asset) -> tuple[Fact, ...]:
        facts = []
        members = self._watch.replica.registry.members.values()
        for event in (emitted.event for emitted in found):
            assert isinstance(event, Settled)
            enclave = hex0x(event.enclave)
            facts.append(Fact("Receipts root", hex0x(event.receipts_root), "", hex0x(event.receipts_root)))
            facts += [
                Fact("Node with this key", hex0x(member.key), links.node(member.key), hex0x(member.key))
                for member in members
                if member.bundle is not None and member.bundle.settlement == enclave
            ]
        return (*facts, *[Fact("What the money is", DEVELOPMENT)] * asset.development)


def _accounts(seen: VaultSeen, emitted: Emitted, asset: Asset) -> Iterator[SettledRow]:
    event = emitted.event
    assert isinstance(event, Settled)
    for row in event.rows:
        booked = any(one is emitted for one, _ in settled_rows(seen.events, event.enclave, row.payer))
        yield SettledRow(hex0x(row.payer), amount(row.amount, asset), not booked)


def _is_named(emitted: Emitted, event: Settled, name: str, sequence: int) -> bool:
    if sequence < 0:
        return hex0x(emitted.transaction) == name
    return (hex0x(event.enclave), event.sequence) == (name, sequence)


def _vault_of(offer: Offer, chain_id: int) -> bytes | None:
    if offer.vault is None or offer.asset is None or offer.asset.chain_id != chain_id:
        return None
    return unhex(offer.vault)


def _chain(told: list[VaultSeen]) -> str:
    """How far the newest vault was read, and which others cannot be."""
    if not told:
        return "No offer names a vault, so no chain was asked."
    others = [seen for seen in told[1:] if seen.reason == OTHER_VERSION]
    words = [chain_words(told[0]), *(f"beside it {chain_words(seen)}" for seen in others)]
    return " ".join(_first_upper(one) for one in words)


def _sentence(*, pays: bool, is_paid: bool) -> str:
    match pays, is_paid:
        case True, True:
            return "An address that pays for answers and is paid for answers."
        case True, False:
            return "An address that pays for answers."
        case False, True:
            return "An address that is paid for answers."
    return "An address of which nothing is known here: no receipt, no offer and no vault names it."


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unknown(message: str) -> NotFound:
    return NotFound("unknown_settlement", message)
