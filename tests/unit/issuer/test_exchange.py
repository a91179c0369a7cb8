"""Tokens that end are exchanged for as much of the set on sale: nothing lost, nothing twice, nobody named."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.tokens import IssuerKeys, TokenSpend
from hallmark.crypto.hpke import HPKEPrivateKey
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.issuing import Blinded, Exchange, Exchanged
from hallmark.payments.tokens import make_blank, split
from hallmark.services.issuer.desk import EXCHANGED_MS, Desk
from hallmark.services.issuer.key_sets import IssuerSet
from hallmark.services.issuer.store import KeptEpoch, Store
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.token_store import KeptOrder, KeptToken, TokenState, TokenStore
from hallmark.services.sdk.tokens import Tokens
from hallmark.store.raw import RawDatabase
from hallmark.testing.token_desk import ISSUER
from hallmark.testing.tokens import ASSET, SIGNING, issuer_keys, tokens_of

DAY = 86_400_000
NOW_WAIT = (0.0, 0.0)


class Sets:
    """An issuer's key sets: one that is not sold any more, and the one on sale."""

    def __init__(self, *documents: IssuerKeys) -> None:
        kept = [KeptEpoch(one.epoch, one.digest(), one.encode(), b"", b"", logged=True) for one in documents]
        self.sets = [IssuerSet(one, SIGNING) for one in kept]

    def find(self, digest: bytes) -> IssuerSet | None:
        """By its digest."""
        return next((one for one in self.sets if one.digest == digest), None)

    def of_epoch(self, epoch: int) -> IssuerSet:
        """By its epoch."""
        return next(one for one in self.sets if one.epoch == epoch)

    def on_sale(self, _now: int) -> IssuerSet:
        """The newest."""
        return self.sets[-1]


class Issuer:
    """An issuer as a client asks it, without a network. `down` cuts it off after it did what was asked."""

    def __init__(self, store: Store | None = None) -> None:
        self.now, self.down = time.time_ns() // 1_000_000, False
        named = {"issuer": hex0x(ISSUER.address), "unit": 1}
        since = self.now - 40 * DAY
        self.old = issuer_keys(epoch=1, since=since, until=self.now + DAY, **named)
        self.new = issuer_keys(epoch=2, since=self.now - DAY, until=self.now + 60 * DAY, **named)
        self.sealing = HPKEPrivateKey(sha256(b"sealing of an exchange"))
        self.store = store or Store(RawDatabase("sqlite://"))
        self.sets = Sets(self.old, self.new)
        self.desk = Desk(self.sets, self.store, ISSUER, self.sealing)  # type: ignore[arg-type]

    async def exchanged_for(self) -> tuple[KeySet, bytes, bytes]:
        """See `IssuerClient`."""
        return KeySet(self.new), self.new.encode(), self.sealing.public

    async def exchange(self, body: bytes) -> Exchanged:
        """See `IssuerClient`."""
        given = await self.desk.exchange(msgspec.json.decode(body, type=Exchange), self.now)
        if self.down:
            raise Unavailable("connection_lost", "Cut off.")
        return given


@pytest.fixture
def issuer() -> Issuer:
    """The issuer."""
    return Issuer()


@pytest.fixture
async def tokens(issuer: Issuer, tmp_path: Path) -> AsyncIterator[Tokens]:
    """A home with tokens worth 100 of the set that ends."""
    store = TokenStore(tmp_path)
    keys = KeySet(issuer.old)
    await store.keep_keys(keys.digest, issuer.old.encode())
    order = KeptOrder(b"an order", keys.digest, b"", "x", ())
    await store.order(order)
    held = [KeptToken(keys.nullifier(one), keys.digest, one, 0) for one in tokens_of(issuer.old, *split(100))]
    await store.bought(order, held)
    chain = Chain("http://127.0.0.1:9", ASSET.chain_id, ASSET.address, "")
    yield Tokens(store, lambda: issuer, lambda: None, lambda: chain)  # type: ignore[arg-type,return-value]
    store.close()


async def test_as_much_of_the_new_set_once(issuer: Issuer, tokens: Tokens) -> None:
    """The old ones are spent at the issuer, and no second exchange gives anything."""
    before = await tokens.balance()
    assert (before.ready, before.ending) == (100, 100)
    old = await tokens._store.tokens()
    assert await tokens.exchange(NOW_WAIT) == 100
    after = await tokens.balance()
    assert (after.ready, after.ending, after.away, after.ended) == (100, 0, 0, 0)
    assert {one.until for one in await tokens.held()} == {issuer.new.until}
    assert {(await issuer.desk.fate(one.nullifier, issuer.now)).state for one in old} == {"spent"}
    assert await tokens.exchange(NOW_WAIT) == 0
    assert await issuer.store.totals() == dict.fromkeys(("sold", "held", "earned", "owed", "paid"), 0)


async def test_who_was_cut_off_gets_the_same_once_more(issuer: Issuer, tokens: Tokens) -> None:
    """The issuer did it, the answer was lost: nothing is, and nothing is there twice."""
    issuer.down = True
    with pytest.raises(Unavailable):
        await tokens.exchange(NOW_WAIT)
    assert ((await tokens.balance()).ready, (await tokens.balance()).away) == (0, 100)
    issuer.down = False
    assert await tokens.finish_orders(NOW_WAIT) == 1
    assert ((await tokens.balance()).ready, (await tokens.balance()).away) == (100, 0)


async def test_tokens_that_ended_are_exchanged_while_it_is_known_which_were_spent(
    issuer: Issuer, tokens: Tokens
) -> None:
    """For 29 days after their end; then they are refused, stay the home's, and read as ended."""
    issuer.now = issuer.old.until + EXCHANGED_MS
    with pytest.raises(InvalidInput, match="exchange_over"):
        await tokens.exchange(NOW_WAIT)
    assert len(await tokens._store.tokens()) == len(split(100))
    issuer.now -= 1
    assert await tokens.exchange(NOW_WAIT) == 100


async def test_a_token_that_was_spent_gives_nothing(issuer: Issuer, tokens: Tokens) -> None:
    """Nor does one that was exchanged for other messages."""
    packed = await _asked(issuer, 100)
    await issuer.desk.exchange(packed, issuer.now)
    with pytest.raises(Conflict, match="exchange_differs"):
        await tokens.exchange(NOW_WAIT)
    assert await tokens._store.tokens() == []
    assert len(await tokens._store.tokens(TokenState.SPENT)) == len(split(100))


async def _asked(issuer: Issuer, units: int, **changes: Any) -> Exchange:
    """An exchange of tokens worth 100 for so many units."""
    spend = TokenSpend.of(issuer.old.digest(), tokens_of(issuer.old, *split(100)))
    new = KeySet(changes.pop("new", issuer.new))
    blanks = (make_blank(new, value, lambda n: bytes([7]) * n) for value in split(units))
    blinded = tuple(Blinded(one.value, one.blinded.message) for one in blanks)
    made = Exchange.made(spend.encode(), new.digest, blinded, to=issuer.sealing.public)
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("reason", "units", "changes"),
    [
        ("bad_exchange", 99, {}),
        ("bad_exchange", 101, {}),
        ("sealed_for_another", 100, {"sealed": bytes(100)}),
        ("sealed_for_another", 100, {"blinded": ()}),
        ("sealed_for_another", 100, {"keys": "0x" + "11" * 32}),
    ],
)
async def test_what_is_refused(issuer: Issuer, reason: str, units: int, changes: dict[str, Any]) -> None:
    """Other amounts, and messages that somebody changed on the way; nothing is spent by it."""
    with pytest.raises(HallmarkError, match=reason):
        await issuer.desk.exchange(await _asked(issuer, units, **changes), issuer.now)
    await issuer.desk.exchange(await _asked(issuer, 100), issuer.now)


async def test_only_for_the_set_on_sale(issuer: Issuer) -> None:
    """Tokens of the set on sale are not exchanged, nor any for those of another."""
    with pytest.raises(InvalidInput, match="bad_exchange"):
        await issuer.desk.exchange(await _asked(issuer, 100, new=issuer.old), issuer.now)
