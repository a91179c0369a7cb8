"""Which combinations of mark states are walked, and why they are enough.

Seven marks with ten states each give ten million rows, before assurance, path and the rest. They are covered:

1. every state of every mark, with every variant that changes how it is drawn, one at a time over backgrounds
   in which all others are absent, claimed, witnessed, or failed (`singles`);
2. every pair of values of any two factors (`pairwise`): what goes wrong in combinations goes wrong between
   two;
3. a proof by test that the drawing of a mark is the same, byte for byte, in all of these (test_walk.py): what
   a mark looks like depends on that mark alone, so that no third mark can change it.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from hallmark.core.marks import Question, State
from hallmark.testing.scene import Scene

STATES = tuple(state.value for state in State)
QUESTIONS = tuple(question.value for question in Question)
PROVIDER = "provider.example"
# Everything about an item that changes what may be said of it. Seven questions come first.
FACTORS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(QUESTIONS, STATES),
    "assurance": ("simulated", "hardware", "none"),
    "asserted": ("", PROVIDER),
    "memory": ("", "kept"),
    "path": ("plain", "sealed", "direct"),
    "item": ("HOLD", "CLEAR", "FINAL", "REJECTED"),
    "extra": ("", "released", "overdue", "uncovered"),
}
BACKGROUNDS = ("absent", "claimed", "witnessed", "failed")
Choice = Mapping[str, str]


def singles() -> Iterator[Choice]:
    """One factor at a time over each background, and each variant of each state where a mark has variants."""
    for background in BACKGROUNDS:
        plain = {name: values[0] for name, values in FACTORS.items()} | dict.fromkeys(QUESTIONS, background)
        for name, values in FACTORS.items():
            yield from ({**plain, name: value} for value in values)
        for variant, question in (
            ("assurance", "ran"),
            ("asserted", "model"),
            ("memory", "inputs"),
            ("path", "route"),
        ):
            for value, state in itertools.product(FACTORS[variant][1:], STATES):
                yield {**plain, variant: value, question: state}


def pairwise(seed: int = 7) -> Iterator[Choice]:
    """Rows that hold every pair of values of every two factors: greedy, and the same for the same seed."""
    rng = random.Random(seed)
    names = list(FACTORS)
    missing = {
        (a, x, b, y) for a, b in itertools.combinations(names, 2) for x in FACTORS[a] for y in FACTORS[b]
    }
    while missing:
        a, x, b, y = min(missing)
        row = {a: x, b: y}
        for name in rng.sample([name for name in names if name not in row], len(names) - 2):
            row[name] = max(
                rng.sample(list(FACTORS[name]), len(FACTORS[name])),
                key=lambda value: sum(_pair(name, value, other, row[other]) in missing for other in row),
            )
        missing -= {_pair(a, row[a], b, row[b]) for a, b in itertools.combinations(names, 2)}
        yield row


def _pair(name: str, value: str, other: str, its: str) -> tuple[str, str, str, str]:
    if list(FACTORS).index(name) < list(FACTORS).index(other):
        return name, value, other, its
    return other, its, name, value


def scene_of(choice: Choice) -> Scene:
    """The scene that shows a choice. What is not proved is never cleared: such an item stands in HOLD."""
    marks = {question: choice[question] for question in QUESTIONS}
    proved = marks["proved"] in ("witnessed", "anchored")
    extra = choice["extra"]
    return Scene(
        marks=marks,
        assurance=choice["assurance"],
        asserted_by=choice["asserted"],
        memory=bool(choice["memory"]),
        path=choice["path"],
        state=choice["item"] if proved or choice["item"] == "REJECTED" else "HOLD",
        released_until=Scene().now + 3_600_000 if extra == "released" and choice["item"] == "HOLD" else 0,
        overdue=extra == "overdue",
        appealed=extra == "overdue",
        sampled=extra == "released",
        index=-1 if extra == "uncovered" and not proved else 1_042,
        items=2,
    )


@functools.cache
def scenes() -> tuple[Scene, ...]:
    """Every scene that is walked, once: for pages that show a line for each."""
    return _distinct((*singles(), *pairwise()))


@functools.cache
def pairs() -> tuple[Scene, ...]:
    """Every pair of values of any two factors, which holds every state of every mark many times."""
    return _distinct(pairwise())


def _distinct(choices: Iterable[Choice]) -> tuple[Scene, ...]:
    found = {msgspec.json.encode(scene): scene for scene in map(scene_of, choices)}
    return tuple(found.values())
