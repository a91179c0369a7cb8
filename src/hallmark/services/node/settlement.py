"""Settlement: once an epoch the enclave signs what every account was charged, and it goes to the vault.

1. The chain is read: what it holds of this enclave's key, payer by payer, at one block.
2. The enclave signs for what is charged beyond that. Rows are cumulative: one that the chain has already
   charges nothing, one that was lost is in the next settlement.
3. The settlement is sent and followed until it is deep enough. One that was overtaken is signed again.
4. What the payee has earned is collected, once it is enough.

Nothing is kept of a round but what `/healthz` shows: a kill at any point, a chain that went back, a
settlement that got lost or came twice all come down to the next round, which begins with what the chain
holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.hashing import keccak256
from hallmark.core.money import Payment
from hallmark.core.vault import Row, unpack_rows
from hallmark.core.vault import Settlement as Statement
from hallmark.services.chain.rpc import Reverted
from hallmark.services.chain.sender import Mined
from hallmark.services.chain.vault import OpenLease, collect_call, settle_call, vault_reason
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.vault_account import UNREACHABLE, VaultAccounts, VaultChain
from hallmark.telemetry.logs import get_logger

SIGNED_S: Final = 10.0
TRIES: Final = 3
CLOSING_S: Final = 0.25
SOON_S: Final = 60
"""A first round, and one after a failure, comes after so long at most: what a crash left waits no epoch."""
PAYMENT_AT: Final = 3
"""A receipt's payment record among its entry's attachments (route, candidates, ticket, payment, what was
signed for it).
"""


class Epoch(msgspec.Struct, frozen=True):
    """A settlement that was confirmed: unix ms, its transaction, accounts, atomic units that it charged."""

    at: int
    transaction: bytes
    accounts: int
    charged: int


class Reading(msgspec.Struct, frozen=True):
    """What the chain holds of a key: its leases by payer, the block's time, how long after its end a lease
    can be settled.
    """

    leases: Mapping[bytes, OpenLease]
    time: int
    window: int

    def gain(self, rows: tuple[Row, ...]) -> tuple[int, int]:
        """How much these rows would newly charge, and how much more they ask for that comes too late."""
        gained = late = 0
        for row in rows:
            lease = self.leases.get(row.payer, OpenLease(0, 0, 0))
            more = max(0, row.amount - lease.spent)
            if lease.until and self.time <= lease.until + self.window:
                gained += more
            else:
                late += more
        return gained, late


class Settlement:
    """See the module docstring. `run` must be running; `begin` for each enclave. `every_s` is an epoch."""

    def __init__(
        self, chain: VaultChain, accounts: VaultAccounts, *, every_s: int, collect_from: int
    ) -> None:
        self._chain, self._accounts = chain, accounts
        self._every_s, self._collect_from = every_s, collect_from
        self._say: Say | None = None
        self._key = b""
        self._asked: dict[int, asyncio.Future[control.SettlementSigned]] = {}
        self._number = 0
        self._turn = asyncio.Lock()
        self._began = asyncio.Event()
        self._charged_since = 0
        self._signed_for = 0
        self.next_at = 0
        """When the next round is due (unix ms); 0 while there is no enclave."""
        self.failing_since = 0
        """Since when no round came to its end (unix ms); 0: the last one did."""
        self.problem = ""
        """Why the last round did not, a reason code."""
        self.last: Epoch | None = None
        self.too_late = 0
        """Atomic units that the enclave charged and can charge on the chain no more."""

    @property
    def late_ms(self) -> int:
        """For how long (ms) what is unsettled could not be settled; -1: it is not late."""
        return _now() - self.failing_since if self.failing_since and self.unsettled else -1

    @property
    def unsettled(self) -> int:
        """Atomic units that were charged, as far as this process knows, and that no confirmed settlement has:
        signed for, or in receipts since.
        """
        return self._signed_for + self._charged_since

    def begin(self, say: Say, key: bytes) -> None:
        """An enclave with this settlement key (20-byte address) serves."""
        self._say, self._key = say, key
        self.next_at = _now() + 1000 * min(SOON_S, self._every_s)
        self._began.set()

    def end(self) -> None:
        """The enclave is gone."""
        self._say, self.next_at = None, 0
        self._began.clear()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Unavailable("enclave_gone", "The enclave has ended."))

    def signed(self, message: control.SettlementSigned) -> None:
        """The enclave's answer."""
        asked = self._asked.get(message.id)
        if asked is not None and not asked.done():
            asked.set_result(message)

    def receipt(self, entry: bytes) -> None:
        """A receipt was signed: what it charged waits to be settled."""
        self._charged_since += charged_of(entry)

    async def run(self) -> None:
        """A round each epoch while there is an enclave, until cancelled."""
        while True:
            await self._began.wait()
            await asyncio.sleep(max(0, self.next_at - _now()) / 1000)
            if self._say is None or self.next_at > _now():
                continue
            good = await self.round()
            pause = self._every_s if good else min(SOON_S, self._every_s)
            self.next_at = _now() + 1000 * pause if self._say is not None else 0

    async def close(self, limit_s: float) -> None:
        """A last round that gives back what is left of the leases, for a bounded time. It ends when it is in
        a block: nobody is left to follow it further, and a successor's first round sees what became of it. A
        chain that stops as well is not waited for.
        """
        last = asyncio.create_task(self.round(closing=True))
        away = 0
        for _ in range(max(1, round(limit_s / CLOSING_S))):
            done, _ = await asyncio.wait((last,), timeout=min(CLOSING_S, limit_s))
            away = away + 1 if self._chain.sender.problem == UNREACHABLE else 0
            if done or away >= TRIES:
                break
        if not last.done():
            last.cancel()
            get_logger().warning("settlement_left", pending=self._chain.sender.waiting)
        await asyncio.gather(last, return_exceptions=True)

    async def round(self, *, closing: bool = False) -> bool:
        """Settle and collect; False when something stood in the way, which is said in `problem`."""
        async with self._turn:
            try:
                if self._say is not None and self._key:
                    await self._settle(closing=closing)
                    await self._collect(closing=closing)
            except HallmarkError as error:
                self._failed(error.reason)
                return False
            self.problem, self.failing_since = "", 0
            return True

    async def _settle(self, *, closing: bool) -> None:
        for _ in range(TRIES):
            reading = await self._read()
            signed = await self._ask(reading, closing=closing)
            rows = unpack_rows(signed.rows) if signed.rows else ()
            self._accounts.known.update(row.payer for row in rows)
            # After a start the enclave names payers of whom this process has not heard, and if its journal
            # was lost with less than the chain has: then it signs again, now that it can be told.
            if {row.payer for row in rows} - reading.leases.keys():
                reading = await self._read()
                if any(row.amount < reading.leases[row.payer].spent for row in rows):
                    continue
            gained, self.too_late = reading.gain(rows)
            self._signed_for, self._charged_since = gained, 0
            gives_back = closing and any(reading.leases[row.payer].until for row in rows)
            if not gained and not gives_back:
                return
            mined = await self._send(signed, whole=not closing)
            if mined is not None and mined.ok:
                self._signed_for = 0
                self.last = Epoch(_now(), mined.transaction, len(rows), gained)
                get_logger().info(
                    "settled", count=len(rows), block=mined.block, transaction=hex0x(mined.transaction)
                )
                return
        raise Unavailable("settlement_refused", "The vault refused the settlement.")

    async def _read(self) -> Reading:
        """What the chain holds of this key at one block. Raises Unavailable also where it can't settle."""
        chain = self._chain
        delays = await chain.delays()
        head = await chain.rpc.head()
        vault, payers = chain.vault.at(head), sorted(self._accounts.known)
        known, at = await asyncio.gather(vault.enclave(self._key), chain.rpc.block_time(head))
        if known.revoked:
            raise Unavailable("settlement_key_revoked", "The vault takes nothing of this enclave's key.")
        if not any(known.payee):
            raise Unavailable("settlement_key_unregistered", "The vault does not know this enclave's key.")
        leases = await asyncio.gather(*(vault.lease(self._key, payer) for payer in payers))
        found = dict(zip(payers, leases, strict=True))
        return Reading(found, _now() // 1000 if at is None else at, delays.settlement)

    async def _ask(self, reading: Reading, *, closing: bool) -> control.SettlementSigned:
        """Have the enclave sign. Raises Unavailable `enclave_silent`."""
        assert self._say is not None
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            settled = {payer: control.Units(lease.spent) for payer, lease in reading.leases.items()}
            self._say(control.Settle(number, settled, closing))
            async with asyncio.timeout(SIGNED_S):
                signed: control.SettlementSigned = await answer
                return signed
        except TimeoutError:
            raise Unavailable("enclave_silent", "The enclave does not sign the settlement.") from None
        finally:
            del self._asked[number]

    async def _send(self, signed: control.SettlementSigned, *, whole: bool) -> Mined | None:
        """See a settlement into the chain, as deep as was asked; None when it must be signed again."""
        statement = Statement(
            self._key, signed.sequence, keccak256(signed.rows), signed.receipts_root, int(signed.closing)
        )
        call = settle_call(statement, signed.rows, signed.signature)
        underway = self._chain.sender.submit(self._chain.vault.address, call)
        try:
            return await asyncio.shield(underway.confirmed if whole else underway.included)
        except Reverted as revert:
            get_logger().warning("settlement_refused", error=vault_reason(revert))
        except HallmarkError as error:
            get_logger().warning("settlement_refused", error=error.reason)
        return None

    async def _collect(self, *, closing: bool) -> None:
        """Have the payee paid what it earned, if it is enough; another node of it may be faster."""
        chain = self._chain
        if closing or await chain.vault.earned(chain.payee) < max(1, self._collect_from):
            return
        underway = chain.sender.submit(chain.vault.address, collect_call(chain.payee))
        try:
            mined = await asyncio.shield(underway.confirmed)
            get_logger().info("collected", block=mined.block, transaction=hex0x(mined.transaction))
        except HallmarkError as error:
            why = vault_reason(error) if isinstance(error, Reverted) else error.reason
            get_logger().warning("not_collected", error=why)

    def status(self) -> dict[str, object]:
        """As /healthz shows it. Amounts are atomic units."""
        last = self.last
        return {
            "next": self.next_at,
            "unsettled": str(self.unsettled),
            "too_late": str(self.too_late),
            "problem": self.problem,
            "last": None
            if last is None
            else {
                "at": last.at,
                "transaction": hex0x(last.transaction),
                "accounts": last.accounts,
                "charged": str(last.charged),
            },
        }

    def _failed(self, reason: str) -> None:
        if reason != self.problem:
            get_logger().warning("settlement_problem", reason=reason)
        self.problem = reason
        self.failing_since = self.failing_since or _now()


def charged_of(entry: bytes) -> int:
    """What a receipt's log entry says was drawn on an account of the vault; 0 for any other."""
    try:
        attachments = decode(entry).attachments
        if len(attachments) <= PAYMENT_AT or not attachments[PAYMENT_AT]:
            return 0
        record = Payment.decode(attachments[PAYMENT_AT])
    except HallmarkError:
        return 0
    return int(record.charged) if record.rail == "vault" else 0


def _now() -> int:
    return time.time_ns() // 1_000_000
