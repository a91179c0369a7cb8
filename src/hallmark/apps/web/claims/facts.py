"""What stands about one subject (a receipt, an item), and conditions over it.

A surface may say no more than this. Facts come from marks and from the item, never from what a surface shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from hallmark.core.marks import LADDER, NEGATIVE, Question, State
from hallmark.core.modes import BY_NAME, CONFINED
from hallmark.core.shown import ShownMark

RANK: Mapping[str, int] = {state.value: rank for rank, state in enumerate(LADDER)}


class Facts(msgspec.Struct, frozen=True):
    """What stands about one subject.

    `states` by question; what is not named is absent. `assurance` is that of `ran`, `asserted_by` the
    provider that merely asserts the model ("" when an artifact is measured), `path` plain, sealed or
    direct, `preserved` true when a kept row entered that nobody validated again. `item` is HOLD, CLEAR,
    FINAL, REJECTED, or "" where no item is spoken of. `label` and `artifact` are the model's, `policy` the
    name that an item is judged under. `done` is the act that this very session has just done on the page.
    `mode` is the receipt's, `confinement` what confines its node (vanilla, tee, or "": not known),
    `replayed` true when whoever shows the receipt computed its answer again and got the same bits.
    """

    states: Mapping[str, str] = {}
    assurance: str = ""
    asserted_by: str = ""
    path: str = "plain"
    preserved: bool = False
    item: str = ""
    policy: str = ""
    label: str = ""
    artifact: str = ""
    done: str = ""
    mode: str = ""
    confinement: str = ""
    replayed: bool = False

    @classmethod
    def of(cls, marks: Iterable[ShownMark], **rest: str | bool) -> Facts:
        """The facts that follow from seven marks; `rest` are the members that no mark carries."""
        found = {mark.question: mark for mark in marks}
        mode = found["ran"].detail.get("mode", "") if "ran" in found else ""
        own = {
            "mode": mode,
            "confinement": mode if BY_NAME.get(mode) in CONFINED else "",
            "states": {question: mark.state for question, mark in found.items()},
            "assurance": found["ran"].assurance if "ran" in found else "",
            "asserted_by": found["model"].detail.get("asserted_by", "") if "model" in found else "",
        }
        return msgspec.convert({**own, **rest}, cls)

    def state(self, question: str) -> str:
        """The state of a question's mark."""
        return self.states.get(question, State.ABSENT.value)

    def below(self, question: str, least: str) -> bool:
        """True when a mark has not reached `least`; what is off the ladder has reached nothing."""
        return RANK.get(self.state(question), -1) < RANK[least]


class When(msgspec.Struct, frozen=True):
    """A condition over facts: every member that is given must hold; none given: always.

    `below` and `states` speak of `question`'s mark; `negative` of any mark; `nothing` is a state that no mark
    is in; `undone`: nobody has just done anything here; `unreplayed`: nobody computed the answer again here.
    """

    question: str = ""
    below: str = ""
    states: tuple[str, ...] = ()
    assurance: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    asserted: bool = False
    preserved: bool = False
    negative: bool = False
    nothing: str = ""
    undone: bool = False
    mode: tuple[str, ...] = ()
    confinement: tuple[str, ...] = ()
    unreplayed: bool = False

    def holds(self, facts: Facts) -> bool:
        """Whether the condition holds of `facts`."""
        return all(
            (
                not self.below or facts.below(self.question, self.below),
                not self.states or facts.state(self.question) in self.states,
                not self.assurance or facts.assurance in self.assurance,
                not self.path or facts.path in self.path,
                not self.item or facts.item in self.item,
                not self.asserted or bool(facts.asserted_by),
                not self.preserved or facts.preserved,
                not self.nothing or all(facts.state(q.value) != self.nothing for q in Question),
                not self.undone or not facts.done,
                not self.mode or facts.mode in self.mode,
                not self.confinement or facts.confinement in self.confinement,
                not self.unreplayed or not facts.replayed,
                not self.negative or any(facts.state(q.value) in NEGATIVE for q in Question),
            )
        )

    def sentence(self) -> str:
        """The condition in words, for the documentation and for messages."""
        parts = []
        if self.below:
            parts.append(f"`{self.question}` below `{self.below}`")
        if self.states:
            parts.append(f"`{self.question}` {' or '.join(self.states)}")
        if self.assurance:
            parts.append(f"`ran` is {' or '.join(name or 'unknown' for name in self.assurance)}")
        if self.path:
            parts.append(f"the path is {' or '.join(self.path)}")
        if self.item:
            parts.append(f"the item is in {' or '.join(self.item)}")
        parts += ["a provider merely asserts the model"] * self.asserted
        parts += ["a kept row was not validated again"] * self.preserved
        parts += ["any mark is negative"] * self.negative
        parts += [f"no mark is `{self.nothing}`"] * bool(self.nothing)
        parts += ["this session has not just done it"] * self.undone
        parts += [f"the mode is {' or '.join(self.mode)}"] * bool(self.mode)
        parts += [f"the node's confinement is {' or '.join(self.confinement)}"] * bool(self.confinement)
        parts += ["the answer was not computed again here"] * self.unreplayed
        return " and ".join(parts) or "always"
