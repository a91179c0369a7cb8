"""An issuer put together: store, key sets, sales, desk, payouts, app, health, metrics."""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from hallmark.core.beacon import network_id
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import HPKEPrivateKey
from hallmark.http.client import Pool
from hallmark.http.health import Health
from hallmark.http.limits import Limits
from hallmark.http.serve import Service, serve
from hallmark.payments.issuing import SealingKey
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.transactions import suggest_fees
from hallmark.services.facilitator.access import Access
from hallmark.services.facilitator.sender import Sender
from hallmark.services.facilitator.service import read_key
from hallmark.services.facilitator.settings import Settings as Facilitating
from hallmark.services.facilitator.settings import Token
from hallmark.services.facilitator.settler import Settler
from hallmark.services.facilitator.store import Store as Ledger
from hallmark.services.facilitator.verifier import Verifier
from hallmark.services.issuer.app import MAX_BODY, IssuerApp
from hallmark.services.issuer.desk import Desk
from hallmark.services.issuer.key_sets import KeySets
from hallmark.services.issuer.payouts import Payouts
from hallmark.services.issuer.sales import Sales
from hallmark.services.issuer.settings import Settings
from hallmark.services.issuer.store import Store
from hallmark.services.node.forwarder import LogClient
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.metrics import Metrics

LOOK_S: Final = 30.0
SEALING_TAG: Final = b"hallmark/issuer-sealing-secret/v1\0"
TOTALS: Final = {
    "sold": "Atomic units that tokens were bought with.",
    "held": "Atomic units of tokens that are held for requests.",
    "earned": "Atomic units that payees earned.",
    "owed": "Atomic units of that which were not paid out yet.",
    "paid": "Atomic units of that which were paid out.",
}


class Watch:
    """Looks after what an issuer stands on: the right chain, gas money, what is owed."""

    def __init__(
        self, rpc: RPC, settings: Settings, *, keys: KeySets, payouts: Payouts, sender: Sender, store: Store
    ) -> None:
        self._rpc, self._settings, self._keys, self._payouts = rpc, settings, keys, payouts
        self._sender, self._store = sender, store
        self._state = Health("starting", "issuer_starting")
        self.totals: dict[str, int] = {}

    @property
    def health(self) -> Health:
        """Ready while tokens are sold, taken and paid for."""
        if self._state.state == "ready":
            problem = self._keys.problem or self._sender.problem or self._payouts.problem
            return Health("degraded", problem) if problem else self._state
        return self._state

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            try:
                self._state = await self._look()
            except HallmarkError as error:
                self._state = Health("degraded", error.reason)
            await asyncio.sleep(LOOK_S if self._state.state == "ready" else 1.0)

    def total(self, name: str) -> int:
        """One of the sums of the store, at the last look."""
        return self.totals.get(name, 0)

    async def _look(self) -> Health:
        if await self._rpc.chain_id() != self._settings.chain_id:
            return Health("degraded", "other_chain")
        self.totals = await self._store.totals()
        balance = await self._rpc.balance(self._sender.address)
        fees = await suggest_fees(self._rpc)
        if balance < fees.limit * self._settings.most_gas:
            return Health("degraded", "signer_unfunded")
        return Health("ready")


def facilitating(settings: Settings) -> Facilitating:
    """The facilitator's settings for what an issuer does with its code: no caller but the issuer itself."""
    money = settings.asset
    return Facilitating(
        listen=settings.listen,
        database=settings.database,
        rpc_url=settings.rpc_url,
        chain_id=settings.chain_id,
        key_file=settings.key_file,
        tokens=(Token(money.address, money.name, money.version),),
        most_gas=settings.most_gas,
        most_fee=settings.most_fee,
        wait_ms=settings.wait_ms,
        poll_ms=settings.poll_ms,
        resend_ms=settings.resend_ms,
        confirmations=settings.confirmations,
    )


async def serve_issuer(settings: Settings) -> None:
    """Serve until SIGTERM. Raises InvalidInput `bad_key_file`, and what the store raises."""
    key, network = read_key(settings.key_file), network_id(settings.origin)
    database, rpc, pool = RawDatabase(settings.database), RPC(settings.rpc_url), Pool(per_origin=4)
    inner = facilitating(settings)
    store, ledger = Store(database), Ledger(database)
    await ledger.begin()
    sender = Sender(rpc, key, ledger, inner)
    verifier = Verifier(rpc, inner, key.address)
    settler = Settler(rpc, inner, ledger, sender, verifier, access=Access(inner))
    log = LogClient(pool, settings.log_url, settings.origin)
    keys = KeySets(settings, key, network, store=store, log=log)
    await keys.begin()
    opener = HPKEPrivateKey(sha256(SEALING_TAG, key.secret))
    sealing = SealingKey.made(opener.public, network, key)
    sales = Sales(settings, keys, store, verifier=verifier, settler=settler, payee=key.address)
    desk = Desk(keys, store, key, opener)
    payouts = Payouts(rpc, key, settings, store=store, ledger=ledger, sender=sender)
    app = IssuerApp(settings, key, sealing, keys=keys, sales=sales, desk=desk)
    watch = Watch(rpc, settings, keys=keys, payouts=payouts, sender=sender, store=store)
    metrics = Metrics()
    for name, what in TOTALS.items():
        metrics.gauge(f"issuer_{name}", what, functools.partial(watch.total, name))
    metrics.gauge("issuer_transactions", "Transactions that were sent.", lambda: sender.sent)
    service = Service(
        app, health=lambda: watch.health, registry=metrics.registry, limits=Limits(body=MAX_BODY)
    )
    tasks = (sender.run(), keys.run(), payouts.run(), watch.run())
    try:
        await serve(service, settings.listen, tasks=tasks)
    finally:
        await pool.aclose()
        await rpc.aclose()
        database.close()
