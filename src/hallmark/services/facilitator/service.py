"""The facilitator put together: store, queue, app, health, metrics."""

from __future__ import annotations

import asyncio
import functools
import time
from pathlib import Path

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.http.health import Health
from hallmark.http.limits import Limits
from hallmark.http.serve import Service, serve
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.transactions import suggest_fees
from hallmark.services.chain.x402_contracts import missing
from hallmark.services.facilitator.access import Access
from hallmark.services.facilitator.app import MAX_BODY, Facilitator
from hallmark.services.facilitator.sender import Sender
from hallmark.services.facilitator.settings import Settings
from hallmark.services.facilitator.settler import Settler
from hallmark.services.facilitator.store import State, Store
from hallmark.services.facilitator.verifier import Verifier
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics

LOOK_S = 10.0
PRUNE_LOOKS = 360


class Watch:
    """Looks after what the facilitator stands on: the right chain, its contracts, gas money, old rows."""

    def __init__(self, rpc: RPC, settings: Settings, store: Store, sender: Sender, app: Facilitator) -> None:
        self._rpc = rpc
        self._settings = settings
        self._store = store
        self._sender = sender
        self._app = app
        self._state = Health("starting", "facilitator_starting")
        self.balance = 0
        self._counts: dict[str, int] = {}

    @property
    def health(self) -> Health:
        """Ready while payments can be settled."""
        if self._state.state == "ready" and self._sender.problem:
            return Health("degraded", self._sender.problem)
        return self._state

    def count(self, state: State) -> int:
        """How many settlements had come so far, at the last look."""
        return self._counts.get(state.value, 0)

    async def run(self) -> None:
        """Look now and then, for ever."""
        looks = 0
        while True:
            try:
                self._state = await self._look()
                if looks % PRUNE_LOOKS == 0:
                    await self._store.prune(time.time_ns() // 1_000_000, self._settings.kept_days)
            except HallmarkError as error:
                self._state = Health("degraded", error.reason)
            looks += 1
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> Health:
        served = await self._rpc.chain_id()
        if served != self._settings.chain_id:
            self._app.contracts = False
            return Health("degraded", "other_chain")
        self._counts = await self._store.counts()
        self._app.contracts = not await missing(self._rpc)
        self.balance = await self._rpc.balance(self._sender.address)
        fees = await suggest_fees(self._rpc)
        if self.balance < fees.limit * self._settings.most_gas:
            get_logger().warning("signer_unfunded")
            return Health("degraded", "signer_unfunded")
        return Health("ready")


def read_key(path: str) -> Key:
    """The account whose secret a file holds as hex. Raises InvalidInput `bad_key_file`."""
    try:
        return Key(bytes.fromhex(Path(path).read_text().strip().removeprefix("0x")))
    except (OSError, ValueError) as error:
        raise InvalidInput("bad_key_file", "A key file does not hold 32 bytes as hex.") from error


async def serve_facilitator(settings: Settings) -> None:
    """Serve until SIGTERM. Raises InvalidInput `bad_key_file`, and what the store raises."""
    key = read_key(settings.key_file)
    authorizer = read_key(settings.authorizer_file) if settings.authorizer_file else None
    database, rpc = RawDatabase(settings.database), RPC(settings.rpc_url)
    store, access = Store(database), Access(settings)
    dropped = await store.begin()
    if dropped:
        get_logger().info("unsent_dropped", count=dropped)
    sender = Sender(rpc, key, store, settings)
    verifier = Verifier(rpc, settings, key.address)
    settler = Settler(rpc, settings, store, sender, verifier, access=access, authorizer=authorizer)
    app = Facilitator(
        settings,
        store,
        verifier,
        settler,
        access=access,
        signer=key.address,
        authorizer=authorizer.address if authorizer is not None else b"",
    )
    watch = Watch(rpc, settings, store, sender, app)
    metrics = Metrics()
    metrics.gauge("facilitator_verified", "Payments that verified.", lambda: app.verified)
    metrics.gauge("facilitator_refused", "Payments that were refused.", lambda: app.refused)
    metrics.gauge("facilitator_transactions", "Transactions that were sent.", lambda: sender.sent)
    for state in State:
        name, what = f"facilitator_{state.value}", f"Settlements that are {state.value}."
        metrics.gauge(name, what, functools.partial(watch.count, state))
    metrics.gauge("facilitator_wei", "What the account that pays the gas has.", lambda: watch.balance)
    limits = Limits(body=MAX_BODY)
    service = Service(app, health=lambda: watch.health, registry=metrics.registry, limits=limits)
    try:
        await serve(service, settings.listen, tasks=(sender.run(), watch.run()))
    finally:
        await rpc.aclose()
        database.close()
