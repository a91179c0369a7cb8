"""Answers. A draft and a cleared answer are different types, so that a type checker keeps them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from hallmark.core.amounts import show_amount
from hallmark.core.errors import Held
from hallmark.core.money import Asset, Payment
from hallmark.core.policy import Decision, Outcome
from hallmark.services.sdk.seen_models import ModelMove
from hallmark.verification import wording

R = TypeVar("R")
"""The receipt's handle: `AsyncReceipt` or `PlainReceipt`."""

_SEAL: Final = object()


class AnswerHeld(Held):
    """The named policy is not met in time. `decision` says what is missing and what failed."""

    def __init__(self, decision: Decision | None, policy: str, detail: str = "") -> None:
        parts = []
        if decision is not None:
            parts += [f"{s.question.value} {s.state.value} ({s.reason})" for s in decision.failed]
            parts += [
                f"{s.question.value} {s.state.value}, needs {s.required} ({s.reason})"
                for s in decision.missing
            ]
        why = "; ".join(parts) or detail or "no proof is known yet"
        super().__init__(
            "policy_not_met",
            f"The answer is held: it does not meet {policy}. {why}.",
            wording.weaker(decision.out_of_reach)
            if decision is not None and decision.out_of_reach
            else "Wait longer, or look at the receipt with `hallmark receipt`.",
        )
        self.decision = decision
        self.policy = policy


class PaidFor(msgspec.Struct, frozen=True):
    """What an answer's money was, by the payment record that its receipt commits to: the rail (`free`: nobody
    paid), who paid whom (0x-hex), under which offer (digest), and atomic units of `asset`.
    """

    rail: str
    payer: str | None
    payee: str
    offer: str
    reserved: int
    charged: int
    asset: Asset | None

    @classmethod
    def of(cls, record: Payment) -> PaidFor:
        """From the record."""
        r = record
        return cls(r.rail, r.payer, r.payee, r.offer, int(r.reserved), int(r.charged), r.asset)

    @property
    def words(self) -> str:
        """What was charged, as people read it; that it is development money stands with it."""
        if self.rail == "free" or self.asset is None:
            return "free by the node's offer"
        note = ", development money" if self.asset.development else ""
        charged, reserved = show_amount(self.charged, self.asset), show_amount(self.reserved, self.asset)
        return f"{charged} (of {reserved} reserved{note})"


class Image(msgspec.Struct, frozen=True):
    """An image's file: PNG where a model of a node drew it, PNG, JPEG or WebP from an upstream server.
    `revised_prompt` is what the model says that it shows, empty where it says nothing.
    """

    data: bytes
    revised_prompt: str = ""


class Draft(msgspec.Struct, Generic[R], frozen=True):
    """An answer as the node gave it. Nothing about it is proved yet; see `receipt`.

    `text` is a language model's answer, empty for tensors; `outputs` are named tensors, `images` what was
    drawn; `body` is the whole response as JSON data; `payment` is None where the node offers nothing.
    """

    text: str
    body: Mapping[str, Any]
    receipt: R
    outputs: Mapping[str, Any] = {}
    payment: PaidFor | None = None
    moved: ModelMove | None = None
    """The label points to another artifact than when this client last had an answer under it."""
    images: tuple[Image, ...] = ()


class Cleared(msgspec.Struct, Generic[R], frozen=True):
    """An answer that meets a policy, as this program checked from bytes. Only `clear` makes one."""

    text: str
    body: Mapping[str, Any]
    receipt: R
    decision: Decision
    outputs: Mapping[str, Any] = {}
    seal: object = None
    payment: PaidFor | None = None
    moved: ModelMove | None = None
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("Cleared is made by clear alone.")


def clear(draft: Draft[R], decision: Decision) -> Cleared[R]:
    """The draft as a cleared answer. Raises AnswerHeld `policy_not_met` unless the decision is CLEAR."""
    if decision.outcome is not Outcome.CLEAR:
        raise AnswerHeld(decision, decision.policy)
    d = draft
    return Cleared(d.text, d.body, d.receipt, decision, d.outputs, _SEAL, d.payment, d.moved, images=d.images)
