"""What can be searched: labels with what is known of them, by task, modality, form, licence, size and words.

In memory, as the labels themselves are: sets of numbers by what they have in common, which are intersected,
and walked in the order that `ranking` made. So a search costs what the sets cost, not what there is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Set
from itertools import islice
from typing import Final

import msgspec

from hallmark.discovery.ranking import Candidate, Order, Placed, merged, order
from hallmark.discovery.record import Record

WORDS: Final = re.compile(r"[a-z0-9]+")
FEW: Final = 20
"""One in so many: fewer are sorted, more are found by walking the order."""
FACETS: Final = ("modality", "task", "licence", "artifact", "word")
LAST: Final = "\U0010ffff"
MODALITIES: Final = {
    "image": ("image", "text-to-image", "object-detection", "depth", "segmentation", "unconditional-image"),
    "text": ("chat", "text", "translation", "summarization", "question", "fill-mask", "token", "sentence"),
    "audio": ("audio", "speech", "voice"),
    "video": ("video",),
    "table": ("classification", "regression", "tabular", "tensor", "time-series"),
}


class Item(msgspec.Struct, frozen=True):
    """A label as it is found: what it points to now (0x-hex, "" for a provider's), and what is said of it.
    `licence` is the hub's card's, "" where none is known.
    """

    label: str
    owner: bytes
    artifact: str = ""
    task: str = ""
    form: str = ""
    size: int = 0
    licence: str = ""
    asserted: bool = False

    @property
    def modality(self) -> str:
        """By the words that its task begins with."""
        return modality_of(self.task)

    @property
    def name(self) -> bytes:
        """What its lot is drawn by: the label and what stands behind it."""
        return f"{self.label}\0{self.artifact}".encode()


class Wanted(msgspec.Struct, frozen=True):
    """What is searched for; empty and 0 ask for nothing."""

    text: str = ""
    task: str = ""
    modality: str = ""
    licence: str = ""
    max_size: int = 0


class Hit(msgspec.Struct, frozen=True):
    """One found: its place, counted from 1, and whether it stands there by draw as a newcomer."""

    item: Item
    place: int
    drawn: bool


class Hits(msgspec.Struct, frozen=True):
    """A page of what was found, and how much there is."""

    total: int
    rows: tuple[Hit, ...]


class _Sorted(msgspec.Struct, frozen=True):
    """An order, and each number's place in it and among newcomers: one value, so that a search sees one."""

    order: Order
    ranks: dict[int, int]
    turns: dict[int, int]
    sizes: list[int] = []
    by_size: list[int] = []

    def no_larger(self, most: int) -> set[int]:
        """Numbers whose size is known, and at most so much."""
        return set(self.by_size[bisect_right(self.sizes, 0) : bisect_right(self.sizes, most)])

    def walk(self, found: set[int] | None) -> tuple[Iterator[int], Iterator[int]]:
        """Both orders, of these numbers alone."""
        ranked, newcomers = self.order.ranked, self.order.newcomers
        if found is None:
            return iter(ranked), iter(newcomers)
        if len(found) * FEW > len(self.ranks):
            return (number for number in ranked if number in found), (n for n in newcomers if n in found)
        drawn = found & self.turns.keys()
        return iter(sorted(found, key=self.ranks.__getitem__)), iter(
            sorted(drawn, key=self.turns.__getitem__)
        )


class Catalogue:
    """See the module docstring. `sort` after `put`, before `search`."""

    def __init__(self) -> None:
        self._items: list[Item | None] = []
        self._number: dict[tuple[str, bool], int] = {}
        self._sets: dict[str, dict[str, set[int]]] = {name: {} for name in FACETS}
        self._words: list[str] = []
        self._sorted = _Sorted(Order((), ()), {}, {})

    def __len__(self) -> int:
        return len(self._number)

    def find(self, label: str, *, asserted: bool = False) -> Item | None:
        """A label's item."""
        number = self._number.get((label, asserted))
        return None if number is None else self._items[number]

    def labels_of(self, artifact: str) -> Iterator[str]:
        """Labels that point to an artifact now (0x-hex)."""
        for number in self._sets["artifact"].get(artifact, ()):
            found = self._items[number]
            if found is not None:
                yield found.label

    def put(self, item: Item) -> None:
        """Know a label, in the place of what was known of it."""
        key = item.label, item.asserted
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self._items)
            self._items.append(None)
        else:
            self._take_out(number)
        self._items[number] = item
        for facet, value in _facets(item):
            held = self._sets[facet].get(value)
            if held is None:
                held = self._sets[facet][value] = set()
                if facet == "word":
                    insort(self._words, value)
            held.add(number)

    def drop(self, label: str, *, asserted: bool) -> None:
        """Know a label no more."""
        number = self._number.pop((label, asserted), None)
        if number is not None:
            self._take_out(number)
            self._items[number] = None

    def sort(self, record_of: Callable[[Item], Record], seed: bytes) -> None:
        """Put all in the order of `ranking`, by their records and a seed."""
        numbers = sorted(self._number.values())
        items = [self._items[number] for number in numbers]
        made = order(
            [Candidate(one.name, one.owner or one.name, record_of(one)) for one in items if one is not None],
            seed,
        )
        found = Order(tuple(numbers[at] for at in made.ranked), tuple(numbers[at] for at in made.newcomers))
        ranks = {number: place for place, number in enumerate(found.ranked)}
        turns = {number: place for place, number in enumerate(found.newcomers)}
        by_size = sorted((one.size, number) for number, one in zip(numbers, items, strict=True) if one)
        self._sorted = _Sorted(
            found, ranks, turns, [size for size, _ in by_size], [number for _, number in by_size]
        )

    def search(self, wanted: Wanted, *, within: Set[str] | None, start: int, most: int) -> Hits:
        """A page of what has all that is wanted; `within` are the labels that it may be, None for any."""
        order = self._sorted
        found = self._matching(order, wanted, within)
        ranked, newcomers = order.walk(found)
        rows = list(islice(merged(ranked, newcomers), start + most))
        hits = (self._hit(one, place) for place, one in enumerate(rows, 1))
        total = len(order.ranks) if found is None else len(found)
        return Hits(total, tuple(hit for hit in islice(hits, start, None) if hit is not None))

    def facet(self, name: str) -> dict[str, int]:
        """The values of a facet (task, modality, licence) and how many have each."""
        return {value: len(held) for value, held in sorted(self._sets[name].items()) if held}

    def _hit(self, placed: Placed, place: int) -> Hit | None:
        item = self._items[placed.number]
        return None if item is None else Hit(item, place, placed.drawn)

    def _matching(self, order: _Sorted, wanted: Wanted, within: Set[str] | None) -> set[int] | None:
        """Numbers of all that match; None for everything."""
        parts: list[Set[int]] = []
        for facet in ("task", "modality", "licence"):
            value = getattr(wanted, facet)
            if value:
                parts.append(self._sets[facet].get(value.lower(), set()))
        parts += [self._with_word(word) for word in WORDS.findall(wanted.text.lower())]
        if within is not None:
            keys = [(label, kind) for label in within for kind in (False, True)]
            parts.append({self._number[key] for key in keys if key in self._number})
        if not parts and not wanted.max_size:
            return None
        parts.sort(key=len)
        found = order.ranks.keys() & parts[0] if parts else set(order.ranks)
        for part in parts[1:]:
            found &= part
        return found & order.no_larger(wanted.max_size) if wanted.max_size else found

    def _with_word(self, beginning: str) -> set[int]:
        """All that have a word which begins so."""
        low = bisect_left(self._words, beginning)
        high = bisect_right(self._words, beginning + LAST)
        if high - low == 1:
            return self._sets["word"][self._words[low]]
        return set().union(*(self._sets["word"][word] for word in self._words[low:high]))

    def _take_out(self, number: int) -> None:
        item = self._items[number]
        if item is None:
            return
        for facet, value in _facets(item):
            self._sets[facet][value].discard(number)


def modality_of(task: str) -> str:
    """What kind of thing a task is about; "other" where its words do not say."""
    plain = task.lower()
    for modality, beginnings in MODALITIES.items():
        if plain.startswith(beginnings):
            return modality
    return "other"


def _facets(item: Item) -> Iterator[tuple[str, str]]:
    yield "modality", item.modality
    if item.task:
        yield "task", item.task.lower()
    if item.licence:
        yield "licence", item.licence.lower()
    if item.artifact:
        yield "artifact", item.artifact
    for word in set(WORDS.findall(item.label.lower())):
        yield "word", word
