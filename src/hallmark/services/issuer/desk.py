"""What is spent: tokens held for a request, and settled or given back when it is over.

The issuer learns here which payee earned what when. It learns no prompt and no buyer: what it signed it
cannot recognise. Nobody is asked who they are, because who has a token may spend it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.hashing import sha256
from hallmark.core.tokens import TokenSpend
from hallmark.crypto.hpke import HPKEPrivateKey
from hallmark.crypto.secp256k1 import Signer
from hallmark.payments.issuing import (
    EXCHANGE_TAG,
    HOLD_MS,
    Exchange,
    Exchanged,
    Held,
    HoldRequest,
    Settled,
    SettleRequest,
    decode_change,
    encode_change,
)
from hallmark.services.issuer.key_sets import IssuerSet, KeySets
from hallmark.services.issuer.store import KEPT_MS, Hold, HoldState, Store

EXCHANGED_MS: Final = KEPT_MS - 86_400_000
"""For so long after their end tokens are exchanged: while it is known which were spent."""
MOST: Final = 512
"""Tokens that one exchange gives."""


class Fate(msgspec.Struct, frozen=True):
    """What became of a token: `good`, `held` until a time (unix ms), or `spent`; of a spent one's request
    what was charged (atomic units) and the change, blind signatures that only its owner can use.
    """

    state: str
    until: int = 0
    charged: str = ""
    change: bytes = b""


class Desk:
    """See the module docstring. `sealing` opens what enclaves send."""

    def __init__(self, keys: KeySets, store: Store, key: Signer, sealing: HPKEPrivateKey) -> None:
        self._keys, self._store, self._key, self._sealing = keys, store, key, sealing

    async def hold(self, asked: HoldRequest, now: int) -> Held:
        """Hold tokens at `now` (unix ms).

        Raises InvalidInput `token_keys_unknown`, `bad_tokens`; VerificationFailed `sealed_for_another`,
        `token_invalid`; and as `Store.hold` does.
        """
        known = self._keys.find(unhex(asked.keys))
        if known is None or not known.logged or not known.keys.since <= now < known.keys.until:
            raise InvalidInput(
                "token_keys_unknown", "No tokens of this key set are taken now.", "See GET /v1/issuer/keys."
            )
        spent = known.spent(asked.opened(self._sealing))
        until = now + HOLD_MS
        hold = Hold(
            request=unhex(asked.request),
            spend=spent.digest,
            epoch=known.epoch,
            payee=unhex(asked.payee),
            key=unhex(asked.key),
            reserved=spent.total,
            until=until,
        )
        kept = await self._store.hold(hold, spent.nullifiers, now)
        return Held(asked.request, hex0x(spent.digest), kept.until).signed(self._key)

    async def settle(self, asked: SettleRequest, now: int) -> Settled:
        """Settle a request, or give everything back where nothing is charged and no change is asked for.

        Raises NotFound `hold_unknown`; VerificationFailed `settle_unsigned`; InvalidInput `bad_change`; and
        as `Store.settle` does.
        """
        hold = await self._store.find_hold(unhex(asked.request))
        if hold is None:
            raise NotFound("hold_unknown", "Nothing is held for this request.")
        asked.require(hold.key)
        charged = int(asked.charged)
        if not charged and not asked.change:
            await self._store.release(msgspec.structs.replace(hold, asked=asked.digest()))
            return Settled(asked.request, "0", ()).signed(self._key)
        known = self._keys.of_epoch(hold.epoch)
        back = sum(known.keys.unit << one.value for one in asked.change)
        unit = known.keys.unit
        if charged > hold.reserved or back != (hold.reserved - charged) // unit * unit:
            raise InvalidInput("bad_change", "Charge and change are not what is held.")
        known.require_messages(asked.change)
        signed = hold.change
        if hold.state is not HoldState.SETTLED:
            signed = encode_change(await known.sign(asked.change))
        settled = msgspec.structs.replace(hold, charged=charged, asked=asked.digest(), change=signed)
        done = await self._store.settle(settled, hold.reserved - back, now)
        return Settled(asked.request, asked.charged, decode_change(done.change)).signed(self._key)

    async def exchange(self, asked: Exchange, now: int) -> Exchanged:
        """Tokens of a key set that is not sold any more, for as much of the one that is: no money moves, and
        nobody is asked who he is. Until EXCHANGED_MS after the old set's end.

        Raises InvalidInput `token_keys_unknown`, `bad_tokens`, `bad_exchange`, `bad_blinded_message`,
        `exchange_over`; VerificationFailed `sealed_for_another`, `token_invalid`; and as `Store.exchange`.
        """
        packed = asked.opened(self._sealing)
        old, new = self._keys.find(TokenSpend.decode(packed).keys), self._keys.find(unhex(asked.keys))
        if old is None or new is None or not (old.logged and new.logged):
            raise InvalidInput("token_keys_unknown", "There is no such key set.", "See GET /v1/issuer/keys.")
        name = sha256(EXCHANGE_TAG, packed)
        if await self._store.find_hold(name) is None:
            self._require_due(old, new, now)
        spent = old.spent(packed)
        new.require_messages(asked.blinded)
        worth = sum(new.keys.unit << one.value for one in asked.blinded)
        if worth != spent.total or old.keys.asset != new.keys.asset or len(asked.blinded) > MOST:
            raise InvalidInput("bad_exchange", "What is asked for is not worth what is given.")
        signed = encode_change(await new.sign(asked.blinded))
        hold = Hold(
            request=name,
            spend=spent.digest,
            epoch=old.epoch,
            payee=b"",
            key=b"",
            reserved=spent.total,
            until=now,
            state=HoldState.SETTLED,
            asked=asked.digest(),
            change=signed,
        )
        kept = await self._store.exchange(hold, spent.nullifiers, now)
        return Exchanged(decode_change(kept.change))

    def _require_due(self, old: IssuerSet, new: IssuerSet, now: int) -> None:
        on_sale = self._keys.on_sale(now)
        if on_sale is None or on_sale.digest != new.digest or old.digest == new.digest:
            raise InvalidInput(
                "bad_exchange", "Tokens are exchanged for those on sale.", "See GET /v1/issuer/keys."
            )
        if now >= old.keys.until + EXCHANGED_MS:
            raise InvalidInput(
                "exchange_over", "These tokens ended too long ago: what was spent of them is forgotten."
            )

    async def fate(self, nullifier: bytes, now: int) -> Fate:
        """What became of the token with this nullifier."""
        hold = await self._store.holder_of(nullifier)
        if hold is None or (hold.state is HoldState.HELD and hold.until <= now):
            return Fate("good")
        if hold.state is HoldState.SETTLED:
            return Fate("spent", 0, str(hold.charged), hold.change)
        return Fate("held", hold.until)
