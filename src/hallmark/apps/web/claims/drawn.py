"""Duties of what is drawn: rows of marks, colours, signs. What a mark owes follows from the facts alone."""

from __future__ import annotations

import colorsys
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Final

from hallmark.apps.web.claims.facts import Facts
from hallmark.apps.web.claims.observed import Observation, Row, Struck
from hallmark.apps.web.claims.violation import Violation
from hallmark.apps.web.marks import word_of
from hallmark.core.marks import COUNTER, NEGATIVE, Question

ORDER: Final = tuple(question.value for question in Question)
POSITIVE: Final = ("claimed", "checked", "witnessed", "anchored")
# What `ran` says of a provider's answer, whose model no enclave of this network ran.
PASSED_ON: Final = ("passed this on", "what ran the model was not measured")
STRUCK_SOLID: Final = ("witnessed", "anchored")
# The hues that struck marks alone may have; ink, paper, ochre and red lie outside, greys have no chroma.
COLOURS: Final = "green and blue only where struck"
GREEN: Final = (75, 190)
BLUE: Final = (190, 268)
CHROMA: Final = 0.11
# WCAG 2.2: text 4.5, what is drawn 3.
LEAST_TEXT, LEAST_DRAWN, LEAST_SIZE = 4.5, 3.0, 20.0
# The grey of an absent mark on paper: ochre and red are never fainter, though green and ink may be deeper.
LEAST_NEGATIVE: Final = 5.7
TOLERANCE: Final = 1.5
PARTS: Final = frozenset(("hm-cartouche", "hm-name", "hm-word", "hm-assurance", "hm-assertion", "hm-gap"))
SIGNS: Final = re.compile(
    r"(?<![a-z])(lock|padlock|check(mark|ed-icon)?|tick|verified|thumbs?(-?up)?|shield|badge|seal|star|medal|ribbon|award|"
    r"success|gauge|ring|score|rating)(?![a-z])",
    re.IGNORECASE,
)
GAUGES: Final = frozenset(("progress", "meter", "progressbar"))


def violations(facts: Mapping[str, Facts], observation: Observation) -> Iterator[Violation]:
    """Everything drawn on a surface that says more than the facts."""
    for row in observation.rows:
        own = facts.get(row.subject)
        if own is None:
            yield Violation(
                observation.surface,
                "marks of a known subject",
                row.subject,
                where=row.where,
                why="Marks stand here that belong to nothing.",
            )
            continue
        for rule, said, why in (*_row(row), *(problem for mark in row.marks for problem in _mark(own, mark))):
            yield Violation(observation.surface, rule, said, kind="mark", where=row.where, why=why)
    yield from _painted(observation)
    yield from _signed(observation)


Problem = tuple[str, str, str]


def _row(row: Row) -> Iterator[Problem]:
    questions = tuple(mark.question for mark in row.marks)
    if row.single:
        if len(questions) != 1 or questions[0] not in ORDER:
            yield "one mark is one mark", " ".join(questions), "A single mark stands for one question."
        return
    if questions != ORDER:
        yield "seven marks in order", " ".join(questions), "All seven, always, in their fixed order."
        return
    if not row.visible:
        yield "marks are seen", "hidden row", "A row that nobody sees says nothing."
    lines = _lines(row)
    counts = [len(line) for line in lines]
    tops = [min(mark.top for mark in line) for line in lines]
    if any(lower <= upper + TOLERANCE for upper, lower in itertools.pairwise(tops)):
        yield "seven marks in order", "drawn out of order", "The order on the screen is the fixed one."
    elif len(set(counts[:-1])) > 1 or counts[-1] > counts[0]:
        yield "seven marks in order", f"lines of {counts}", "A row that wraps fills its lines in order."
    yield from _negatives(row, lines)


def _lines(row: Row) -> list[tuple[Struck, ...]]:
    """The lines into which a row wraps on a narrow screen: within one, each mark stands right of the last."""
    lines: list[list[Struck]] = []
    for mark in row.marks:
        if not lines or mark.left < lines[-1][-1].left + TOLERANCE:
            lines.append([])
        lines[-1].append(mark)
    return [tuple(line) for line in lines]


def _negatives(row: Row, lines: list[tuple[Struck, ...]]) -> Iterator[Problem]:
    """No negative mark is smaller, fainter or lower in its line than any other."""
    bad = [mark for mark in row.marks if mark.state in NEGATIVE]
    good = [mark for mark in row.marks if mark.state not in NEGATIVE]
    highest = {mark.question: min(one.top for one in line) for line in lines for mark in line}

    def drop(mark: Struck) -> float:
        return mark.top - highest[mark.question]

    rule = "negative marks are not lowered"
    why = "What speaks against an answer stands as large as what speaks for it."
    for mark in bad:
        if mark.word_hidden:
            yield rule, f"{mark.question}: its word is hidden", why
        for other in good:
            shown_font = 0.0 if other.word_hidden else other.font
            lower = (
                (mark.size < other.size - 0.5, f"size {mark.size} < {other.size}"),
                (mark.font < shown_font - 0.1, f"font {mark.font} < {other.font}"),
                (mark.opacity < other.opacity - 0.01, f"opacity {mark.opacity} < {other.opacity}"),
                (drop(mark) > drop(other) + TOLERANCE, f"top {mark.top}, {drop(mark)} below its line"),
            )
            for worse, said in lower:
                if worse:
                    yield rule, f"{mark.question} {mark.state} beside {other.question}: {said}", why
        faintest = min((other.contrast for other in good), default=LEAST_NEGATIVE)
        if mark.contrast < min(faintest, LEAST_NEGATIVE):
            yield rule, f"{mark.question}: contrast {mark.contrast:.2f}", why


def _mark(own: Facts, mark: Struck) -> Iterator[Problem]:
    if mark.question not in ORDER:
        yield "seven marks in order", mark.question, "There is no such question."
        return
    where, state = mark.question, own.state(mark.question)
    if mark.state != state:
        yield "states as they are", f"{where}: {mark.state}", f"It is {state}."
        return
    if mark.word != word_of(where, state):
        said = f"{where}: {mark.word!r}"
        yield "words as they are", said, f"The word of this state is {word_of(where, state)!r}."
    if mark.name != where:
        yield "words as they are", f"{where}: {mark.name!r}", "A mark stands under its own name."
    if mark.rest or not PARTS.issuperset(mark.parts):
        added = mark.rest or " ".join(sorted(set(mark.parts) - PARTS))
        yield "nothing added to a mark", f"{where}: {added}", "A mark says what the table of marks says."
    yield from _labelled(own, mark)
    yield from _simulated(own, mark)
    yield from _filled(own, mark)
    if mark.contrast < LEAST_TEXT or mark.outline < LEAST_DRAWN or mark.opacity < 0.99:
        faint = f"{where}: word {mark.contrast:.2f}, outline {mark.outline:.2f}, opacity {mark.opacity}"
        yield "marks are seen", faint, "Every mark can be read (WCAG 2.2 AA)."
    if mark.size < LEAST_SIZE - 0.5:
        yield "marks are seen", f"{where}: {mark.size} px", "A mark has 20 px at least."


def _labelled(own: Facts, mark: Struck) -> Iterator[Problem]:
    """What a screen reader says: name, state's word, qualifier, and the counter-sentence."""
    rule = "labels as the marks"
    begins = f"{mark.question}: {word_of(mark.question, own.state(mark.question))}"
    qualifiers = []
    if mark.question == "ran" and own.assurance == "simulated":
        qualifiers.append("; simulated")
    if mark.question == "model" and own.asserted_by:
        qualifiers.append(f"; asserted by {own.asserted_by}")
    if not mark.label.startswith(begins) or not all(part in mark.label for part in qualifiers):
        yield rule, mark.label[:80], f"A label begins with {begins + ''.join(qualifiers)!r}."
    if COUNTER[Question(mark.question)] not in mark.label:
        yield rule, f"{mark.question}: no counter-sentence", "Every mark says what it does not show."
    told = mark.question == "ran" and own.asserted_by and own.state("ran") in POSITIVE
    if told and not all(part in mark.label for part in PASSED_ON):
        yield rule, mark.label[:80], "A provider's answer was passed on; what ran the model was not measured."
    if mark.title != mark.label:
        yield rule, mark.title[:80], "Title and label are the same."


def _simulated(own: Facts, mark: Struck) -> Iterator[Problem]:
    if mark.question == "ran" and own.assurance == "simulated":
        if mark.assurance != "simulated" or mark.qualifier_hidden:
            why = "The word stands under the mark, to be seen."
            yield "simulated stands with the mark", mark.assurance or "nothing", why
        if not mark.hatched:
            yield "simulated is hatched", mark.state, "Simulated hardware is hatched in every state."
    elif mark.question == "ran" and mark.assurance == "hardware" and own.assurance != "hardware":
        yield "simulated stands with the mark", mark.assurance, "No hardware vouches for it."
    if (
        mark.question == "model"
        and own.asserted_by
        and (mark.assertion != f"asserted by {own.asserted_by}" or mark.qualifier_hidden)
    ):
        why = "Who asserts the model stands under the mark."
        yield "asserted stands with the mark", mark.assertion or "nothing", why


def _filled(own: Facts, mark: Struck) -> Iterator[Problem]:
    """Solid and coloured only where struck: green when witnessed, blue when anchored, money never."""
    state = own.state(mark.question)
    simulated = mark.question == "ran" and own.assurance == "simulated"
    if mark.solid and (simulated or state not in STRUCK_SOLID):
        yield "solid only where struck", f"{mark.question} {state}", "What is not witnessed is not filled in."
    allowed = {"witnessed": "green", "anchored": "blue"}.get(state) if mark.question != "paid" else None
    for colour in mark.colours:
        hue = hue_of(colour)
        if hue and hue != allowed:
            said = f"{mark.question} {state}: {colour} ({hue})"
            yield COLOURS, said, "The colour says more than the mark."


def _painted(observation: Observation) -> Iterator[Violation]:
    for paint in observation.paints:
        hue = "" if paint.question or not paint.colour.startswith("#") else hue_of(paint.colour)
        if paint.colour == "gradient":
            rule, why = "no gradients", "One ground, one ink, hairlines."
        elif paint.colour == "auto" or hue:
            rule, why = COLOURS, "Deep green and deep blue are kept for struck marks alone."
        else:
            continue
        said = f"{paint.property}: {paint.colour}" + (f" ({hue})" if hue else "")
        yield Violation(observation.surface, rule, said, where=paint.where, why=why)


def _signed(observation: Observation) -> Iterator[Violation]:
    for sign in observation.signs:
        found = SIGNS.search(sign.names)
        if sign.tag in GAUGES:
            rule, said, why = "no gauges", sign.tag, "No ring, bar or percentage."
        elif found:
            rule, said, why = "signs of approval", found[0], "A tick, a lock or a thumb is an overall badge."
        else:
            continue
        yield Violation(observation.surface, rule, said, sign.names, "sign", sign.where, why)


def hue_of(colour: str) -> str:
    """For a colour that only struck marks may have "green" or "blue", else "". `colour` is "#rrggbb"."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    if max(red, green, blue) - min(red, green, blue) < CHROMA:
        return ""
    hue = colorsys.rgb_to_hsv(red, green, blue)[0] * 360
    if GREEN[0] <= hue < GREEN[1]:
        return "green"
    return "blue" if BLUE[0] <= hue < BLUE[1] else ""
