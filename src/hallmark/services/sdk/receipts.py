"""A receipt in the hands of its owner: it grows with the network's proofs and is verified here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import unhex
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.marks import Mark, Question
from hallmark.core.policy import Outcome
from hallmark.core.receipt import Receipt
from hallmark.services.sdk.answers import AnswerHeld
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import (
    FORMAT,
    Documents,
    Dossier,
    RequestCopy,
    ResponseCopy,
    Salts,
)
from hallmark.verification.offline import Verified

Ask = Callable[[str, int], Awaitable[Dossier]]
"""(what to wait for, at most how many ms) -> the network's part of the dossier."""

Submit = Callable[[bytes], Awaitable[None]]
"""Hand an entry's bytes to the network."""

ROUND_MS: Final = 5_000


class _Salted(msgspec.Struct, frozen=True):
    request: str
    response: str


class HallmarkObject(msgspec.Struct, frozen=True):
    """The `hallmark` object of an answer, as far as a client needs it; unknown members are left alone."""

    id: str
    network: str
    chain_id: int
    receipt: dict[str, str | int]
    signature: str
    salts: _Salted
    documents: dict[str, Any]
    ticket: str | None = None
    evidence: str | None = None
    insecure: tuple[str, ...] = ()


def open_answer(path: str, request: bytes, body: bytes, *, stream: bool = False) -> tuple[bytes, Dossier]:
    """The covered bytes of an answer, and the dossier that its receipt begins.

    `path` and `request` are what was sent, `body` every byte that came back. Raises InvalidInput
    `no_receipt`,
    `bad_answer`.
    """
    content, raw = split_hallmark_stream(body) if stream else split_hallmark(body)
    try:
        found = msgspec.json.decode(raw, type=HallmarkObject)
        names = set(Documents.__struct_fields__)
        documents = msgspec.convert({k: v for k, v in found.documents.items() if k in names}, type=Documents)
        dossier = Dossier(
            format=FORMAT,
            network=found.network,
            chain_id=found.chain_id,
            receipt=found.receipt,
            signature=found.signature,
            id=found.id,
            documents=documents,
            salts=Salts(found.salts.request, found.salts.response),
            request=RequestCopy(path, request.decode()),
            response=ResponseCopy(content.decode()),
            ticket=found.ticket,
            evidence=found.evidence,
            insecure=found.insecure,
        )
        return content, Dossier.parse(dossier.encode())
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_answer", "The answer's receipt cannot be read.") from error


class AsyncReceipt:
    """One receipt. `dossier` is all that is known of it so far, the owner's copies included."""

    def __init__(self, dossier: Dossier, verifier: Verifier | None, ask: Ask, submit: Submit) -> None:
        self.dossier = dossier
        self.answered = int(time.time() * 1000)
        self._verifier = verifier
        self._ask = ask
        self._submit = submit

    @property
    def id(self) -> str:
        """The receipt's id: 0x-hex of its digest."""
        return self.dossier.id

    def verify(self) -> Verified:
        """The marks as this program derives them now, from what is at hand.

        Raises InvalidInput `no_trust_file` for a client without a trust file.
        """
        if self._verifier is None:
            raise InvalidInput(
                "no_trust_file",
                "This client has no trust file, so it cannot derive marks.",
                "Give the client `trust=`, a path to the network's trust.toml.",
            )
        return self._verifier.verify(self.dossier, int(time.time() * 1000))

    def marks(self) -> dict[Question, Mark]:
        """The seven marks as derived now."""
        return dict(self.verify().marks)

    async def refresh(self, wait: str = "", timeout_ms: int = 0) -> None:
        """Fetch what the network has by now; hand it the receipt if it has not heard of it."""
        try:
            newer = await self._ask(wait, timeout_ms)
        except NotFound:
            await self._submit(self.entry())
            newer = await self._ask(wait, timeout_ms)
        self.dossier = grown(self.dossier, newer)

    async def wait(self, policy: str = "witnessed", timeout: float = 10.0) -> Verified:
        """Wait until the marks meet `policy` of the trust file, checked here.

        Raises AnswerHeld `policy_not_met` with the shortfall after `timeout` seconds, or at once when a
        mark is negative.
        """
        deadline = time.monotonic() + timeout
        while True:
            verified = self.verify()
            decision = verified.decide(policy)
            left = int((deadline - time.monotonic()) * 1000)
            if decision.outcome is Outcome.CLEAR:
                return verified
            if decision.failed or left <= 0:
                raise AnswerHeld(decision, policy)
            before = self.dossier
            await self.refresh(policy, min(left, ROUND_MS))
            if self.dossier == before and not await _pause(deadline):
                raise AnswerHeld(decision, policy)

    def entry(self) -> bytes:
        """The log entry of this receipt, so that its owner can submit it."""
        documents = self.dossier.documents
        return Entry(
            Receipt.from_json(self.dossier.receipt),
            (unhex(self.dossier.signature),),
            (
                documents.route.encode(),
                (documents.candidates or "").encode(),
                unhex(self.dossier.ticket) if self.dossier.ticket else b"",
            ),
        ).encode()

    def save(self, path: Path | str) -> Path:
        """Write the dossier, the owner's copies of request and answer included."""
        target = Path(path)
        target.write_bytes(self.dossier.encode())
        return target


def grown(mine: Dossier, theirs: Dossier) -> Dossier:
    """My dossier with the network's additions: places, proofs, anchor, documents that I lack.

    Nothing that I had is replaced, except a proof by a newer one. Raises InvalidInput `other_receipt`.
    """
    if mine.id != theirs.id or mine.receipt != theirs.receipt:
        raise InvalidInput("other_receipt", "The network answered with another receipt.")
    documents = msgspec.structs.asdict(theirs.documents)
    documents |= {k: v for k, v in msgspec.structs.asdict(mine.documents).items() if v not in (None, ())}
    return msgspec.structs.replace(
        mine,
        documents=Documents(**documents),
        evidence=mine.evidence or theirs.evidence,
        ticket=mine.ticket or theirs.ticket,
        entry=theirs.entry or mine.entry,
        registration=theirs.registration or mine.registration,
        version=theirs.version or mine.version,
        anchor=theirs.anchor or mine.anchor,
    )


async def _pause(deadline: float) -> bool:
    """Wait a moment before asking again; False when there is no time left."""
    left = deadline - time.monotonic()
    if left <= 0:
        return False
    await asyncio.sleep(min(0.05, left))
    return True
