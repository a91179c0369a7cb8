"""What `ask`, `infer` and `up` share: an answer on the screen, then its marks as they are struck."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.text import Text

from hallmark.apps.cli.output import clock, console, gap, marks_in_full, strike, word
from hallmark.core.marks import Mark, Question, State
from hallmark.core.policy import Decision
from hallmark.services.sdk.answers import AnswerHeld
from hallmark.services.sdk.sync_client import PlainReceipt
from hallmark.verification.offline import Verified


class Watched(msgspec.Struct, frozen=True):
    """How watching a receipt ended: the last decision, and when each mark reached its state in this
    program's hand.
    """

    decision: Decision
    times: Mapping[Question, str]


def follow(receipt: PlainReceipt, policy: str, timeout: float) -> Watched:
    """Print each mark when its state changes, until `policy` is met or `timeout` seconds have passed.

    The marks are derived here, from bytes; times are gaps from the answer's last byte to the mark being
    derived here.
    """
    out = console()
    shown: dict[Question, State] = {}
    times: dict[Question, str] = {}
    deadline = time.monotonic() + timeout
    while True:
        verified = receipt.verify()
        for question, mark in verified.shown(policy).items():
            if shown.get(question) is not mark.state:
                shown[question] = mark.state
                if mark.state.rank > 0:
                    times[question] = gap(int(time.time() * 1000), receipt.answered)
                out.print(mark_line(mark, times.get(question, "")))
        decision = verified.decide(policy)
        left = deadline - time.monotonic()
        if not decision.missing or decision.failed or decision.is_final or left <= 0:
            return Watched(decision, times)
        receipt.refresh(policy, int(min(left, 2.0) * 1000))


def mark_line(mark: Mark, moment: str) -> Text:
    """One mark on one line: sign, question, state, time after the last byte."""
    line = Text("  ")
    line.append_text(strike(mark))
    line.append(f"  {mark.question.value:<9}{word(mark):<24}{moment:>9}")
    return line


def print_decision(
    verified: Verified, decision: Decision, times: Mapping[Question, str] | None = None
) -> None:
    """The seven marks in full, and the one sentence about the whole, which names its policy."""
    out = console()
    out.print(marks_in_full(verified.shown(decision.policy), times or {}))
    out.print(Text(sentence(decision)))


def sentence(decision: Decision) -> str:
    """`meets witnessed, checked 12:03:22 (asks for ran, model)`, or what is missing, a line each."""
    verb = "meets" if not (decision.missing or decision.failed) else "does not meet"
    text = f"{verb} {decision.policy}, checked {clock(decision.at)} ({decision.terms()})"
    for short in decision.failed:
        text += f"\n  {short.question.value} {short.state.value}: {short.reason}"
    for short in decision.missing:
        needed = f", needs {short.required}" if short.required else ""
        text += f"\n  {short.question.value} {short.state.value}{needed}: {short.reason}"
    if decision.out_of_reach:
        text += f"\n  ran stays claimed here, however long one waits: {', '.join(decision.out_of_reach)}"
    return text


def as_json(receipt: PlainReceipt, decision: Decision | None, **more: Any) -> str:
    """The machine's form of an answer: id, marks, decision, and whatever else is given."""
    marks: Mapping[Question, Mark] = decision.marks if decision is not None else {}
    value = {
        **more,
        "id": receipt.id,
        "marks": {question.value: mark.to_json() for question, mark in marks.items()},
        "decision": decision_json(decision) if decision is not None else None,
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as JSON data."""
    return {
        "policy": decision.policy,
        "outcome": decision.outcome.value,
        "at": decision.at,
        "asked": [question.value for question in decision.asked],
        "missing": [_shortfall(s) for s in decision.missing],
        "failed": [_shortfall(s) for s in decision.failed],
    }


def report_held(error: AnswerHeld) -> None:
    """Say why an answer is held, without showing it."""
    out = console(stderr=True)
    out.print(Text(f"HOLD: {error.message}", style="bold"))
    if error.hint:
        out.print(Text(error.hint))


def finish(decision: Decision) -> None:
    """End the command: 0 when the policy is met, else 1."""
    sys.exit(1 if decision.missing or decision.failed else 0)


def _shortfall(short: Any) -> dict[str, str]:
    return {
        "question": short.question.value,
        "required": short.required,
        "state": short.state.value,
        "reason": short.reason,
    }
