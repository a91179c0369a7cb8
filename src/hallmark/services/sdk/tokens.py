"""Tokens: money that nobody can link to who bought it. Bought plainly, spent on the sealed way alone.

The issuer knows who buys how much. Which token was bought by whom it cannot know: it signed each one blind.
What could still tell is time and amount, so

1. a bought token is not spent for some minutes, a random number for each purchase (`wait=(0, 0)` at the price
   of that: who sees both moments may guess);
2. every purchase is split into tokens of the same ladder, and what a request does not cost comes back as
   fresh tokens, which the issuer cannot recognise either. Change may be spent at once: nobody knows whose it
   was before;
3. all who buy in an epoch have signatures by the same keys, which stand in the log.

Tokens of a key set end with it. `exchange` gets as much of the set on sale for those that do, before their
end or for 29 days after it; what nobody exchanges by then is the issuer's.
"""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from hallmark.core.amounts import parse_amount
from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import TRANSFER, TokenDomain, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import (
    Conflict,
    HallmarkError,
    InvalidInput,
    NotFound,
    VerificationFailed,
)
from hallmark.core.hashing import sha256
from hallmark.core.money import Asset
from hallmark.core.tokens import MAX_TOKENS, MAX_UNITS, VALUES, IssuerKeys, Token, TokenSpend
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.issuing import Blinded, Exchange, Exchanged, decode_change
from hallmark.payments.tokens import Signed, choose, finish, make_blank, pay_with, split, take_change
from hallmark.payments.x402.messages import network_of
from hallmark.services.sdk.issuer_client import IssuerClient, Order, Sold
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.token_store import KeptOrder, KeptSpend, KeptToken, TokenState, TokenStore
from hallmark.services.sdk.wallet import Wallet

WAIT_S: Final = (60.0, 600.0)
SIGNED_FOR_S: Final = 600
SOON_MS: Final = 7 * 86_400_000
"""Tokens that end sooner than this are to be exchanged."""
LAST_MS: Final = 3_600_000
"""Tokens that end sooner are not counted on."""
MOST_TRIES: Final = 8
LARGEST: Final = 1 << (VALUES - 1)
Proven = Callable[[KeySet], Awaitable[None]]


class TokenBalance(msgspec.Struct, frozen=True):
    """Atomic units of `asset`: `ready` to be spent, `waiting` until they may be, `away` with requests whose
    end is not known, `ended` because their key set is over. Of what is ready or waits, `ending` ends within a
    week. `exchange` is for `ending` and `ended`.
    """

    ready: int = 0
    waiting: int = 0
    away: int = 0
    ended: int = 0
    ending: int = 0
    asset: Asset | None = None


class Held(msgspec.Struct, frozen=True):
    """Tokens of one value: atomic units each, how many, until when they can be spent (unix ms)."""

    worth: int
    count: int
    until: int


class Leaving(msgspec.Struct, frozen=True):
    """Tokens on their way: the header's value, and what is kept of them here."""

    header: str
    kept: KeptSpend
    keys: KeySet


class Tokens:
    """See the module docstring. `wallet` and `chain` are asked for when something is bought."""

    def __init__(
        self,
        store: TokenStore,
        issuer: Callable[[], IssuerClient],
        wallet: Callable[[], Wallet],
        chain: Callable[[], Chain],
        *,
        network: bytes = b"",
        proven: Proven | None = None,
    ) -> None:
        """`proven` shows that the log has a key set, before anything is bought with it."""
        self._proven = proven
        self._store, self._issuer, self._wallet, self._chain = store, issuer, wallet, chain
        self._network = network
        self._sets: dict[bytes, KeySet] = {}

    async def buy(self, amount: str, wait: tuple[float, float] = WAIT_S) -> int:
        """Buy tokens for so much of the wallet's money (`"1.00"`); atomic units. They can be spent after a
        random time in between these seconds.

        Raises InvalidInput `bad_amount`, `token_amount`, `no_issuer`, `no_chain`, `other_issuer`;
        PaymentRequired `payment_not_settled`; Unavailable `payment_pending` and what a connection raises:
        then `finish_orders` gets them.
        """
        issuer = self._issuer()
        keys, document = await issuer.on_sale()
        terms, chain, wallet = keys.document, self._chain(), self._wallet()
        self._require_ours(terms, chain)
        if self._proven is not None:
            await self._proven(keys)
        units = parse_amount(amount, terms.asset.decimals)
        if not units or units % terms.unit:
            raise InvalidInput(
                "bad_amount",
                f"Tokens are worth whole multiples of {terms.unit} atomic units.",
                "Give a multiple of that, such as 1.00.",
            )
        blanks = tuple(make_blank(keys, value, os.urandom) for value in _values(units // terms.unit))
        order = Order(hex0x(keys.digest), tuple(Blinded(one.value, one.blinded.message) for one in blanks))
        body = msgspec.json.encode(order)
        header = _payment(terms, units, wallet)
        kept = KeptOrder(sha256(body, header.encode()), keys.digest, body, header, blanks)
        await self._store.keep_keys(keys.digest, document)
        await self._store.order(kept)
        await self._fetch(kept, keys, wait)
        return units

    async def exchange(self, wait: tuple[float, float] = WAIT_S, soon_ms: int = SOON_MS) -> int:
        """Have new tokens for those that end within so many ms or have ended: as many atomic units, which is
        returned. No money moves. The new ones can be spent after a random time, as bought ones.

        The issuer learns that this address had so many tokens of that key set, not which purchase they are
        of; the new ones it cannot recognise.

        Raises InvalidInput `no_issuer`, `other_issuer`, `exchange_over`; and what a connection raises: then
        `finish_orders` gets them.
        """
        keys, document, sealing = await self._issuer().exchanged_for()
        self._require_ours(keys.document, self._chain())
        if self._proven is not None:
            await self._proven(keys)
        await self._store.keep_keys(keys.digest, document)
        units = 0
        for old, group in await self._ending(keys, _now() + soon_ms):
            kept = _exchange(keys, old, group, sealing)
            if await self._store.order(kept):
                await self._fetch(kept, keys, wait)
                units += sum(old.document.unit << one.token.value for one in group)
        return units

    async def _ending(self, new: KeySet, before: int) -> list[tuple[KeySet, list[KeptToken]]]:
        """Good tokens of other sets that end before then (unix ms), as one exchange can take them."""
        found: list[tuple[KeySet, list[KeptToken]]] = []
        for one in await self._store.tokens():
            old = await self._keys(one.keys)
            same = (old.document.asset, old.document.unit) == (new.document.asset, new.document.unit)
            if old.document.until > before or old.digest == new.digest or not same:
                continue
            for keys, group in found:
                units = sum(1 << each.token.value for each in group) + (1 << one.token.value)
                if keys is old and len(group) < MAX_TOKENS and units <= MAX_UNITS:
                    group.append(one)
                    break
            else:
                found.append((old, [one]))
        return found

    async def finish_orders(self, wait: tuple[float, float] = WAIT_S) -> int:
        """Have what was ordered and never came; how many orders are over now. Nothing is paid twice."""
        over = 0
        for kept in await self._store.orders():
            await self._fetch(kept, await self._keys(kept.keys), wait)
            over += 1
        return over

    async def _fetch(self, kept: KeptOrder, keys: KeySet, wait: tuple[float, float]) -> None:
        sold: Sold | Exchanged
        try:
            if kept.gives:
                sold = await self._issuer().exchange(kept.body)
            else:
                sold = await self._issuer().buy(kept.body, kept.header)
        except (PaymentRequired, InvalidInput):
            await self._store.bought(kept, ())
            raise
        except Conflict as error:
            if error.reason in ("token_spent", "exchange_differs"):
                await self._store.bought(kept, (), TokenState.SPENT)
            raise
        if len(sold.signed) != len(kept.blanks):
            raise VerificationFailed("token_invalid", "The issuer signed another number of tokens.")
        made = [finish(keys, blank, one.message) for blank, one in zip(kept.blanks, sold.signed, strict=True)]
        low, high = wait
        ready = _now() + int(1000 * (low + (high - low) * secrets.randbelow(1 << 20) / (1 << 20)))
        await self._store.bought(kept, _kept(keys, made, ready))

    async def balance(self) -> TokenBalance:
        """What the home's tokens are worth."""
        now, asset = _now(), None
        sums = dict.fromkeys(("ready", "waiting", "away", "ended", "ending"), 0)
        for state in (TokenState.GOOD, TokenState.AWAY):
            for one in await self._store.tokens(state):
                terms = (await self._keys(one.keys)).document
                asset = terms.asset
                name = "ready" if one.ready <= now else "waiting"
                name = "ended" if terms.until <= now else "away" if state is TokenState.AWAY else name
                sums[name] += terms.unit << one.token.value
                if name in ("ready", "waiting") and terms.until <= now + SOON_MS:
                    sums["ending"] += terms.unit << one.token.value
        return TokenBalance(**sums, asset=asset)

    async def held(self) -> tuple[Held, ...]:
        """The tokens that can be spent, or will be, by worth."""
        found: dict[tuple[int, int], int] = {}
        for one in await self._store.tokens():
            terms = (await self._keys(one.keys)).document
            key = (terms.unit << one.token.value, terms.until)
            found[key] = found.get(key, 0) + 1
        return tuple(Held(worth, count, until) for (worth, until), count in sorted(found.items()))

    async def leave(self, most: int, asset: Asset, among: frozenset[bytes] | None = None) -> Leaving:
        """Take tokens worth at least `most` atomic units out for one request; written down before they leave.

        Raises PaymentRequired `tokens_insufficient`, Conflict `tokens_taken`.
        """
        for _ in range(MOST_TRIES):
            keys, chosen = await self._chosen(most, asset, among)
            payment, blanks = pay_with(keys, [one.token for one in chosen], os.urandom)
            kept = KeptSpend(
                payment.spend.digest() + secrets.token_bytes(8),
                keys.digest,
                tuple(one.nullifier for one in chosen),
                str(payment.spend.units * keys.document.unit),
                blanks,
            )
            if await self._store.leave(kept):
                return Leaving(payment.encode(), kept, keys)
        raise Conflict("tokens_taken", "Other processes of this home take the same tokens.", "Try again.")

    async def came_back(self, leaving: Leaving) -> None:
        """The enclave says that it did not take them."""
        await self._store.over(leaving.kept, None)

    async def gone(self, leaving: Leaving) -> None:
        """They were spent before, and nothing comes back."""
        await self._store.over(leaving.kept, ())

    async def change(self, leaving: Leaving, reserved: int, charged: int, change: bytes) -> None:
        """The answer came, and this is what its receipt says and the change that came with it.

        Raises VerificationFailed `change_short`: the tokens stay away, `recover` asks the issuer for them.
        """
        if reserved != int(leaving.kept.reserved):
            raise VerificationFailed(
                "change_short", "The receipt reserves another amount than the tokens are worth.", "Keep it."
            )
        await self._change(leaving.kept, leaving.keys, charged, change)

    async def recover(self) -> dict[str, int]:
        """Ask the issuer what became of tokens whose request came to no end; how many such requests had
        them `good`, `spent` (the change is here now), or `held` still.

        This tells the issuer, and the network on the way, that this address spent them: of what was asked it
        learns nothing.
        """
        found = dict.fromkeys(("good", "spent", "held"), 0)
        for kept in await self._store.spends():
            fate = await self._issuer().fate(kept.nullifiers[0])
            if fate.state == "good":
                await self._store.over(kept, None)
            elif fate.state == "spent":
                await self._change(kept, await self._keys(kept.keys), int(fate.charged), fate.change)
            found[fate.state] = found.get(fate.state, 0) + 1
        return found

    async def _change(self, kept: KeptSpend, keys: KeySet, charged: int, change: bytes) -> None:
        signed = [Signed(one.value, one.message) for one in decode_change(change)]
        made = take_change(keys, kept.blanks, signed, reserved=int(kept.reserved), charged=charged)
        await self._store.over(kept, _kept(keys, made, _now()))

    async def _chosen(
        self, most: int, asset: Asset, among: frozenset[bytes] | None
    ) -> tuple[KeySet, list[KeptToken]]:
        """The tokens to take, all of one key set: of those that pay here the one that ends first."""
        now, by_set = _now(), dict[bytes, list[KeptToken]]()
        for one in await self._store.tokens():
            if one.ready <= now and (among is None or one.keys in among):
                by_set.setdefault(one.keys, []).append(one)
        sets = [await self._keys(digest) for digest in by_set]
        wanted = [one for one in sets if one.document.asset == asset and one.document.until > now + LAST_MS]
        refused: HallmarkError | None = None
        for keys in sorted(wanted, key=lambda one: one.document.until):
            held = by_set[keys.digest]
            units = -(-most // keys.document.unit)
            try:
                places = choose([one.token.value for one in held], max(1, units))
                return keys, [held[place] for place in places]
            except PaymentRequired as error:
                refused = error
        raise refused or PaymentRequired(
            "tokens_insufficient",
            "There are no tokens at hand that can be spent here now.",
            "Buy some (hallmark wallet tokens buy); bought ones wait for some minutes.",
        )

    async def _keys(self, digest: bytes) -> KeySet:
        if digest not in self._sets:
            for name, document in (await self._store.keys()).items():
                self._sets.setdefault(name, KeySet(IssuerKeys.decode(document)))
        if digest not in self._sets:
            raise NotFound("token_keys_unknown", "The key set of these tokens is not known in this home.")
        return self._sets[digest]

    def _require_ours(self, terms: IssuerKeys, chain: Chain) -> None:
        ours = (terms.asset.chain_id, terms.asset.address) == (chain.chain_id, chain.token)
        if not ours or (self._network and unhex(terms.network) != self._network):
            raise InvalidInput(
                "other_issuer",
                "This issuer sells for another network, chain or token than this home's.",
                "Compare issuer= with the network's operator.",
            )


def _values(units: int) -> tuple[int, ...]:
    """What an amount is bought as: the largest tokens as often as they fit, and one of each below."""
    largest, rest = divmod(units, MAX_UNITS + 1)
    count = 2 * largest + rest // LARGEST
    if count > 256:
        raise InvalidInput("token_amount", "This is more than one purchase can be.", "Buy in several steps.")
    return (*split(rest % LARGEST), *([VALUES - 1] * count))


def _exchange(new: KeySet, old: KeySet, group: Sequence[KeptToken], sealing: bytes) -> KeptOrder:
    """As much of the new set as these tokens are worth, sealed to the issuer."""
    spend = TokenSpend.of(old.digest, tuple(one.token for one in group))
    blanks = tuple(make_blank(new, value, os.urandom) for value in split(spend.units))
    blinded = tuple(Blinded(one.value, one.blinded.message) for one in blanks)
    body = msgspec.json.encode(Exchange.made(spend.encode(), new.digest, blinded, to=sealing))
    gives = tuple(one.nullifier for one in group)
    return KeptOrder(sha256(body), new.digest, body, "", blanks, gives)


def _payment(terms: IssuerKeys, amount: int, wallet: Wallet) -> str:
    """A PAYMENT-SIGNATURE header: x402 `exact` by EIP-3009, from the wallet to the issuer."""
    asset, until = terms.asset, _now() // 1000 + SIGNED_FOR_S
    transfer = Transfer(wallet.key.address, unhex(terms.issuer), amount, 0, until, secrets.token_bytes(32))
    domain = TokenDomain(asset.name, asset.version, asset.chain_id, unhex(asset.address))
    signature = wallet.key.sign(authorization_digest(TRANSFER, transfer, domain))
    accepted = {
        "scheme": "exact",
        "network": network_of(asset.chain_id),
        "amount": str(amount),
        "asset": asset.address,
        "payTo": terms.issuer,
        "maxTimeoutSeconds": 300,
        "extra": {"name": asset.name, "version": asset.version},
    }
    fields = {
        "from": hex0x(transfer.holder),
        "to": terms.issuer,
        "value": str(amount),
        "validAfter": "0",
        "validBefore": str(until),
        "nonce": hex0x(transfer.nonce),
    }
    payload = {"signature": hex0x(signature), "authorization": fields}
    message = {"x402Version": 2, "accepted": accepted, "payload": payload}
    return base64.b64encode(msgspec.json.encode(message)).decode()


def _kept(keys: KeySet, tokens: Iterable[Token], ready: int) -> list[KeptToken]:
    return [KeptToken(keys.nullifier(one), keys.digest, one, ready) for one in tokens]


def _now() -> int:
    return time.time_ns() // 1_000_000
