"""The order of models: by bounds and a seed, with places for newcomers, and by nothing else."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from hallmark.discovery.ranking import EVERY, FIRST, Candidate, Order, merged, order, seed_of
from hallmark.discovery.record import Record

SEEDS = [seed_of(bytes(32), size, bytes(32)) for size in range(2_000)]


def candidates(established: int, newcomers: int, owners: int = 0) -> list[Candidate]:
    """Established ones of falling records, then newcomers of whom nothing was said, each of its own owner or
    of so many.
    """
    known = [
        Candidate(b"known %d" % n, b"owner %d" % n, Record(right=100, wrong=n)) for n in range(established)
    ]
    new = [
        Candidate(b"new %d" % n, b"newcomer %d" % (n % owners if owners else n), Record())
        for n in range(newcomers)
    ]
    return [*known, *new]


def shown(found: Order, most: int = 10_000) -> list[tuple[int, bool]]:
    """Numbers, and whether each was drawn."""
    return [(one.number, one.drawn) for one in islice(merged(found.ranked, found.newcomers), most)]


def share(made: list[Candidate], seeds: list[bytes], number: int, places: int) -> int:
    """How often a candidate stands among the first `places` over these seeds."""
    return sum(one == number for seed in seeds for one, _ in shown(order(made, seed), places))


def test_the_best_record_stands_first_and_everybody_stands_once() -> None:
    """The established in the order of their bounds; every tenth place from the third on is a newcomer's."""
    listed = shown(order(candidates(40, 10), SEEDS[0]))
    assert sorted(number for number, _ in listed) == list(range(50))
    assert [number for number, drawn in listed if number < 40] == list(range(40))
    places = [place for place, (_, drawn) in enumerate(listed) if drawn]
    assert places[:4] == [2, 12, 22, 32]
    assert all(place % EVERY == FIRST for place in places)


def test_the_same_seed_gives_the_same_order_whoever_computes_it_from_whatever_list() -> None:
    """The order of the candidates that it is made of does not matter."""
    made = candidates(30, 30)
    names = [made[number].name for number, _ in shown(order(made, SEEDS[1]))]
    turned = made[::-1]
    assert [turned[number].name for number, _ in shown(order(turned, SEEDS[1]))] == names
    assert [made[number].name for number, _ in shown(order(made, SEEDS[2]))] != names


def test_a_newcomer_gets_its_share_whoever_else_is_new() -> None:
    """Ten places a page hold one drawn place. Of eight newcomers each gets it one time in eight, over 2,000
    given seeds; the established one that comes last gets none. Nobody's name, age or use helps.
    """
    made = candidates(40, 8)
    expected = len(SEEDS) / 8
    for number in range(40, 48):
        assert abs(share(made, SEEDS, number, 10) - expected) < 0.2 * expected
    assert share(made, SEEDS[:50], 39, 10) == 0


def test_equal_records_share_the_first_place() -> None:
    """Three of one record are first equally often: a tie is drawn, not spelt."""
    made = [Candidate(b"model %d" % n, b"%d" % n, Record(right=50)) for n in range(3)]
    firsts = Counter(order(made, seed).ranked[0] for seed in SEEDS)
    assert all(abs(firsts[number] - len(SEEDS) / 3) < 0.15 * len(SEEDS) / 3 for number in range(3))


def test_who_publishes_a_hundred_labels_is_not_drawn_a_hundred_times() -> None:
    """One owner with 99 new labels against one with one: each gets the drawn place half of the time."""
    many = [Candidate(b"flood %d" % n, b"flooder", Record()) for n in range(99)]
    made = [*candidates(40, 0), *many, Candidate(b"single", b"somebody", Record())]
    single = share(made, SEEDS[:1_000], len(made) - 1, 10)
    assert abs(single - 500) < 75


def test_one_that_has_a_record_is_no_newcomer_for_ever() -> None:
    """Twenty words end it, good or bad; until then a newcomer with a record stands where the first of both
    puts it.
    """
    assert Candidate(b"", b"", Record(right=10, wrong=9)).is_new
    assert not Candidate(b"", b"", Record(wrong=20)).is_new
    made = [*candidates(5, 0), Candidate(b"young", b"young", Record(right=19))]
    listed = shown(order(made, SEEDS[0]))
    assert [number for number, _ in listed].count(5) == 1


def test_nothing_to_show_is_an_empty_list() -> None:
    """And newcomers alone are all of it."""
    assert shown(order([], SEEDS[0])) == []
    assert len(shown(order(candidates(0, 7), SEEDS[0]))) == 7
