"""Windows and suites of sealed requests, as client, enclave, full nodes and verifiers reckon them."""

from __future__ import annotations

import pytest

from hallmark.core.documents import Sealing
from hallmark.core.sealing import GRACE_MS, RELAY_LENGTH, SUITES, covers, is_relay, window_at

SEALING = Sealing("0x" + "11" * 32, 1_000_000_000, 10_000, 3)


@pytest.mark.parametrize(
    ("at", "window"), [(-1, None), (0, 0), (9_999, 0), (10_000, 1), (29_999, 2), (30_000, None)]
)
def test_windows_follow_each_other_and_end(at: int, window: int | None) -> None:
    """There is one window at a time, none before the first and none after the last."""
    assert window_at(SEALING, SEALING.since + at) == window


def test_a_schedule_of_no_length_has_no_window() -> None:
    """Windows that last no time are never now."""
    assert window_at(Sealing(SEALING.root, 0, 0, 9), 5) is None


@pytest.mark.parametrize(
    ("window", "at", "held"),
    [
        (1, 10_000 - GRACE_MS, True),
        (1, 9_999 - GRACE_MS, False),
        (1, 19_999 + GRACE_MS, True),
        (1, 20_000 + GRACE_MS, False),
        (3, 30_000, False),
        (-1, 0, False),
    ],
)
def test_a_window_covers_two_minutes_on_both_sides(window: int, at: int, held: bool) -> None:
    """An answer may be started a little after its window, and by a clock a little before it; only in windows
    that there are.
    """
    assert covers(SEALING, window, SEALING.since + at) is held


def test_suites_have_names_of_their_own() -> None:
    """No two suites share a name, and the default of our own client is among them."""
    assert len(set(SUITES.values())) == len(SUITES) == 4
    assert SUITES[0x647A, 1, 1] == "x-wing/hkdf-sha256/aes-128-gcm"


@pytest.mark.parametrize("text", ["", "https://relay.example", "x" * RELAY_LENGTH])
def test_a_relay_may_be_named_so(text: str) -> None:
    """Unknown, an address, the longest."""
    assert is_relay(text)


@pytest.mark.parametrize("text", ["a b", "a\n", "caf\u00e9", "\x00", "x" * (RELAY_LENGTH + 1)])
def test_a_relay_may_not_be_named_so(text: str) -> None:
    """Nothing that a page could show as something else."""
    assert not is_relay(text)
