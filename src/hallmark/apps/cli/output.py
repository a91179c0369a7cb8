"""What the command line prints: errors, marks, states. Plain words, the same on every terminal."""

from __future__ import annotations

import datetime
import io
import sys
import textwrap
from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from hallmark.core import shown
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import Mark, Question, State

LETTERS: Mapping[Question, str] = {
    Question.RAN: "E",
    Question.MODEL: "A",
    Question.ROUTE: "R",
    Question.INPUTS: "I",
    Question.PAID: "¤",
    Question.PROVED: "Q",
    Question.REVIEWED: "J",
}
# State shows by outline first, by word second, by colour last (docs: how marks look).
STRIKES: Mapping[State, tuple[str, str]] = {
    State.ABSENT: ("⸽ {} ⸽", "bright_black"),
    State.NOT_REQUIRED: (" [{}] ", "bright_black"),
    State.CLAIMED: ("│ {} │", "bright_black"),
    State.CHECKED: ("║ {} ║", "bold"),
    State.WITNESSED: ("█ {} █", "green"),
    State.ANCHORED: ("█▌{}▐█", "blue"),
    State.STALE: ("┆ {} ┆", "yellow"),
    State.DISPUTED: ("▌ {} │", "yellow"),
    State.REVOKED: ("╳ {} ╳", "red"),
    State.FAILED: ("╳ {} ╳", "red"),
}


def tolerant() -> None:
    """Let output that a terminal cannot show (LANG=C, a pipe in ASCII) come as escapes, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False) -> Console:
    """A console that adds nothing of its own."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def complain(error: HallmarkError) -> None:
    """Print an error: reason code, sentence, hint."""
    out = console(stderr=True)
    out.print(Text(f"{error.reason}: {error.message}", style="bold"))
    if error.hint:
        out.print(Text(error.hint))


def strike(mark: Mark) -> Text:
    """A mark's small sign. A simulated enclave is hatched, whatever its state; money has no colour."""
    shape, style = STRIKES[mark.state]
    if mark.question is Question.PAID:
        style = "bright_black" if style == "bright_black" else "bold"
    if mark.question is Question.RAN and mark.assurance == "simulated" and not mark.state.is_negative:
        shape, style = "▒ {} ▒", "bright_black"
    return Text(shape.format(LETTERS[mark.question]), style=style)


def word(mark: Mark) -> str:
    """A mark's state in words; `simulated` stands with it where the enclave is simulated, and who asserts the
    model where nobody measured it.
    """
    text = shown.word(mark.question, mark.state)
    if mark.question is Question.MODEL and mark.detail.get("asserted_by"):
        return f"{text}, asserted by {mark.detail['asserted_by']}"
    return f"{text}, simulated" if mark.question is Question.RAN and mark.assurance == "simulated" else text


def marks_in_full(
    marks: Mapping[Question, Mark], times: Mapping[Question, str] = MappingProxyType({})
) -> Text:
    """All seven marks in order, each with what it shows and what it does not; `times` stand beside the
    states.
    """
    width = min(console().width, 100)
    text = Text()
    for question in Question:
        mark = marks[question]
        text.append_text(strike(mark))
        text.append(f"  {question.value:<10}")
        text.append(word(mark), style="bold")
        moment = times.get(question) or (clock(mark.since) if mark.since else "")
        text.append(f"   {moment}\n" if moment else "\n")
        for sentence, style in ((mark.shows, ""), (mark.does_not_show, "bright_black")):
            for line in textwrap.wrap(sentence, width - 9):
                text.append(f"       {line}\n", style=style)
    return text


def gap(moment: int, answered: int) -> str:
    """Time after the answer's last byte, e.g. `+18 ms`; both in unix ms by one clock."""
    difference = moment - answered
    return f"{difference:+d} ms" if abs(difference) < 10_000 else f"{difference / 1000:+.1f} s"


def clock(ms: int) -> str:
    """A unix time in ms as local time of day, with the date when it is not today."""
    moment = datetime.datetime.fromtimestamp(ms / 1000).astimezone()
    today = datetime.datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def emit(text: str) -> None:
    """Write text as it comes, for answers that stream."""
    sys.stdout.write(text)
    sys.stdout.flush()
