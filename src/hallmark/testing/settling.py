"""An enclave's money side that signs whatever a test charged, in front of a host's real one."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.hashing import keccak256, sha256
from hallmark.core.money import Asset, FreeUse, Offer
from hallmark.core.statements import PriceOffer
from hallmark.core.vault import Lease, Row, Settlement, SpendingCeiling, pack_rows, vault_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.services.enclave import control
from hallmark.services.node.payments import NodePayments
from hallmark.services.node.settings import Payments
from hallmark.testing.anvil import CHAIN_ID

OWNER = b"\x01" * 20


def offer_entry(payee: bytes, asset: bytes, vault: bytes) -> bytes:
    """A log entry of an offer in this asset by this vault; nobody signed it."""
    document = Offer(
        network=hex0x(bytes(32)),
        owner=hex0x(OWNER),
        payee=hex0x(payee),
        asset=Asset(CHAIN_ID, hex0x(asset), 6, "DEV", "Hallmark Development Money", "1", development=True),
        vault=hex0x(vault),
        prices=(),
        free=FreeUse(),
        since=1,
        until=2**60,
    )
    statement = PriceOffer(bytes(32), OWNER, document.digest(), 1)
    return Entry(statement, (bytes(65),), (document.encode(),)).encode()


class SigningEnclave:
    """Plays the enclave to `payments`. `charged` is what each payer was charged in all, cumulative, `payers`
    who was asked about under which number; `quiet` makes it answer no question.
    """

    def __init__(self, payments: NodePayments, key: Key, vault: bytes) -> None:
        self.payments, self.key, self.vault = payments, key, vault
        self.charged: dict[bytes, int] = {}
        self.settles: list[control.Settle] = []
        self.signed: list[control.SettlementSigned] = []
        self.quiet = False
        self._sequence = itertools.count(1)
        self._states: dict[int, asyncio.Future[control.AccountState]] = {}
        self.payers: dict[int, bytes] = {}

    def hear(self, message: control.ToEnclave) -> None:
        """One message of the host's, as the control channel carries it."""
        message = control.decode_to_enclave(control.encode(message))
        match message:
            case control.Terms():
                self.payments.take(control.TermsTaken(sha256(message.entry)))
            case control.AccountState():
                self._states.pop(message.id).set_result(message)
            case control.Settle():
                self.settles.append(message)
                if not self.quiet:
                    asyncio.get_running_loop().call_soon(self.payments.take, self._settled(message))

    async def ask(self, ceiling: SpendingCeiling, signature: bytes) -> control.AccountState:
        """What the chain holds for a payer."""
        number = len(self.payers) + 1
        self.payers[number] = ceiling.payer
        return await self._asked(number, control.AccountWanted(number, ceiling.pack(), signature))

    async def lease(self, state: control.AccountState, amount: int) -> control.AccountState:
        """Sign a lease of `amount` in all on the account that was asked about, and see what comes of it."""
        return await self._asked(state.id, self.lease_of(state, amount))

    def lease_of(self, state: control.AccountState, amount: int) -> control.LeaseSigned:
        """A signed lease."""
        rows = pack_rows([Row(self.payers[state.id], amount)])
        until, sequence = _now() + state.term, self.next()
        statement = Lease(self.key.address, sequence, until, keccak256(rows))
        return control.LeaseSigned(state.id, sequence, until, rows, self._sign(statement))

    def next(self) -> int:
        """The next sequence number."""
        return next(self._sequence)

    async def _asked(self, number: int, message: control.FromEnclave) -> control.AccountState:
        answer: asyncio.Future[control.AccountState] = asyncio.get_running_loop().create_future()
        self._states[number] = answer
        self.payments.take(message)
        async with asyncio.timeout(240):
            return await answer

    def _settled(self, asked: control.Settle) -> control.SettlementSigned:
        due = {
            payer: amount
            for payer, amount in self.charged.items()
            if amount > asked.settled.get(payer, 0) or asked.closing
        }
        if not due:
            return control.SettlementSigned(asked.id, 0, b"", bytes(32), asked.closing, b"")
        rows, sequence, root = (
            pack_rows([Row(*item) for item in sorted(due.items())]),
            self.next(),
            sha256(b"root"),
        )
        statement = Settlement(self.key.address, sequence, keccak256(rows), root, int(asked.closing))
        answer = control.SettlementSigned(
            asked.id, sequence, rows, root, asked.closing, self._sign(statement)
        )
        self.signed.append(answer)
        return answer

    def _sign(self, statement: Lease | Settlement) -> bytes:
        return self.key.sign(vault_digest(statement, CHAIN_ID, self.vault))


def host_payments(folder: Path, rpc_url: str, gas: Key, payee: bytes, **changes: Any) -> NodePayments:
    """A host's money side with its files in `folder`; its offer is `folder`/offer."""
    values = {"rpc_url": rpc_url, "settle_seconds": 3_600, "poll_ms": 20, **changes}
    settings = Payments(str(folder / "offer"), **values)
    return NodePayments(settings, folder / "journal", gas, payee)


def _now() -> int:
    return time.time_ns() // 1_000_000_000
