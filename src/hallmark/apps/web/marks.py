"""The row of seven marks in Python: as web/src/marks/draw.ts in the browser, from the same spec/marks.json.

Here a mark becomes a `Drawn`; the macro `templates/marks.html` writes it. A test compares both markups.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from jinja2 import Environment
from markupsafe import Markup

from hallmark.apps.web.times import gap_of
from hallmark.core.marks import Question
from hallmark.core.shown import ShownMark

SPEC_FILE = Path(__file__).parent / "spec" / "marks.json"
HATCH = "hatch-of-this-mark"
QUESTIONS = tuple(question.value for question in Question)
WRITTEN_KEPT = 1_024
SLOT = re.compile(r"\{(\w+)\}")


@cache
def spec() -> dict[str, Any]:
    """Geometry and words of the marks."""
    loaded: dict[str, Any] = msgspec.json.decode(SPEC_FILE.read_bytes())
    return loaded


class Layer(msgspec.Struct, frozen=True):
    """One SVG element of a cartouche: its tag, attributes in order, and text."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class Drawn(msgspec.Struct, frozen=True):
    """A mark, ready to be written, without its gap. `hatch` is "" unless a layer is hatched."""

    attributes: dict[str, str]
    layers: tuple[Layer, ...]
    hatch: str
    name: str
    word: str
    assurance: str
    assertion: str


def word_of(question: str, state: str) -> str:
    """The word of a question's state; `paid` has words of its own."""
    own = spec()["questions"][question].get("words", {})
    return str(own.get(state, spec()["states"][state]["word"]))


def assurance_word(mark: ShownMark) -> str:
    """The word for the hardware behind `ran`, or "" where the state does not carry it."""
    known = spec()["assurances"].get(mark.assurance) if mark.question == "ran" else None
    if known is None or (known["states"] != "*" and mark.state not in known["states"]):
        return ""
    return str(known["word"])


def assertion(mark: ShownMark) -> str:
    """For a model that a provider merely asserts: "asserted by X"; else ""."""
    by = mark.detail.get("asserted_by", "") if mark.question == "model" else ""
    return str(spec()["asserted"]).replace("{by}", by) if by else ""


def said(mark: ShownMark) -> str:
    """A mark's word with what it may never be shown without: "claimed; simulated"."""
    qualifier = [text for text in (assurance_word(mark), assertion(mark)) if text]
    return "; ".join([word_of(mark.question, mark.state), *qualifier])


def label(mark: ShownMark) -> str:
    """What a screen reader says of a mark: its word, assurance and two sentences, nothing else."""
    qualifier = [text for text in (assurance_word(mark), assertion(mark)) if text]
    parts = {
        "name": spec()["questions"][mark.question]["name"],
        "word": word_of(mark.question, mark.state),
        "qualifier": "".join(f"; {text}" for text in qualifier),
        "shows": mark.shows,
        "does_not_show": mark.does_not_show,
    }
    return SLOT.sub(lambda found: parts.get(found[1], ""), spec()["label"])


def drawn(mark: ShownMark, hatch: str) -> Drawn:
    """The description of one mark; `hatch` is an id that is unique on the page."""
    question, state = spec()["questions"][mark.question], spec()["states"][mark.state]
    text = label(mark)
    attributes = {
        "class": f"hm-mark {state['class']}",
        "role": "listitem",
        "data-question": mark.question,
        "data-state": mark.state,
        "data-tone": question.get("tones", {}).get(mark.state, state["tone"]),
    }
    if state["negative"]:
        attributes["data-negative"] = ""
    if mark.question == "ran" and mark.assurance:
        attributes["data-assurance"] = mark.assurance
    attributes |= {"tabindex": "0", "aria-label": text, "title": text}
    layers = tuple(_layers(mark, question, state, hatch))
    hatched = any(f"url(#{hatch})" in layer.attributes.values() for layer in layers)
    return Drawn(
        attributes,
        layers,
        hatch if hatched else "",
        question["name"],
        word_of(mark.question, mark.state),
        assurance_word(mark),
        assertion(mark),
    )


def _layers(
    mark: ShownMark, question: Mapping[str, Any], state: Mapping[str, Any], hatch: str
) -> Iterable[Layer]:
    simulated = mark.question == "ran" and mark.assurance == "simulated"
    for name in state["simulated" if simulated else "layers"]:
        layer = spec()["layers"][name]
        attributes = {key: value.replace("{hatch}", hatch) for key, value in layer["attributes"].items()}
        use = layer.get("use")
        if use == "letter":
            size = {"font-size": str(question["size"])} if "size" in question else {}
            placed = {**spec()["letter"], **size, "y": str(question["baseline"])}
            yield Layer("text", placed | attributes, question["letter"])
        else:
            yield Layer("path", {"d": question[use] if use else layer["d"], **attributes})


class Written(msgspec.Struct, frozen=True):
    """The markup of a mark as far as it depends on neither the page nor the time: what stands before its
    cartouche, the cartouche with `HATCH` for the hatch's id, what stands behind it.
    """

    before: str
    cartouche: str
    behind: str


class Drawer:
    """Writes rows and single marks of one page, so that no two hatch ids are the same."""

    def __init__(self, environment: Environment) -> None:
        self._macros: Any = environment.get_template("marks.html").module
        # Kept with the template that writes them: most marks of a long page say what another one says.
        kept = vars(self._macros).setdefault("written", {})
        self._written = cast("dict[tuple[str, ...], Written]", kept)
        self._count = itertools.count(1)

    def __call__(
        self, marks: Iterable[ShownMark], answer_at: int = 0, size: str = "", prefix: str = ""
    ) -> Markup:
        """The row of all seven in their fixed order; `size` "small" for tables, "large" for a page's head."""
        by_question = {mark.question: mark for mark in marks}
        prefix = prefix or f"hm-hatch-{next(self._count)}"
        row = [self._mark(by_question[q], answer_at, f"{prefix}-{q}") for q in QUESTIONS]
        return Markup(self._macros.row(row, size))  # noqa: S704 -- the macro escapes

    def one(self, mark: ShownMark, answer_at: int = 0, size: str = "") -> Markup:
        """A single mark, for a list that says more about each."""
        hatch = f"hm-hatch-{next(self._count)}-{mark.question}"
        return Markup(self._macros.single(self._mark(mark, answer_at, hatch), size))  # noqa: S704 -- escaped

    def _mark(self, mark: ShownMark, answer_at: int, hatch: str) -> Markup:
        """The markup of a mark: its own pieces, the hatch's id, and its gap."""
        asserted = mark.detail.get("asserted_by", "")
        key = (mark.question, mark.state, mark.assurance, asserted, mark.shows, mark.does_not_show)
        written = self._written.get(key)
        if written is None:
            while len(self._written) >= WRITTEN_KEPT:
                self._written.pop(next(iter(self._written)))
            written = self._written[key] = self._write(mark)
        after = ""
        if answer_at > 0 and mark.since > 0:
            after = str(self._macros.gap(*gap_of(mark.since, answer_at)))
        cartouche = written.cartouche.replace(HATCH, hatch)
        whole = f"{written.before}{cartouche}{written.behind}{after}</span>"
        return Markup(whole)  # noqa: S704 -- the macros escaped every piece

    def _write(self, mark: ShownMark) -> Written:
        one, macros = drawn(mark, HATCH), self._macros
        return Written(str(macros.before(one)), str(macros.cartouche(one, spec())), str(macros.behind(one)))
