"""`/marks`: the legend. The seven shapes and ten states, each with what it does not say."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.marks import spec, word_of
from hallmark.apps.web.render import answer
from hallmark.core.marks import COUNTER, Question, State
from hallmark.core.shown import ShownMark

PROVIDER: Final = "provider.example"


class Struck(msgspec.Struct, frozen=True):
    """How a state is struck, and its two sentences."""

    how: str
    says: str
    does_not_say: str


STATES: Final[dict[State, Struck]] = {
    State.ABSENT: Struck(
        "dotted outline, grey",
        "Nothing is known here about this question.",
        "Does not say that it did not happen.",
    ),
    State.CLAIMED: Struck(
        "thin grey outline",
        "One party alone says so: the node, a provider, a requester.",
        "Does not say that anybody checked it.",
    ),
    State.CHECKED: Struck(
        "double outline in ink",
        "Whoever drew this row computed it again from the bytes.",
        "Does not say that anybody else did.",
    ),
    State.WITNESSED: Struck(
        "solid deep green, letter cut out",
        "A quorum of full nodes checked it and cosigned a checkpoint that covers it.",
        "Does not say that a chain holds that checkpoint.",
    ),
    State.ANCHORED: Struck(
        "solid deep blue with an inner line",
        "The same, and a chain holds a checkpoint that covers it.",
        "Does not say that the chain repeated the full nodes' checks.",
    ),
    State.NOT_REQUIRED: Struck(
        "no outline, letter in grey brackets",
        "A signed policy, named beside the row, does not ask for this mark.",
        "Does not say that the question has an answer.",
    ),
    State.STALE: Struck(
        "dashed ochre outline, bar beneath",
        "It held once; what it rests on is no longer fresh.",
        "Does not say that it was wrong while it was fresh.",
    ),
    State.DISPUTED: Struck(
        "half filled ochre",
        "Somebody who may object did: too few for a refusal, too many to ignore.",
        "Does not say which side is mistaken.",
    ),
    State.REVOKED: Struck(
        "red outline, struck through once",
        "A key, a measurement or a statement that it rests on was withdrawn, from a stated place on.",
        "Does not say that what stands before that place is void.",
    ),
    State.FAILED: Struck(
        "red outline, struck through twice",
        "It was checked and does not hold; the reason stands beside it.",
        "Does not say whose fault that is.",
    ),
}


class StateRow(msgspec.Struct, frozen=True):
    """One state: `word` as six marks have it, `paid_word` as `paid` has it; all seven marks in it."""

    state: str
    word: str
    paid_word: str
    negative: bool
    struck: Struck
    marks: tuple[ShownMark, ...]


class QuestionRow(msgspec.Struct, frozen=True):
    """One question: its own letter and outline, what it answers and what it does not say."""

    question: str
    letter: str
    cartouche: str
    answers: str
    does_not_say: str
    mark: ShownMark


class Qualifier(msgspec.Struct, frozen=True):
    """A word without which a mark is never shown."""

    name: str
    sentence: str
    mark: ShownMark


class LegendPage(msgspec.Struct, frozen=True):
    """The whole legend. It speaks of no answer."""

    questions: tuple[QuestionRow, ...]
    states: tuple[StateRow, ...]
    qualifiers: tuple[Qualifier, ...]


def legend() -> LegendPage:
    """The legend's content; the same always."""
    questions = tuple(
        QuestionRow(
            question.value,
            own["letter"],
            own["cartouche"],
            own["question"],
            own["counter"],
            _sample(question, State.CLAIMED),
        )
        for question in Question
        for own in (spec()["questions"][question.value],)
    )
    return LegendPage(questions, tuple(_state(state) for state in STATES), _qualifiers())


def _state(state: State) -> StateRow:
    struck = STATES[state]
    return StateRow(
        state.value,
        word_of(Question.PROVED.value, state.value),
        word_of(Question.PAID.value, state.value),
        state.is_negative,
        struck,
        tuple(_sample(question, state) for question in Question),
    )


def _sample(question: Question, state: State, assurance: str = "", asserted_by: str = "") -> ShownMark:
    """A mark of no answer, in this state."""
    return ShownMark(
        question.value,
        state.value,
        0,
        "",
        "0x",
        STATES[state].says,
        COUNTER[question],
        assurance=assurance,
        detail={"asserted_by": asserted_by} if asserted_by else {},
    )


def _qualifiers() -> tuple[Qualifier, ...]:
    return (
        Qualifier(
            "simulated",
            "The evidence is of an emulated security module: hatched and never solid, whatever the state.",
            _sample(Question.RAN, State.WITNESSED, "simulated"),
        ),
        Qualifier(
            "no enclave",
            "No enclave ran it: whoever owns the machine can read along and change what runs.",
            _sample(Question.RAN, State.CLAIMED, "none"),
        ),
        Qualifier(
            "hardware",
            "The maker of a processor vouches for the measurement.",
            _sample(Question.RAN, State.WITNESSED, "hardware"),
        ),
        Qualifier(
            "asserted by",
            "A provider says which model answered, and nothing here can look.",
            _sample(Question.MODEL, State.CLAIMED, asserted_by=PROVIDER),
        ),
    )


def routes() -> list[BaseRoute]:
    """`/marks`."""

    async def page(request: Request) -> Response:
        return answer(request, "legend.html", legend())

    return [Route("/marks", page)]
