"""The command line: marks as drawn, words that claim no more than the marks, exit codes, documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import COMMANDS, cli, exit_code
from hallmark.apps.cli.output import STRIKES, gap, marks_in_full, strike, word
from hallmark.apps.cli.review import list_items
from hallmark.core import errors
from hallmark.core.marks import ABSENT_WORDS, COUNTER, WORDS, Finding, Question, State, derive_marks
from hallmark.core.shown import PAID_WORDS, STATE_WORDS
from hallmark.services.review.queue import CLAUSES

ROOT = Path(__file__).resolve().parents[3]
POSITIVE = (State.CLAIMED, State.CHECKED, State.WITNESSED, State.ANCHORED)


def mark_of(question: Question, state: State, **detail: str):  # type: ignore[no-untyped-def]
    """One mark in a state."""
    reason = "some_reason" if state.is_negative else ""
    finding = Finding(question, state, "3 of 4 full nodes", 1, b"", reason, {"what": "something", **detail})
    return derive_marks((finding,))[question]


@pytest.mark.parametrize("state", POSITIVE)
def test_a_simulated_enclave_is_never_solid_and_always_says_so(state: State) -> None:
    """Whatever its state, `ran` on simulated hardware is hatched and the word stands beside it."""
    mark = mark_of(Question.RAN, state, assurance="simulated")
    assert strike(mark).plain == "▒ E ▒"
    assert "simulated" in word(mark)
    assert "█" not in marks_in_full(derive_marks(())).plain
    hardware = mark_of(Question.RAN, state, assurance="hardware")
    assert "simulated" not in word(hardware)


@pytest.mark.parametrize("state", [s for s in State if s is not State.NOT_REQUIRED])
def test_only_witnessed_and_anchored_are_solid(state: State) -> None:
    """Fill is kept for what a quorum checked; every other state has an outline of its own."""
    drawn = strike(mark_of(Question.PROVED, state)).plain
    assert ("█" in drawn) == (state in (State.WITNESSED, State.ANCHORED))
    assert len({shape for shape, _ in STRIKES.values()}) >= len(STRIKES) - 1


@pytest.mark.parametrize("state", [s for s in State if s.is_negative])
def test_a_negative_mark_names_its_reason(state: State) -> None:
    """A mark that speaks against an answer says why, also on simulated hardware."""
    mark = mark_of(Question.RAN, state, assurance="simulated")
    assert "some_reason" in mark.shows
    assert "▒" not in strike(mark).plain


def test_all_seven_marks_stand_in_order_with_their_counter_sentences() -> None:
    """Nothing is left out, even when nothing is known."""
    text = re.sub(r"\s+", " ", marks_in_full(derive_marks(())).plain)
    places = [text.index(f" {question.value} ") for question in Question]
    assert places == sorted(places)
    for question in Question:
        assert COUNTER[question] in text


def test_fixed_words_make_no_claim_of_trust() -> None:
    """No fixed sentence or state word uses a forbidden claim."""
    said = [
        *ABSENT_WORDS.values(),
        *COUNTER.values(),
        *WORDS.values(),
        *STATE_WORDS.values(),
        *PAID_WORDS.values(),
    ]
    forbidden = re.compile(
        r"\b(secure|safe|trusted|guaranteed|verified|attested|proven|settled|approved)\b", re.IGNORECASE
    )
    assert [text for text in said if forbidden.search(text)] == []


def test_a_claim_is_said_to_be_one() -> None:
    """`claimed` and `checked` name who says so."""
    assert mark_of(Question.RAN, State.CLAIMED).shows.startswith("The node alone says")
    assert mark_of(Question.RAN, State.CHECKED).shows.startswith("Checked here")
    assert "3 of 4 full nodes" in mark_of(Question.RAN, State.WITNESSED).shows


def test_gaps_are_signed_and_readable() -> None:
    """Gaps are in ms up to ten seconds, then in seconds."""
    assert (gap(1018, 1000), gap(900, 1000), gap(61_000, 1000)) == ("+18 ms", "-100 ms", "+60.0 s")


def test_exit_codes_follow_the_error_tree() -> None:
    """Held 1, bad input 2, unavailable 3, does not verify 4."""
    codes = {
        errors.Held: 1,
        errors.InvalidInput: 2,
        errors.NotFound: 2,
        errors.Unavailable: 3,
        errors.VerificationFailed: 4,
    }
    assert {kind: exit_code(kind("a_reason", "A sentence.")) for kind in codes} == codes


def test_every_command_is_documented_and_helps() -> None:
    """docs/cli.md has a row for each command, and `--help` works."""
    text = (ROOT / "docs" / "cli.md").read_text()
    for name in COMMANDS:
        assert f"`hallmark {name}" in text
        done = CliRunner().invoke(cli, [name, "--help"])
        assert done.exit_code == 0, done.output
        assert "Usage" in done.output


def test_errors_are_code_sentence_hint(tmp_path: Path) -> None:
    """A missing trust file and a file that is no receipt each give a reason code and exit code 2."""
    command = [
        sys.executable,
        "-m",
        "hallmark.apps.cli.main",
        "--home",
        str(tmp_path),
        "verify",
        "nothing.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("no_trust_file: ")
    assert "Traceback" not in done.stderr


def test_the_list_has_the_filters_of_the_page() -> None:
    """`hallmark review list` offers every member of a filter, and so does the queue's page."""
    options = {str(option.name) for option in list_items.params}
    filters = {name.replace("class", "klass") for name in CLAUSES}
    assert filters <= options
    page = (ROOT / "src/hallmark/apps/web/templates/review/queue.html").read_text()
    hidden = {"requester", "assigned"}  # set by links on items and by saved filters
    assert all(f'"{name}"' in page for name in set(CLAUSES) - hidden)
