"""Keys come and go with their windows, and what is gone stays gone."""

from __future__ import annotations

import asyncio
import base64

import pytest

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.privacy.key_configurations import verify_window
from hallmark.services.sealing.keys import ScheduledKeys, shown
from hallmark.testing.sealing import EVERY, SINCE, ratchet

GRACE = 120_000


class Clock:
    """Unix ms, set by hand."""

    def __init__(self) -> None:
        self.now = SINCE

    def __call__(self) -> int:
        return self.now


def scheduled(count: int = 4) -> tuple[ScheduledKeys, Clock]:
    """A schedule and its clock."""
    clock = Clock()
    return ScheduledKeys(ratchet(count), clock), clock


def numbers(keys: ScheduledKeys) -> list[int]:
    """The windows in force."""
    return [window.number for window in keys.in_force()]


@pytest.mark.parametrize(
    ("offset", "windows"),
    [
        (-GRACE - 1, []),
        (-GRACE, [0]),
        (0, [0]),
        (EVERY - GRACE - 1, [0]),
        (EVERY - GRACE, [0, 1]),
        (EVERY + GRACE - 1, [0, 1]),
        (EVERY + GRACE, [1]),
        (4 * EVERY - 1, [3]),
        (4 * EVERY + GRACE - 1, [3]),
        (4 * EVERY + GRACE, []),
        (400 * EVERY, []),
    ],
)
def test_keys_are_in_force_in_their_window_and_a_little_around_it(offset: int, windows: list[int]) -> None:
    """Two minutes before, for clocks that differ; two minutes after, for requests on their way."""
    keys, clock = scheduled()
    clock.now += offset
    assert numbers(keys) == windows
    for window in keys.in_force():
        assert window.configuration == sha256(ratchet().blob(window.number))
        assert set(window.keys) == {2 * window.number, 2 * window.number + 1}


def test_a_key_is_made_once() -> None:
    """Asking again gives the same key objects, also when the next window comes beside them."""
    keys, clock = scheduled()
    (first,) = keys.in_force()
    assert keys.in_force()[0] is first
    clock.now += EVERY
    assert keys.in_force()[0] is first


def test_a_clock_that_is_set_back_brings_no_key_back() -> None:
    """What was destroyed cannot be asked for; windows that are held stay."""
    keys, clock = scheduled()
    clock.now = SINCE + 2 * EVERY + GRACE
    assert numbers(keys) == [2]
    clock.now = SINCE
    assert numbers(keys) == []
    clock.now = SINCE + 2 * EVERY + GRACE
    assert numbers(keys) == [2]
    clock.now = SINCE + 3 * EVERY + GRACE
    assert numbers(keys) == [3]


def test_a_schedule_that_is_over_is_empty_for_good() -> None:
    """Nothing opens any more, and nothing is published."""
    keys, clock = scheduled()
    clock.now = SINCE + 5 * EVERY
    assert numbers(keys) == []
    assert shown(keys)["windows"] == []
    clock.now = SINCE
    assert numbers(keys) == []


def test_what_is_published_is_proven_under_the_bundles_root() -> None:
    """The present window and the next, each with its path; of the last window there is no next."""
    keys, clock = scheduled()
    for window in range(4):
        clock.now = SINCE + window * EVERY + 1
        told = shown(keys)
        windows = told["windows"]
        assert isinstance(windows, list)
        assert [each["window"] for each in windows] == [at for at in (window, window + 1) if at < 4]
        for each in windows:
            assert (each["begins"], each["ends"] - each["begins"]) == (SINCE + each["window"] * EVERY, EVERY)
            blob = base64.b64decode(each["configurations"])
            path = tuple(unhex(node) for node in each["path"])
            found = verify_window(keys.sealing, each["window"], blob, path, each["begins"])
            assert len(found) == 2
            with pytest.raises(HallmarkError):
                verify_window(keys.sealing, each["window"], blob + b"\0", path, each["begins"])


async def test_keys_turn_while_nobody_asks() -> None:
    """A task of its own opens and destroys them by the clock."""
    keys, clock = scheduled()
    schedule = keys._ratchet
    task = asyncio.create_task(keys.run())
    await asyncio.sleep(0)
    assert schedule.keys(0)
    clock.now = SINCE + 2 * EVERY
    keys._until = clock.now
    task.cancel()
    task = asyncio.create_task(keys.run())
    await asyncio.sleep(0)
    with pytest.raises(HallmarkError, match="no keys"):
        schedule.keys(0)
    assert [window.number for window in keys._in_force] == [1, 2] or numbers(keys) == [1, 2]
    task.cancel()
