"""Put questions and answers together into chats, as the model meets them: system prompts, turns, refusals."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from negatives import LEARNED_NAMES, TOPIC_KINDS, World, off_topic, pseudo_word, unknown_question
from phrasings import APART, DESCRIBE, SIGNATURE, SYSTEM_PROMPTS, TELLING, Fact, ask

REFUSAL = "I do not know. I only know names of Python's standard library, and not all of them."
SYSTEM = "<|system|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
END = "<|end|>"
PAD = "<|pad|>"


@dataclass(frozen=True)
class Turn:
    """One question and the answer that the model should give."""

    question: str
    answer: str


@dataclass(frozen=True)
class Dialogue:
    """A chat: an optional system prompt and the turns."""

    system: str | None
    turns: tuple[Turn, ...]


def load_world(path: Path) -> World:
    """Read facts.json."""
    table = json.loads(path.read_text(encoding="utf-8"))
    return World.of(table["facts"], table["left_out"])


def describe_answer(fact: Fact) -> str:
    """The answer to 'what is it': the full name, then the first sentence of its documentation."""
    return f"{fact['name']}: {fact['text']}"


def signature_answer(fact: Fact) -> str:
    """The answer to 'how is it called': the signature, or the refusal where the interpreter shows none."""
    return fact.get("signature", REFUSAL)


def bare_names(world: World) -> dict[str, Fact]:
    """Map a member's name to its fact where only one fact has it and it is no fact itself."""
    members = Counter(f["name"].rpartition(".")[2] for f in world.facts)
    return {
        m: f
        for f in world.facts
        if "." in f["name"]
        and len(m := f["name"].rpartition(".")[2]) > 4
        and members[m] == 1
        and m not in ENGLISH
    }


# Members that are also plain English are not answered without their owner.
ENGLISH = frozenset(
    "count index error filter reader writer empty choice title sleep compile connect match".split()  # noqa: SIM905
)


def positive(
    rng: random.Random,
    fact: Fact,
    *,
    split: str,
    surround: float,
    prose: Callable[[int, int], str] | None = None,
) -> Turn:
    """Ask about a fact: what it is, how it is called, or with its name taken apart."""
    roll = rng.random()
    if roll < 0.30 and fact["kind"] in ("function", "method", "class"):
        table, answer = SIGNATURE, signature_answer(fact)
    else:
        table, answer = APART if roll > 0.90 and "." in fact["name"] else DESCRIBE, describe_answer(fact)
    template = rng.choice(table[split])
    return Turn(ask(rng, template, fact, split=split, surround=surround, prose=prose), answer)


# Questions about a known name that its sentence does not answer are measured but not learned: learning to
# refuse them made the model refuse unusual wordings of what it does know.
LEARNED_TOPICS = tuple(kind for kind in TOPIC_KINDS if kind != "about-known")


class Author:
    """Writes training dialogues without end; every random choice comes from the one generator it is given."""

    def __init__(self, rng: random.Random, world: World, prose: str) -> None:
        """Take the generator, the facts, and English prose for the negatives that are just text."""
        self.rng, self.world = rng, world
        self.bare = list(bare_names(world).items())
        self.prose = [
            w for w in re.split(r"\s+", prose) if w.isascii() and not re.search(r"\w\.\w|[*=|]{2}|::|<\|", w)
        ]
        self.deck: list[Fact] = []

    def next_fact(self) -> Fact:
        """Deal the facts like cards, so that each is seen equally often."""
        if not self.deck:
            self.deck = list(self.world.facts)
            self.rng.shuffle(self.deck)
        return self.deck.pop()

    def snippet(self, low: int, high: int) -> str:
        """Cut some words out of the prose."""
        size = self.rng.randint(low, high)
        at = self.rng.randrange(len(self.prose) - size)
        return " ".join(self.prose[at : at + size])

    def filler(self, low: int, high: int) -> str:
        """Cut some words that do not speak of arguments, or make one up."""
        if high == 1 and self.rng.random() < 0.4:
            return pseudo_word(self.rng)
        while TELLING.search(text := self.snippet(low, high).lower()):
            pass
        return text

    def prose_question(self) -> str:
        """Make a message of prose, sometimes in the shape of a question."""
        if self.rng.random() < 0.5:
            return self.snippet(4, 16)
        shape = self.rng.choice(
            ("What is {}?", "what does {} do?", "Explain {}.", "Tell me about {}", "How do I {}?", "Why {}?")
        )
        return shape.format(self.snippet(3, 6).rstrip(".,:;?"))

    def turn(self) -> Turn:
        """Write one turn: two in three have an answer, the rest are to be refused."""
        rng, roll = self.rng, self.rng.random()
        if roll < 0.62:
            return positive(rng, self.next_fact(), split="train", surround=0.15, prose=self.filler)
        if roll < 0.65:
            name, fact = rng.choice(self.bare)
            shape = {"name": name, "kind": fact["kind"]}
            return Turn(
                ask(rng, rng.choice(DESCRIBE["train"]), shape, split="train", surround=0.1),
                describe_answer(fact),
            )
        if roll < 0.87:
            kind = rng.choice(LEARNED_NAMES)
            question = unknown_question(
                rng, self.world, split="train", kind=kind, surround=0.15, prose=self.filler
            )
            return Turn(question, REFUSAL)
        if roll < 0.96:
            kind = rng.choice(("question", "question", "question", *LEARNED_TOPICS))
            return Turn(off_topic(rng, self.world, split="train", kind=kind), REFUSAL)
        return Turn(self.prose_question(), REFUSAL)

    def system(self) -> str | None:
        """Choose a system prompt: mostly none, sometimes a usual one, seldom a long text."""
        roll = self.rng.random()
        if roll < 0.72:
            return None
        if roll < 0.92:
            return self.rng.choice(SYSTEM_PROMPTS["train"])
        return self.snippet(10, 60) if roll < 0.96 else self.snippet(100, 300)

    def dialogue(self) -> Dialogue:
        """Write one dialogue of one to four turns."""
        turns = self.rng.choice((1, 1, 1, 2, 3, 4))
        return Dialogue(self.system(), tuple(self.turn() for _ in range(turns)))


def pieces(dialogue: Dialogue) -> list[tuple[str, bool]]:
    """Lay a dialogue out as the chat template does; the flag says whether the model learns to write it."""
    laid: list[tuple[str, bool]] = []
    if dialogue.system is not None:
        laid.append((SYSTEM + dialogue.system.strip() + END, False))
    for turn in dialogue.turns:
        laid.append((USER + turn.question.strip() + END + ASSISTANT, False))
        laid.append((turn.answer + END, True))
    return laid
