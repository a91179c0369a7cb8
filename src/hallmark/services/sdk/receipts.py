"""A receipt in the hands of its owner: it grows with the network's proofs and is verified here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import unhex
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, VerificationFailed
from hallmark.core.marks import Finding, Mark, Question, State
from hallmark.core.members import check_members
from hallmark.core.policy import Outcome
from hallmark.core.receipt import Receipt
from hallmark.services.sdk.answers import AnswerHeld, PaidFor
from hallmark.services.sdk.asking import Headers, require_mode
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import (
    FORMAT,
    Documents,
    Dossier,
    RequestCopy,
    ResponseCopy,
    Salts,
    unbase64,
)
from hallmark.verification.offline import Verified

if TYPE_CHECKING:
    from hallmark.services.sealing.route_compare import Sealed


class News(msgspec.Struct, frozen=True):
    """What the network says about a receipt: its part of the dossier, and what it holds against it."""

    dossier: Dossier
    against: tuple[Finding, ...] = ()


Ask = Callable[[str, int], Awaitable[News]]
"""(what to wait for, at most how many ms) -> the network's news."""

Submit = Callable[[bytes], Awaitable[None]]
"""Hand an entry's bytes to the network."""

ROUND_MS: Final = 5_000
PAUSE_S: Final = 0.05
SEALED_S: Final = 0.25
"""Between two questions to the network about a receipt; through a relay, which counts, fewer are asked."""


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
    payment_authorization: str | None = None
    insecure: tuple[str, ...] = ()


def open_answer(path: str, request: bytes, body: bytes, *, stream: bool = False) -> tuple[bytes, Dossier]:
    """The covered bytes of an answer, and the dossier that its receipt begins.

    `path` and `request` are what was sent, `body` every byte that came back. Raises InvalidInput
    `no_receipt`,
    `bad_answer`.
    """
    content, raw = split_hallmark_stream(body) if stream else split_hallmark(body)
    dossier = dossier_of(raw)
    try:
        copies = RequestCopy(path, request.decode()), ResponseCopy(content.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput("bad_answer", "The answer's receipt cannot be read.") from error
    whole = msgspec.structs.replace(dossier, request=copies[0], response=copies[1])
    return content, Dossier.parse(whole.encode())


def dossier_of(raw: bytes) -> Dossier:
    """The dossier that an answer's `hallmark` object (exact JSON) begins: salts, and no copies yet.

    Raises InvalidInput `bad_answer`.
    """
    try:
        check_members(raw)
    except InvalidInput as error:
        raise InvalidInput("bad_answer", "The answer's receipt cannot be read.", error.message) from error
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
            ticket=found.ticket,
            evidence=found.evidence,
            payment_authorization=found.payment_authorization,
            insecure=found.insecure,
        )
        Receipt.from_json(found.receipt)
        return dossier
    except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_answer", "The answer's receipt cannot be read.") from error


class AsyncReceipt:
    """One receipt. `dossier` is all that is known of it so far, the owner's copies included."""

    def __init__(self, dossier: Dossier, verifier: Verifier | None, ask: Ask, submit: Submit) -> None:
        self.dossier = dossier
        self.against: tuple[Finding, ...] = ()
        """What the network holds against it, as far as it said so: objections, revocations."""
        self.answered = int(time.time() * 1000)
        self.payment: PaidFor | None = None
        """What its money was, by the record that the receipt commits to; None: the answer came with none."""
        self.sealed: Sealed | None = None
        """What the question was sealed to, when it went the sealed way; its route record says the same."""
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
        return self._verifier.verify(self.dossier, int(time.time() * 1000), status=self.against)

    def marks(self) -> dict[Question, Mark]:
        """The seven marks as derived now."""
        return dict(self.verify().marks)

    def arrived(self, nonce: bytes, headers: Headers = ()) -> None:
        """Require that a fresh answer belongs to the request that carried `nonce` and these headers, has the
        mode that they ask for, and that nothing about it fails outright: such an answer is not handed out,
        not even as a draft.

        Raises VerificationFailed `nonce_mismatch`, `mode_not_kept`, `answer_does_not_hold`.
        """
        if self.dossier.opened().client_nonce != nonce:
            raise VerificationFailed("nonce_mismatch", "The receipt is of another request, or of an old one.")
        require_mode(self.dossier.opened(), headers)
        if self._verifier is None:
            return
        for question, mark in self.marks().items():
            if mark.state is State.FAILED:
                raise VerificationFailed(
                    "answer_does_not_hold",
                    f"The answer does not hold: {question.value}, {mark.reason}.",
                    "Keep nothing of it. Somebody on the way changed it, or the node lies.",
                )

    async def refresh(self, wait: str = "", timeout_ms: int = 0) -> None:
        """Fetch what the network has by now; hand it the receipt if it has not heard of it."""
        try:
            news = await self._ask(wait, timeout_ms)
        except NotFound:
            await self._submit(self.entry())
            news = await self._ask(wait, timeout_ms)
        self.dossier = grown(self.dossier, news.dossier)
        self.against = news.against

    async def wait(self, policy: str = "witnessed", timeout: float = 10.0) -> Verified:
        """Wait until the marks meet `policy` of the trust file, checked here.

        Raises AnswerHeld `policy_not_met` with the shortfall after `timeout` seconds, or at once when a
        mark is negative or waiting cannot help.
        """
        deadline = time.monotonic() + timeout
        while True:
            verified = self.verify()
            decision = verified.decide(policy)
            left = int((deadline - time.monotonic()) * 1000)
            if decision.outcome is Outcome.CLEAR:
                return verified
            if decision.failed or decision.is_final or left <= 0:
                raise AnswerHeld(decision, policy)
            before = self.dossier
            await self.refresh(policy, min(left, ROUND_MS))
            if self.dossier == before and not await _pause(deadline, SEALED_S if self.sealed else PAUSE_S):
                raise AnswerHeld(decision, policy)

    def entry(self) -> bytes:
        """The log entry of this receipt, so that its owner can submit it."""
        documents = self.dossier.documents
        attached: tuple[bytes, ...] = (
            documents.route.encode(),
            (documents.candidates or "").encode(),
            unhex(self.dossier.ticket) if self.dossier.ticket else b"",
        )
        if documents.payment is not None:
            signed = self.dossier.payment_authorization
            attached += (documents.payment.encode(), unbase64(signed) if signed else b"")
        receipt = Receipt.from_json(self.dossier.receipt)
        return Entry(receipt, (unhex(self.dossier.signature),), attached).encode()

    def save(self, path: Path | str) -> Path:
        """Write the dossier, the owner's copies of request and answer included."""
        target = Path(path)
        target.write_bytes(self.dossier.encode())
        return target


def read_news(found: Mapping[str, Any]) -> News:
    """The network's answer about a receipt. Only what it says *against* the receipt is taken from `status`.

    Raises InvalidInput `bad_answer`, `bad_dossier`.
    """
    names = set(Dossier.__struct_fields__)
    dossier = Dossier.parse(msgspec.json.encode({k: v for k, v in found.items() if k in names}))
    try:
        told = msgspec.convert(found.get("status", ()), type=tuple[_Against, ...])
        against = tuple(t.finding() for t in told)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidInput("bad_answer", "What the network holds against it cannot be read.") from error
    return News(dossier, tuple(finding for finding in against if finding.state.is_negative))


class _Against(msgspec.Struct, frozen=True):
    question: str
    state: str
    by: str
    at: int
    reason: str
    detail: dict[str, str] = {}

    def finding(self) -> Finding:
        question, state = Question(self.question), State(self.state)
        return Finding(question, state, self.by, self.at, b"", self.reason, self.detail)


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
        payment_authorization=mine.payment_authorization or theirs.payment_authorization,
        entry=theirs.entry or mine.entry,
        registration=theirs.registration or mine.registration,
        version=theirs.version or mine.version,
        reviews=theirs.reviews or mine.reviews,
        anchor=theirs.anchor or mine.anchor,
    )


async def _pause(deadline: float, seconds: float) -> bool:
    """Wait a moment before asking again; False when there is no time left."""
    left = deadline - time.monotonic()
    if left <= 0:
        return False
    await asyncio.sleep(min(seconds, left))
    return True
