"""A node's money in one process, both its sides real: an enclave's billing and its host, on a chain whose
time a test moves, with clocks that go along.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.core.prices import Use
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, Vault
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.spending import HEADER, request_name, sign_spending
from hallmark.payments.x402.messages import REQUIRED_HEADER, SIGNATURE_HEADER
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.billing import Asked, Billing
from hallmark.services.enclave.leases import Leases
from hallmark.services.enclave.metering import Bill, Meter
from hallmark.services.enclave.x402_billing import X402Billing
from hallmark.services.node.payments import NodePayments
from hallmark.services.node.settings import Payments
from hallmark.services.node.x402_store import X402Store
from hallmark.store.raw import RawDatabase
from hallmark.testing import x402_payers
from hallmark.testing.anvil import CHAIN_ID
from hallmark.testing.billing import ASSET, SEALING, offer_entry
from hallmark.testing.enclaves import configuration
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.runtime import OWNER
from hallmark.testing.vaults import FOREVER, VaultOnChain, named_key

GAS, SETTLEMENT, SESSION = (named_key(f"outage {name}") for name in ("gas", "settlement", "session"))
PAYEE = named_key("outage payee").address
PATH, LABEL = "/v1/chat/completions", "tiny"
MOST = Use(10, 20)
PRICE = 50
"""What `MOST` costs, in atomic units."""
LONGEST_S = 60
WITHDRAW_S = 900


class Clock:
    """The time of this process, which a test moves on; the chain's own is moved with it."""

    def __init__(self, patch: pytest.MonkeyPatch, chain: VaultOnChain) -> None:
        self._chain, self.ahead, real, ns = chain, 0, time.time, time.time_ns
        patch.setattr(time, "time", lambda: real() + self.ahead)
        patch.setattr(time, "time_ns", lambda: ns() + self.ahead * 1_000_000_000)

    def now(self) -> int:
        """Unix ms."""
        return time.time_ns() // 1_000_000

    async def on(self, seconds: int) -> None:
        """So much later."""
        self.ahead += seconds
        await self._chain.pass_time(seconds)


class PaidNode:
    """See the module docstring. The chain is asked through `proxy`, served at `url`."""

    def __init__(self, chain: VaultOnChain, proxy: RPCProxy, url: str, folder: Path, clock: Clock) -> None:
        self.chain, self.proxy, self.clock, self._folder, self._url = chain, proxy, clock, folder, url
        self._database = RawDatabase(f"sqlite:///{folder}/node.db")
        self.store = X402Store(self._database)
        self._configuration = configuration(owner=hex0x(OWNER.address), payment=hex0x(PAYEE))
        self._numbers = itertools.count(1)
        self.told: list[control.ToEnclave] = []

    def offer(self, until: int) -> None:
        """The owner's offer, until then (unix ms)."""
        asset = msgspec.structs.replace(ASSET, address=hex0x(self.chain.parameters.asset))
        vault, now = hex0x(self.chain.address), self.clock.now()
        entry = offer_entry(self._configuration, now, asset=asset, vault=vault, until=until)
        (self._folder / "offer").write_bytes(entry)

    async def start(self) -> None:
        """Host and enclave begin, from what is on disk."""
        settings = Payments(
            str(self._folder / "offer"),
            rpc_url=self._url,
            settle_seconds=WITHDRAW_S // 4,
            withdraw_seconds=WITHDRAW_S,
            confirmations=2,
            poll_ms=20,
        )
        self.host = NodePayments(settings, self._folder / "journal", GAS, PAYEE, self.store)
        kept = await self.host.begin(self._hear, lambda: None)
        self.journal, _ = AccountJournal.begin(
            kept.read_bytes() if kept else b"",
            SEALING,
            self.host.take,
            secrets.token_bytes,
            now=self.clock.now(),
        )
        leases = Leases(SETTLEMENT, self.journal, self.host.take, self.clock.now, LONGEST_S)
        x402 = X402Billing(
            SETTLEMENT, self.journal, self.host.take, self.clock.now, self._configuration.network
        )
        self.billing = Billing(self._configuration, self.journal, leases, x402)
        x402.begin()
        self.host.serving(SETTLEMENT.address)
        await self.until(lambda: self._taken(), "every way to pay is taken")

    async def _taken(self) -> bool:
        self.host.look()
        desk = self.host.desk
        return desk is not None and desk.x402 is not None and desk.x402.taken.permit2

    async def close(self) -> None:
        """Both end, as by a kill."""
        await self.host.close()

    def stop(self) -> None:
        """The disk is let go of."""
        self._database.close()

    def _hear(self, message: control.ToEnclave) -> None:
        message = control.decode_to_enclave(control.encode(message))
        self.told.append(message)
        loop = asyncio.get_running_loop()
        for answer in self.billing.on_message(message):
            loop.call_soon(self.host.take, answer)

    async def until(self, happened: Callable[[], Awaitable[bool]], what: str) -> None:
        """Until this is so; blocks come by themselves."""
        try:
            async with asyncio.timeout(180):
                while not await happened():  # noqa: ASYNC110 - a state of the chain's
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"it never was so that {what}") from None

    # ---- requests

    def spend(self, payer: Key, most: int, *, expires_s: int = 300) -> Callable[[bytes], dict[str, str]]:
        """The header of a payment from the vault."""
        ceiling = SpendingCeiling(payer.address, PAYEE, SESSION.address, most, 1, FOREVER)

        def header(body: bytes) -> dict[str, str]:
            salt, expires = secrets.token_bytes(32), self.clock.now() + 1000 * expires_s
            name, nonce = request_name(salt, PATH, body), secrets.token_bytes(32)
            spend = Spend(payer.address, PAYEE, SETTLEMENT.address, name, PRICE, nonce, expires)
            vault = Vault(CHAIN_ID, self.chain.address)
            signature = self.chain.sign(ceiling, payer)
            return {HEADER: sign_spending(ceiling, signature, spend, salt, session=SESSION, vault=vault)}

        return header

    async def offered(self, scheme: str, method: str = "") -> dict[str, Any]:
        """A way to pay, as a 402 says it."""
        try:
            await self.open({})
        except HallmarkError as error:
            said = dict(error.__dict__["headers"])[REQUIRED_HEADER.encode()]
            return x402_payers.chosen({"payment-required": said.decode()}, scheme, method)
        raise AssertionError("nothing was asked for this request")

    async def open(self, headers: dict[str, str], body: bytes = b"") -> Meter:
        """The meter of a request with these headers; a body that no other has unless one is named."""
        body = body or f"request {next(self._numbers)}".encode()
        asked = Asked(
            PATH,
            body,
            headers.get(HEADER, "").encode(),
            headers.get(SIGNATURE_HEADER, "").encode(),
            LABEL,
            MOST,
            self.clock.now(),
            secrets.token_bytes(32),
        )
        return await self.billing.open(asked)

    async def by_vault(self, payer: Key, most: int = FOREVER) -> Meter:
        """A request that is paid from the vault."""
        body = f"request {next(self._numbers)}".encode()
        return await self.open(self.spend(payer, most)(body), body)

    async def refused(self, opening: Awaitable[Meter]) -> str:
        """The reason for which a request is not served; empty: it could be, and is given up."""
        try:
            (await opening).cancel()
        except HallmarkError as error:
            return error.reason
        return ""


async def answer(meter: Meter, use: Use = MOST) -> Bill:
    """A stream that used so much, to its end."""
    meter.used = use
    await meter.draw()
    bill = meter.close(secrets.token_bytes(32), use)
    await meter.kept()
    return bill
