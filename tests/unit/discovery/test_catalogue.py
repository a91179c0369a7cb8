"""The catalogue finds what has everything that is wanted, in the order that records and a seed give."""

from __future__ import annotations

import random

import pytest

from hallmark.discovery.catalogue import Catalogue, Item, Wanted, modality_of
from hallmark.discovery.ranking import Candidate, merged, order
from hallmark.discovery.record import Record

SEED = b"\x05" * 32
TASKS = (
    "chat",
    "text-classification",
    "image-classification",
    "speech-recognition",
    "tabular-regression",
    "",
)
LICENCES = ("mit", "apache-2.0", "")


def record_of(item: Item) -> Record:
    """Some have one."""
    return Record(right=item.size % 50, wrong=item.size % 7) if item.size % 3 == 0 else Record()


def items(count: int) -> list[Item]:
    """Labels of all kinds."""
    draw = random.Random(1)
    return [
        Item(
            f"maker-{n % 40}/{draw.choice(('digits', 'letters', 'credit'))}-{n}",
            b"%d" % (n % 40),
            f"0x{n:064x}",
            draw.choice(TASKS),
            "onnx",
            draw.randrange(1, 1_000),
            draw.choice(LICENCES),
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def made() -> Catalogue:
    """A sorted catalogue of 2,000."""
    found = Catalogue()
    for item in items(2_000):
        found.put(item)
    found.sort(record_of, SEED)
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(task="chat"),
        Wanted(modality="image"),
        Wanted(licence="MIT", modality="text"),
        Wanted(text="credit maker 7"),
        Wanted(text="digits", max_size=200, licence="mit"),
        Wanted(max_size=10),
        Wanted(text="nothing of the kind"),
    ],
)
def test_a_search_is_what_a_look_at_each_gives(made: Catalogue, wanted: Wanted) -> None:
    """Pages together are the order of all that match, each once, whatever way it was found."""

    def matches(item: Item) -> bool:
        words = item.label.replace("-", " ").replace("/", " ").split()
        return all(
            (
                not wanted.task or item.task == wanted.task,
                not wanted.modality or item.modality == wanted.modality,
                not wanted.licence or item.licence == wanted.licence.lower(),
                not wanted.max_size or item.size <= wanted.max_size,
                all(any(word.startswith(asked) for word in words) for asked in wanted.text.split()),
            )
        )

    known = items(2_000)
    whole = order([Candidate(one.name, one.owner, record_of(one)) for one in known], SEED)
    expected = list(
        merged(
            [number for number in whole.ranked if matches(known[number])],
            [number for number in whole.newcomers if matches(known[number])],
        )
    )
    pages = [made.search(wanted, within=None, start=at, most=7) for at in range(0, 70, 7)]
    rows = [hit for page in pages for hit in page.rows]
    assert pages[0].total == len(expected)
    assert [(hit.item.label, hit.drawn) for hit in rows] == [
        (known[one.number].label, one.drawn) for one in expected[:70]
    ]
    assert [hit.place for hit in rows] == list(range(1, len(rows) + 1))


def test_only_what_is_allowed_is_found(made: Catalogue) -> None:
    """Such as labels that somebody serves now; an empty set allows nothing."""
    label = items(3)[2].label
    assert [hit.item.label for hit in made.search(Wanted(), within={label, "no"}, start=0, most=9).rows] == [
        label
    ]
    assert made.search(Wanted(), within=set(), start=0, most=9).total == 0


def test_a_label_that_moved_is_found_as_it_is_now() -> None:
    """What it was is forgotten, and so is what is dropped; a provider's label is another one."""
    found = Catalogue()
    found.put(Item("a/one", b"a", "0x01", "chat", "gguf", 5, "mit"))
    found.put(Item("a/one", b"a", "0x02", "image-classification", "onnx", 9))
    found.put(Item("a/one", b"", asserted=True))
    found.sort(lambda _: Record(), SEED)
    assert len(found) == 2
    assert found.search(Wanted(task="chat"), within=None, start=0, most=9).total == 0
    assert found.search(Wanted(modality="image"), within=None, start=0, most=9).total == 1
    assert list(found.labels_of("0x01")) == []
    assert list(found.labels_of("0x02")) == ["a/one"]
    assert found.facet("licence") == {}
    found.drop("a/one", asserted=True)
    found.sort(lambda _: Record(), SEED)
    assert found.search(Wanted(), within=None, start=0, most=9).total == 1


def test_modalities_follow_from_tasks() -> None:
    """By how they begin."""
    assert [modality_of(task) for task in ("chat", "image-to-text", "classification", "", "weights")] == [
        "text",
        "image",
        "table",
        "other",
        "other",
    ]
