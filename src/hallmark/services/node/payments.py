"""The host's part in how a node is paid: it keeps the journal, brings the offer, speaks with the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.sender import Sender
from hallmark.services.chain.vault import VaultContract
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.journal_file import JournalFile
from hallmark.services.node.offer_file import OfferFile
from hallmark.services.node.settings import Payments
from hallmark.services.node.settlement import Settlement
from hallmark.services.node.vault_account import UNREACHABLE, VaultAccounts, VaultChain
from hallmark.store.urls import parse_url
from hallmark.telemetry.logs import get_logger


def journal_path(settings: Payments, database: str) -> Path:
    """Where the journal is: what the settings say, else beside the node's SQLite file.

    Raises InvalidInput `bad_settings`.
    """
    if settings.journal:
        return Path(settings.journal)
    beside = parse_url(database).path
    if not beside:
        raise InvalidInput("bad_settings", "A node whose store is no file names payments.journal.")
    return Path(f"{beside}.journal")


class _Desk:
    """One vault that the offer names, and all that is done there."""

    def __init__(self, settings: Payments, key: Key, chain_id: int, vault: bytes, payee: bytes) -> None:
        self.chain_id, self.vault = chain_id, vault
        self.rpc = RPC(settings.rpc_url)
        self.sender = Sender(
            self.rpc, key, chain_id, confirmations=settings.confirmations, poll_s=settings.poll_ms / 1000
        )
        chain = VaultChain(self.rpc, VaultContract(self.rpc, vault), self.sender, payee)
        self.accounts = VaultAccounts(chain, lease_s=settings.lease_seconds)
        self.settlement = Settlement(
            chain, self.accounts, every_s=settings.settle_seconds, collect_from=settings.collect_from
        )
        self._sending = asyncio.create_task(self.sender.run())
        self._settling = asyncio.create_task(self.settlement.run())

    def begin(self, say: Say, key: bytes) -> None:
        """An enclave with this settlement key serves."""
        self.accounts.begin(say, key)
        self.settlement.begin(say, key)

    def end(self) -> None:
        """The enclave is gone."""
        self.accounts.end()
        self.settlement.end()

    async def close(self, limit_s: float) -> None:
        """Settle a last time, for a bounded time, and let go of the chain."""
        await _stop(self._settling)
        if limit_s:
            await self.settlement.close(limit_s)
        self.end()
        await _stop(self._sending)
        await self.rpc.aclose()


class NodePayments:
    """`begin` before each enclave and `serving` once it serves, `take` its messages, `look` at each beacon;
    `settle` while the last one is still there, `close` at the end. `key` pays for gas, `payee` is paid.
    """

    def __init__(self, settings: Payments, journal: Path, key: Key, payee: bytes) -> None:
        self.journal = JournalFile(journal)
        self.offer = OfferFile(Path(settings.offer))
        self._settings, self._key, self._payee = settings, key, payee
        self._say: Say = lambda _message: None
        self._lost: Callable[[], None] = lambda: None
        self._settlement_key = self._begun = b""
        self.desk: _Desk | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def begin(self, say: Say, lost: Callable[[], None]) -> Path | None:
        """An enclave begins; the journal to hand to it, None when there is none. `lost` is called when its
        journal cannot be kept any more, so that another one must begin.

        Raises Unavailable `store_full`, `store_unavailable`.
        """
        self.ended()
        self._say, self._lost = say, lost
        self.offer.forget()
        return await self.journal.begin(lambda position: say(control.FramesKept(position)))

    def serving(self, settlement_key: bytes) -> None:
        """The enclave serves; without a settlement key (20-byte address) it has no accounts."""
        self._settlement_key = settlement_key
        self.look()
        self._at_desk()

    def ended(self) -> None:
        """The enclave is gone."""
        self._settlement_key = self._begun = b""
        if self.desk is not None:
            self.desk.end()

    def look(self) -> None:
        """Has the offer changed? A new enclave has none yet."""
        self.offer.look(self._say)

    def _at_desk(self) -> None:
        """Be where the offer's money is, with the enclave that serves."""
        offer = self.offer.offer
        if not self._settings.rpc_url or offer is None or offer.vault is None or offer.asset is None:
            return
        chain_id, vault = offer.asset.chain_id, unhex(offer.vault)
        if self.desk is None or (self.desk.chain_id, self.desk.vault) != (chain_id, vault):
            self._leave_desk()
            self.desk = _Desk(self._settings, self._key, chain_id, vault, self._payee)
            self._begun = b""
        if self._settlement_key != self._begun:
            self._begun = self._settlement_key
            self.desk.begin(self._say, self._settlement_key)

    def take(self, message: control.FromEnclave) -> None:
        """One message of the enclave's; what is not about payments is nothing to this."""
        desk = self.desk
        match message:
            case control.Frame(position, frame, durable):
                try:
                    self.journal.put(position, frame, durable=durable)
                except HallmarkError as error:
                    get_logger().error("journal_lost", reason=error.reason, position=position)
                    self._lost()
            case control.TermsTaken():
                self.offer.taken(message)
                self._at_desk()
            case control.AccountWanted() | control.LeaseSigned() if desk is None:
                self._say(control.AccountState(message.id, UNREACHABLE))
            case control.AccountWanted() if desk is not None:
                desk.accounts.wanted(message)
            case control.LeaseSigned() if desk is not None:
                desk.accounts.signed(message)
            case control.SettlementSigned() if desk is not None:
                desk.settlement.signed(message)
            case control.Signed() if desk is not None:
                desk.settlement.receipt(message.entry)

    async def settle(self, limit_s: float) -> None:
        """Nobody is served any more: settle a last time while the enclave is there, for a bounded time."""
        if self.desk is not None:
            await self.desk.close(limit_s)

    async def close(self) -> None:
        """Let go of everything; what the enclave sent is on disk."""
        self._leave_desk()
        await asyncio.gather(*self._closing)
        await self.journal.close()

    @property
    def late_ms(self) -> int:
        """For how long (ms) settlement has failed while something waits for it; -1: it does not."""
        return -1 if self.desk is None else self.desk.settlement.late_ms

    @property
    def problem(self) -> str:
        """Why settlement fails, a reason code."""
        return "" if self.desk is None else self.desk.settlement.problem

    def status(self) -> dict[str, object]:
        """As /healthz shows it."""
        desk = self.desk
        told: dict[str, object] = {
            "offer": self.offer.status(),
            "journal": {"position": self.journal.position, "kept": self.journal.kept},
            "settlement_key": hex0x(self._settlement_key) if self._settlement_key else None,
            "payee": hex0x(self._payee),
            "settlement": None,
        }
        if desk is not None:
            sending = {"waiting": desk.sender.waiting, "problem": desk.sender.problem}
            told |= {
                "chain_id": desk.chain_id,
                "vault": hex0x(desk.vault),
                "sender": sending,
                "settlement": desk.settlement.status(),
            }
        return told

    def _leave_desk(self) -> None:
        """Another vault, or the end: what was on its way to this one is not followed any more."""
        if self.desk is not None:
            task = asyncio.get_running_loop().create_task(self.desk.close(0))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self.desk = None


def settlement_key_of(bundle: bytes) -> bytes:
    """The settlement key (20-byte address) that a key bundle's exact bytes name; empty for none."""
    named = KeyBundle.decode(bundle).settlement
    return b"" if isinstance(named, msgspec.UnsetType) else unhex(named)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
