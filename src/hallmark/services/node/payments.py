"""The host's part in how a node is paid: it keeps the journal, brings the offer, speaks with the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration, KeyBundle
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.core.hashing import sha256
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.x402.actions import Sweep
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.sender import Sender
from hallmark.services.chain.vault import VaultContract
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.journal_file import JournalFile
from hallmark.services.node.offer_file import NOTHING, OfferFile
from hallmark.services.node.rail_earnings import HostEarnings
from hallmark.services.node.settings import Payments
from hallmark.services.node.settlement import Settlement
from hallmark.services.node.token_desk import TokenDesk
from hallmark.services.node.vault_account import UNREACHABLE, VaultAccounts, VaultChain
from hallmark.services.node.x402_chain import X402Chain
from hallmark.services.node.x402_desk import X402Desk
from hallmark.services.node.x402_store import X402Store
from hallmark.store.urls import parse_url
from hallmark.telemetry.logs import get_logger

NO_ISSUER: Final = "no_issuer"


def journal_path(settings: Payments, database: str, keyed: bytes) -> Path:
    """Where the journal is: what the settings say, else beside the node's SQLite file; and in its name what
    its key depends on (`journal_name`), because an enclave with another key cannot read it.

    Raises InvalidInput `bad_settings`.
    """
    base = settings.journal
    if not base:
        beside = parse_url(database).path
        if not beside:
            raise InvalidInput("bad_settings", "A node whose store is no file names payments.journal.")
        base = f"{beside}.journal"
    return Path(f"{base}-{keyed.hex()}")


def journal_name(measurement: bytes, configuration: EnclaveConfiguration) -> bytes:
    """What settlement and journal keys of an enclave depend on, beside the machine: 8 bytes for a name."""
    mine = unhex(configuration.network) + unhex(configuration.owner) + configuration.endpoint.encode()
    return sha256(measurement, mine)[:8]


class Place(msgspec.Struct, frozen=True):
    """Where an offer's money is: chain, vault, token, and who is paid (20-byte addresses)."""

    chain_id: int
    vault: bytes
    token: bytes
    payee: bytes


class _Desk:
    """One vault and token that the offer names, and all that is done there."""

    def __init__(
        self, settings: Payments, key: Key, place: Place, x402: X402Store | None, changed: Callable[[], None]
    ) -> None:
        self.place = place
        self.rpc = RPC(settings.rpc_url)
        self.sender = Sender(
            self.rpc,
            key,
            place.chain_id,
            confirmations=settings.confirmations,
            poll_s=settings.poll_ms / 1000,
        )
        chain = VaultChain(self.rpc, VaultContract(self.rpc, place.vault), self.sender, place.payee)
        self.accounts = VaultAccounts(chain, lease_s=settings.lease_seconds)
        self.settlement = Settlement(
            chain, self.accounts, every_s=settings.settle_seconds, collect_from=settings.collect_from
        )
        self._sending = asyncio.create_task(self.sender.run())
        self._settling = asyncio.create_task(self.settlement.run())
        self.x402: X402Desk | None = None
        if x402 is not None:
            deep, often = settings.confirmations, settings.poll_ms / 1000
            there = X402Chain(self.rpc, self.sender, place.chain_id, deep, often)
            sweep = Sweep(place.payee, place.token)
            self.x402 = X402Desk(settings, there, x402, sender=key.address, sweep=sweep, changed=changed)
            self.x402.start()

    def begin(self, say: Say, key: bytes) -> None:
        """An enclave with this settlement key serves."""
        self.accounts.begin(say, key)
        self.settlement.begin(say, key)
        if self.x402 is not None:
            self.x402.begin(say)

    def end(self) -> None:
        """The enclave is gone."""
        self.accounts.end()
        self.settlement.end()
        if self.x402 is not None:
            self.x402.end()

    async def close(self, limit_s: float) -> None:
        """Settle a last time, for a bounded time, and let go of the chain."""
        await _stop(self._settling)
        if limit_s:
            await self.settlement.close(limit_s)
        self.end()
        if self.x402 is not None:
            await self.x402.close(limit_s)
        await _stop(self._sending)
        await self.rpc.aclose()


class NodePayments:
    """`begin` before each enclave and `serving` once it serves, `take` its messages, `look` at each beacon;
    `settle` while the last one is still there, `close` at the end. `key` pays for gas, `payee` is paid.
    Without the store `x402` no x402 payment is taken, without `tokens` no issuer's token.
    """

    def __init__(
        self,
        settings: Payments,
        journal: Path,
        key: Key,
        payee: bytes,
        x402: X402Store | None = None,
        *,
        tokens: TokenDesk | None = None,
    ) -> None:
        self.journal = JournalFile(journal)
        self.offer = OfferFile(Path(settings.offer))
        self._settings, self._key, self._payee, self._x402 = settings, key, payee, x402
        self._tokens, self._tokens_started = tokens, False
        self._early: list[control.PaymentDue] = []
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
        self._early.clear()
        self._say, self._lost = say, lost
        self.offer.forget()
        return await self.journal.begin(lambda position: say(control.FramesKept(position)))

    def serving(self, settlement_key: bytes) -> None:
        """The enclave serves; without a settlement key (20-byte address) it has no accounts."""
        self._settlement_key = settlement_key
        self.look()
        self._at_desk()
        if self._tokens is not None and settlement_key:
            if not self._tokens_started:
                self._tokens.start()
                self._tokens_started = True
            self._tokens.begin(self._say)

    async def prepared(self) -> None:
        """Until the issuer was asked for its key sets on behalf of the enclave that serves."""
        if self._tokens is not None and self._tokens_started:
            await self._tokens.asked.wait()

    def ended(self) -> None:
        """The enclave is gone."""
        self._settlement_key = self._begun = b""
        if self.desk is not None:
            self.desk.end()
        if self._tokens is not None:
            self._tokens.end()

    def look(self) -> None:
        """Has the offer changed? A new enclave has none yet."""
        desk = self.desk
        taken = NOTHING if desk is None or desk.x402 is None else desk.x402.taken
        self.offer.look(self._say, taken)

    def _at_desk(self) -> None:
        """Be where the offer's money is, with the enclave that serves."""
        offer = self.offer.offer
        if not self._settings.rpc_url or offer is None or offer.vault is None or offer.asset is None:
            return
        asset = offer.asset
        place = Place(asset.chain_id, unhex(offer.vault), unhex(asset.address), self._payee)
        if self.desk is None or self.desk.place != place:
            self._leave_desk()
            self.desk = _Desk(self._settings, self._key, place, self._x402, self.look)
            self._begun = b""
        if self._settlement_key != self._begun:
            self._begun = self._settlement_key
            self.desk.begin(self._say, self._settlement_key)
        if self.desk.x402 is not None:
            for due in self._early:
                self.desk.x402.take(due)
            self._early.clear()

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
            case control.PaymentWanted() | control.PaymentDue() | control.ClaimsSigned():
                self._take_x402(message)
            case control.HoldWanted() | control.TokensDue():
                self._take_tokens(message)

    def _take_tokens(self, message: control.HoldWanted | control.TokensDue) -> None:
        if self._tokens is not None:
            self._tokens.take(message)
        else:
            self._say(control.IssuerAnswer(message.id, NO_ISSUER))

    def _take_x402(self, message: control.PaymentWanted | control.PaymentDue | control.ClaimsSigned) -> None:
        desk = None if self.desk is None else self.desk.x402
        if desk is not None:
            desk.take(message)
        elif isinstance(message, control.PaymentDue):
            self._early.append(
                message
            )  # of before its start, which an enclave tells before it knows an offer
        elif isinstance(message, control.PaymentWanted):
            self._say(control.PaymentState(message.id, UNREACHABLE))

    async def settle(self, limit_s: float) -> None:
        """Nobody is served any more: settle a last time while the enclave is there, for a bounded time."""
        if self.desk is not None:
            await self.desk.close(limit_s)
        if self._tokens is not None and self._tokens_started:
            await self._tokens.close(limit_s)
            self._tokens_started = False

    async def close(self) -> None:
        """Let go of everything; what the enclave sent is on disk."""
        self._leave_desk()
        if self._tokens is not None and self._tokens_started:
            await self._tokens.close(0)
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
            "tokens": None if self._tokens is None else self._tokens.status(),
        }
        if desk is not None:
            sending = {"waiting": desk.sender.waiting, "problem": desk.sender.problem}
            told |= {
                "chain_id": desk.place.chain_id,
                "vault": hex0x(desk.place.vault),
                "sender": sending,
                "settlement": desk.settlement.status(),
                "x402": desk.x402.status() if desk.x402 is not None else None,
            }
        return told

    async def earned(self) -> HostEarnings:
        """What came by other rails than the vault, in the offer's token. Raises NotFound `not_paid`, and what
        the store raises.
        """
        if self.desk is None or self._x402 is None:
            raise NotFound("not_paid", "This node's offer names no chain, or is not in force yet.")
        told, tokens = await self._x402.earned(self.desk.place.token), self._tokens
        if tokens is None:
            return told
        return msgspec.structs.replace(told, issuer=tokens.issuer, tokens_waiting=tokens.waiting)

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
