"""What holds an item, in plain words: what is lacking, who can mend it, and what to do next.

One place for every surface; nothing here says more than the code beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.marks import Question
from hallmark.review.decisions import LackRow
from hallmark.review.files import duration
from hallmark.review.policies import ENFORCE


class Words(msgspec.Struct, frozen=True):
    """A lack in words: one sentence, who can mend it, and the next step."""

    sentence: str
    who: str
    next: str


THEN: Final = "It stays in HOLD; nothing is let go because time passed."
EVALUATOR: Final = "the evaluator, by itself"
ASKER: Final = "who asked for the answer"
NO_MORE: Final = "Nothing can be added to this receipt: ask again, or have a policy signed that asks less."
REVIEWER: Final = "a reviewer who neither made the answer nor asked for it"
AUTHORITY: Final = "the network's authority"

# A required mark that has not reached its state: who strikes that mark, and what is waited for.
STRIKERS: Final[Mapping[Question, tuple[str, str]]] = {
    Question.RAN: ("the node and the full nodes", "Wait until full nodes have checked the node's evidence."),
    Question.MODEL: (
        "the model's publisher and the full nodes",
        "Wait until full nodes have checked the artifact.",
    ),
    Question.ROUTE: (
        "the gateway and the full nodes",
        "Wait until full nodes have checked the route ticket.",
    ),
    Question.INPUTS: (f"{ASKER}, or {AUTHORITY}", NO_MORE),
    Question.PAID: (f"{ASKER}, or {AUTHORITY}", NO_MORE),
    Question.PROVED: (
        "the full nodes",
        "Wait until a quorum of full nodes has cosigned a checkpoint over it.",
    ),
    Question.REVIEWED: (REVIEWER, "Review the answer."),
}

# The same where waiting cannot help: a provider's word about its model, a node without an enclave.
ASSERTED: Final = (
    f"{ASKER}, or {AUTHORITY}",
    "Waiting does not help: a provider's word never rises. Ask a model whose artifact is published, or have "
    "a policy signed that takes the word.",
)
NO_ENCLAVE: Final = (
    f"{ASKER}, or {AUTHORITY}",
    "Waiting does not help: this node gives no evidence. Ask a node that does, or have a policy signed that "
    "takes its word.",
)

ITEM_WORDS: Final[Mapping[str, Words]] = {
    "no_policy": Words(
        "No policy in force covers this class and value, so nothing can let it go.",
        f"a reviewer, an operator or a party, by declaring a class; or {AUTHORITY}",
        "Declare a class that has a policy, or have a policy signed that covers items without a class.",
    ),
    "policy_unsound": Words(
        "A policy in force asks for what cannot be answered, so it holds whatever it covers.",
        AUTHORITY,
        "Have a corrected version of the policy signed.",
    ),
    "appeal_open": Words(
        "A party appealed, and nobody has answered yet.",
        "a reviewer who is no party",
        "Answer the appeal.",
    ),
    "sample_disagreed": Words(
        "A person who looked at it again disagreed with letting it go.",
        "another reviewer who is no party",
        "Answer the disagreement.",
    ),
    "appeal_upheld": Words(
        "An appeal or a disagreement against letting it go was upheld.",
        "a reviewer, or a party by an appeal",
        "Reject the item; or, as a party, appeal against the hold.",
    ),
    "not_judged_yet": Words("The evaluator has not looked at it as it is now.", EVALUATOR, "Wait."),
    "rejected": Words("A reviewer rejected it.", "a party, by an appeal", "Appeal, or ask again."),
}

MISSING_WORDS: Final[Mapping[str, Words]] = {
    "verifier_not_allowed": Words(
        "The mark {question} comes from a party that the policy does not name.",
        f"{ASKER}, or {AUTHORITY}",
        "Ask again where a verifier of the policy's list checks, or have a policy signed that names it.",
    ),
    "too_few_reviewers": Words(
        "Fewer people than the policy asks for have judged the answer fit.", REVIEWER, "Review the answer."
    ),
    "assurance_not_allowed": Words(
        "The policy does not allow what vouches for the hardware here.",
        ASKER,
        "Ask again on a node whose hardware the policy allows.",
    ),
    "mark_too_old": Words(
        "The mark {question} is older than the policy allows.",
        ASKER,
        "Ask again; a receipt's evidence does not become younger.",
    ),
    "question_not_in_policy": Words(
        "The policy neither asks for the mark {question} nor waives it by name.",
        AUTHORITY,
        "Have a version of the policy signed that says which.",
    ),
    "requester_unknown": Words(
        "Nobody has said who asked for this answer, so nobody can tell whether its reviewers did.",
        "somebody who does not review it: another reviewer, an operator, or a program with an API token",
        "Declare the requester.",
    ),
    "review_age_unknown": Words(
        "Some reviews do not count, and how old the others are cannot be told from the mark.",
        REVIEWER,
        "Review the answer again.",
    ),
}

FAILED_WORDS: Final[Mapping[str, Words]] = {
    "failed": Words(
        "The mark {question} does not hold ({reason}).",
        "a reviewer",
        "Look at the evidence and reject the item; no policy lets it go.",
    ),
    "disputed": Words(
        "The mark {question} is disputed ({reason}).",
        "the full nodes, or the reviewers who disagree",
        "Wait until the dispute is settled, or settle it.",
    ),
    "revoked": Words(
        "What the mark {question} rests on was revoked ({reason}).",
        ASKER,
        "Ask again; what was revoked does not come back for this receipt.",
    ),
    "stale": Words(
        "The mark {question} is no longer fresh ({reason}).",
        ASKER,
        "Ask again; a receipt's evidence does not become younger.",
    ),
}

UNKNOWN: Final = Words("Something holds it that has no words here.", "a reviewer", "Look at the item.")


def explain(lack: LackRow, *, asserted: bool = False, enclave: bool = True) -> Words:
    """The words for a lack: the step that they name can be done.

    `asserted` says that a provider merely asserts the model, `enclave` that the node gives evidence at all.
    """
    if lack.question not in {question.value for question in Question}:
        words = ITEM_WORDS.get(lack.reason, UNKNOWN)
        return _uncovered(lack.state) if lack.reason == "no_policy" and lack.state else words
    if lack.failed:
        return _filled(FAILED_WORDS.get(lack.state, UNKNOWN), lack)
    if lack.reason == "state_too_low":
        who, step = STRIKERS[Question(lack.question)]
        if lack.question == Question.MODEL and asserted:
            who, step = ASSERTED
        elif lack.question == Question.RAN and not enclave:
            who, step = NO_ENCLAVE
        sentence = f"The mark {lack.question} is {_word(lack.state)}; the policy asks for {lack.required}."
        return Words(sentence, who, step)
    return _filled(MISSING_WORDS.get(lack.reason, UNKNOWN), lack)


def _uncovered(classes: str) -> Words:
    return Words(
        f"No policy in force covers class {classes} at this value, so nothing can let it go.",
        AUTHORITY,
        "Have a policy signed that covers it; a declared class stays, whatever is declared beside it.",
    )


def about(code: str) -> str:
    """A short title for a `<question>:<reason>` code, for a queue's list of reasons."""
    question, _, reason = code.partition(":")
    return f"{question}: {reason.replace('_', ' ')}" if reason else question


def requirement_sentence(need: Requirement) -> str:
    """A requirement in one sentence."""
    parts = [f"{need.question} is {need.state} or higher"]
    if need.count:
        people = "person" if need.count == 1 else "people"
        parts.append(f"by at least {need.count} {people} who neither made the answer nor asked for it")
    if need.question == Question.RAN:
        kinds = {
            "hardware": "on hardware",
            "simulated": "on simulated hardware",
            "none": "without an enclave",
        }
        parts.append(
            " or ".join(kinds.get(one, f"on {one}") for one in need.assurance) or "on no hardware at all"
        )
    if need.verifiers:
        parts.append(f"struck by {' or '.join(need.verifiers)}")
    if need.max_age:
        parts.append(f"at most {duration(need.max_age)} old")
    return ", ".join(parts) + "."


def policy_sentence(policy: ClearingPolicy) -> str:
    """A policy in one sentence: what it applies to, and what it asks and waives."""
    whom = f"items of class {' or '.join(policy.classes)}" if policy.classes else "items of every class"
    value = f" from value {policy.min_value:,} on" if policy.min_value else ""
    asks = ", ".join(f"{need.question} {need.state}" for need in policy.requires) or "nothing"
    waives = f"; waives {', '.join(policy.not_required)}" if policy.not_required else "; waives nothing"
    warns = "" if policy.enforcement == ENFORCE else " It warns and gates nothing."
    return f"For {whom}{value}: asks for {asks}{waives}.{warns}"


def _filled(words: Words, lack: LackRow) -> Words:
    sentence = words.sentence.format(question=lack.question, reason=lack.reason or "no reason given")
    return msgspec.structs.replace(words, sentence=sentence)


def _word(state: str) -> str:
    return state.replace("_", " ")
