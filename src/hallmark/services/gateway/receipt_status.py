"""Where receipts are asked for: how far one came, its marks, its dossier; and where answers are held.

Stages: received (here, not in the log yet), logged, witnessed (a quorum's checkpoint covers it), anchored
(the chain holds such a checkpoint, as this gateway read it there itself), refused (the log never takes it).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord, ClearingPolicy
from hallmark.core.errors import Conflict, HallmarkError, Held, InvalidInput, NotFound, Unavailable
from hallmark.core.marks import Finding, Mark, Question, derive_marks
from hallmark.core.policy import Decision, Outcome, Shortfall, evaluate
from hallmark.services.chain.check import ConfirmedAnchor
from hallmark.services.following.anchors import Anchors
from hallmark.services.following.dossiers import Dossiers
from hallmark.services.following.follower import Follower
from hallmark.services.following.proofs import FollowedProofs
from hallmark.services.gateway.answer_marks import Marker
from hallmark.services.gateway.outbox import Outbox, Track
from hallmark.verification import wording
from hallmark.verification.dossier import Dossier

COMES: Final = "Ask the gateway that gave the answer; a receipt comes when its answer has ended."
STAGES: Final = ("received", "logged", "witnessed", "anchored")
MAX_WAIT_MS: Final = 60_000
POLL_S: Final = 0.25
REMEMBERED: Final = 10_000


class NotCleared(Held):
    """A response that a policy withholds; says what is missing and what failed."""

    def __init__(self, decision: Decision, receipt: bytes) -> None:
        super().__init__(
            "held",
            f"The answer {decision.sentence()}.",
            wording.weaker(decision.out_of_reach)
            if decision.out_of_reach
            else "Ask again later with the receipt's id, or name a policy that asks for less.",
        )
        self.detail: dict[str, object] = {
            "receipt": hex0x(receipt),
            "policy": decision.policy,
            "missing": [_shortfall(s) for s in decision.missing],
            "failed": [_shortfall(s) for s in decision.failed],
            "marks": {question.value: mark.to_json() for question, mark in decision.marks.items()},
        }


class ReceiptView(msgspec.Struct, frozen=True):
    """A receipt as it stands: stage, why the log refused it, marks, what speaks against it, dossier."""

    stage: str
    reason: str
    marks: dict[str, dict[str, object]]
    status: tuple[dict[str, object], ...]
    dossier: Dossier

    def to_json(self) -> dict[str, object]:
        """The dossier's members and, beside them, `stage`, `reason`, `marks` and `status`."""
        told = {"stage": self.stage, "reason": self.reason, "marks": self.marks, "status": self.status}
        return {**msgspec.to_builtins(self.dossier), **told}


class ReceiptStatus:
    """See the module docstring."""

    def __init__(
        self,
        follower: Follower,
        proofs: FollowedProofs,
        outbox: Outbox,
        *,
        marker: Marker,
        anchors: Anchors,
        clock: Callable[[], int],
        hold_ms: int,
    ) -> None:
        self._follower, self._source, self._outbox = follower, proofs, outbox
        self._marker, self._anchors = marker, anchors
        self._dossiers = Dossiers(follower.replica, proofs)
        self._clock, self._hold_ms = clock, hold_ms
        self._proofs: OrderedDict[bytes, str] = OrderedDict()

    def require_policy(self, name: str) -> None:
        """Raises NotFound `policy_unknown` unless the network has a clearing policy of this name, and
        InvalidInput `policy_only_warns` when it gates nothing.
        """
        if self.policy(name).enforcement != "enforce":
            raise InvalidInput(
                "policy_only_warns",
                f"Policy {name} is tried out and gates nothing yet.",
                "Name a policy that is enforced.",
            )

    def policy(self, name: str) -> ClearingPolicy:
        """The clearing policy in force under this name: the newest in the log, else the trust file's."""
        logged = self._follower.replica.registry.clearing.get(name)
        return logged[-1][2] if logged else self._marker.trust.clearing(name)

    def stage_of(self, wait: str) -> str:
        """The stage to wait for: a stage by name, or what a clearing policy of this name asks of `proved`.

        Raises InvalidInput `bad_query`.
        """
        if not wait or wait in STAGES:
            return wait
        try:
            policy = self.policy(wait)
        except NotFound as error:
            raise InvalidInput(
                "bad_query", f"A receipt can be waited for until {', '.join(STAGES)}."
            ) from error
        states = [need.state for need in policy.requires if need.question == Question.PROVED]
        return states[0] if states and states[0] in STAGES else "logged"

    async def view(self, receipt: bytes, stage: str, timeout_ms: int) -> ReceiptView:
        """A receipt, after waiting at most `timeout_ms` for it to reach `stage` (empty: not at all).

        Raises NotFound `no_such_receipt`.
        """
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        with self._follower.hurried():
            track = await self._outbox.track(receipt)
            if track is None:
                raise NotFound("no_such_receipt", "This gateway knows no receipt with this id.", COMES)
            wanted = STAGES.index(stage) if stage else 0
            if wanted:
                await self._wait(track, deadline)
        proof = await self._proof(track, deadline if wanted > 1 else 0)
        record, anchor = await self._anchored(track, deadline if wanted > 2 else 0)
        marks, against = self._marker.follow(track.kept, proof, anchor)
        return ReceiptView(
            _stage(track, proof, anchored=anchor is not None and self._marker.is_ours(anchor)),
            track.kept.refused,
            {question.value: mark.to_json() for question, mark in marks.items()},
            tuple(_finding(finding) for finding in against),
            await self._dossiers.build(track.kept, proof, record, records=self._follower),
        )

    async def find(self, name: str, timeout_ms: int) -> bytes:
        """The receipt of an answer's or a request's name, after waiting for it at most so long. The name is
        no secret, so whoever knows it gets what the log shows to everybody, and neither salts nor copies.

        Raises NotFound `no_such_receipt`, Conflict `several_receipts`.
        """
        with self._follower.hurried():
            found = await self._outbox.find(name, timeout_ms / 1000)
        if not found:
            raise NotFound(
                "no_such_receipt",
                "This gateway knows no receipt of an answer or a request with this name.",
                f"Names are an answer's `id` or a response's `x-request-id`. {COMES}",
            )
        if len(found) > 1:
            raise Conflict(
                "several_receipts",
                "Several answers have this id: whoever made them gave it twice.",
                "Ask with the response's `x-request-id`, which this gateway draws, or with the receipt's id.",
            )
        return found[0]

    async def hold(self, track: Track, policy: str, found: Sequence[Finding]) -> Decision:
        """Wait until the policy is met. Raises NotCleared when it cannot be, or not in time.

        The marks are those of the log joined with `found`, what examining the answer itself showed: what
        speaks against it there counts for good.
        """
        deadline = asyncio.get_running_loop().time() + self._hold_ms / 1000
        against = [finding for finding in found if finding.state.is_negative]
        clearing = self.policy(policy)
        anchor: ConfirmedAnchor | None = None
        await self._wait(track, deadline if not against else 0)
        proof = await self._proof(track, deadline if not against else 0)
        while True:
            marks = self._joined(track, proof, anchor, against)
            decision = evaluate(clearing, marks, self._clock())
            if decision.outcome is Outcome.CLEAR:
                return decision
            left = deadline - asyncio.get_running_loop().time()
            waits = proof is not None and _waits_for_chain(decision.missing)
            if decision.failed or left <= 0 or not waits:
                raise NotCleared(decision, track.kept.id)
            await asyncio.sleep(min(POLL_S, left))
            _, anchor = await self._anchored(track, 0)

    def _joined(
        self, track: Track, proof: str | None, anchor: ConfirmedAnchor | None, against: Iterable[Finding]
    ) -> dict[Question, Mark]:
        marks, _ = self._marker.follow(track.kept, proof, anchor)
        worse = derive_marks(against)
        return {q: worse[q] if worse[q].state.is_negative else mark for q, mark in marks.items()}

    async def _wait(self, track: Track, deadline: float) -> None:
        try:
            with self._follower.hurried():
                async with asyncio.timeout_at(max(deadline, asyncio.get_running_loop().time())):
                    await track.placed.wait()
        except TimeoutError:
            return

    async def _proof(self, track: Track, deadline: float) -> str | None:
        """The receipt's proof, verified: from what was followed, so nobody is asked for it."""
        kept = track.kept
        if kept.position is None:
            return None
        known = self._proofs.get(kept.id)
        if known is not None:
            return known
        left_ms = int((deadline - asyncio.get_running_loop().time()) * 1000)
        try:
            text = await self._source.proof(kept.position, left_ms)
            self._marker.verify(kept, text)
        except HallmarkError:
            return None
        self._proofs[kept.id] = text
        while len(self._proofs) > REMEMBERED:
            self._proofs.popitem(last=False)
        return text

    async def _anchored(
        self, track: Track, deadline: float
    ) -> tuple[AnchorRecord | None, ConfirmedAnchor | None]:
        position = track.kept.position
        while position is not None:
            try:
                return await self._anchors.covering(position)
            except Unavailable:
                if asyncio.get_running_loop().time() + POLL_S > deadline:
                    break
                await asyncio.sleep(POLL_S)
        return None, None


def _waits_for_chain(missing: Iterable[Shortfall]) -> bool:
    return all(s.required == "anchored" and s.reason == "state_too_low" for s in missing)


def _stage(track: Track, proof: str | None, *, anchored: bool) -> str:
    if track.kept.refused:
        return "refused"
    if track.kept.position is None:
        return "received"
    if proof is None:
        return "logged"
    return "anchored" if anchored else "witnessed"


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "question": finding.question.value,
        "state": finding.state.value,
        "by": finding.by,
        "at": finding.at,
        "evidence": hex0x(finding.evidence),
        "reason": finding.reason,
        "detail": dict(finding.detail),
    }


def _shortfall(shortfall: Shortfall) -> dict[str, str]:
    return {
        "question": shortfall.question.value,
        "required": shortfall.required,
        "state": shortfall.state.value,
        "reason": shortfall.reason,
    }
