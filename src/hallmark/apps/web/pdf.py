"""A receipt for people who file things: one sober PDF with the exact dossier attached.

The words are those of the page: what the view says and nothing more. The same view and dossier always give
the same bytes: dates come from the receipt. The core fonts know Latin-1 alone; other characters are written
as `[U+4E2D]`, and the exact text is in the attachment. No request and no answer is in it, because none is in
a public dossier.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos

from hallmark.apps.web.drawings.lineage import BREAK
from hallmark.apps.web.marks import assertion, assurance_word, word_of
from hallmark.apps.web.pdf_marks import draw_mark, tone_of
from hallmark.apps.web.times import LONGEST_MS, full, gap, span
from hallmark.core.errors import HallmarkError
from hallmark.core.shown import ShownMark
from hallmark.services.explorer.views import ReceiptPage
from hallmark.verification.dossier import Dossier

SUFFIX: Final = ".hallmark.json"
INK, GREY, HAIR, OCHRE = (27, 29, 34), (102, 98, 90), (217, 213, 204), (138, 75, 8)
MARGIN, MARK, INDENT, NAME = 20.0, 12.0, 17.0, 42.0
LONGEST: Final = 1_000
MOST: Final = 60
REPLACED: Final = {
    "\u2026": "...",
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2192": "->",
    "\u202f": " ",
}
BY_HAND: Final = (
    "The file attached to this PDF is the dossier: the receipt, byte for byte, with signatures and proofs. "
    "It holds no prompt and no answer; those are their owner's to add.",
    "1. Get the network's trust file from a party that you chose: not from this PDF, and not from whoever "
    "gave it to you.",
    "2. hallmark verify {name}.pdf --trust trust.toml reads the attachment, derives the seven marks again "
    "and asks no server. So does hallmark verify {name}.hallmark.json with the attachment saved.",
    "3. examples/verify_receipt.py does the central steps in under 300 lines that are meant to be read; "
    "docs/verify-by-hand.md walks through them.",
    "Marks can change after this page was made: evidence expires, and an objection or a revocation may be "
    "in the log.",
    "Characters that this page cannot set are written as [U+4E2D]; the exact text is in the attachment.",
)


def receipt_pdf(view: ReceiptPage, dossier: bytes, held: str, site: str = "") -> bytes:
    """The PDF's bytes. `dossier` is attached as it is; `held` is HOLD, REJECTED or "".

    `site` is the origin of the pages, whose legend is named.
    """
    filed = Filed(view, held)
    filed.first_page()
    filed.legend(site)
    filed.words()
    filed.digests(dossier)
    filed.by_hand()
    date = _date(view.row.finished)
    filed.embed_file(
        bytes=dossier,
        basename=filed.name + SUFFIX,
        desc="The exact dossier of this receipt",
        creation_date=date,
        modification_date=date,
        mime_type="application/json",
    )
    return bytes(filed.output())


def latin(text: str, most: int = LONGEST) -> str:
    """Text that a core font can set, with `[U+...]` for what it cannot; longer text is cut and says so."""
    cut = len(text) > most
    told = "".join(_letter(character) for character in text[:most])
    return told + " [cut; whole in the attachment]" if cut else told


class Filed(FPDF):
    """The document under construction."""

    def __init__(self, view: ReceiptPage, held: str) -> None:
        super().__init__(format="A4")
        self._view, self._held = view, held
        self.name = "".join(c for c in view.row.id if c.isascii() and c.isalnum())[:18] or "receipt"
        self._id = hashlib.sha256(repr((view, held)).encode()).hexdigest()[:32].upper()
        self.set_creation_date(_date(view.row.finished))
        self.set_title(latin(f"Receipt {view.row.id}"))
        self.set_lang("en")
        self.set_producer("Hallmark")
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, 22)
        self.add_page()

    def file_id(self) -> str:
        """An identifier that follows from the content."""
        return f"<{self._id}><{self._id}>"

    def header(self) -> None:
        """The receipt's id on every page, and HOLD where it holds."""
        self.set_y(10)
        self.set_font("Helvetica", "", 8)
        self.set_text_color(*GREY)
        self.cell(0, 5, latin(f"Receipt {self._view.row.id}", 90))
        if self._held:
            self.set_x(MARGIN)
            self.set_font("Helvetica", "B", 10)
            self.set_text_color(*OCHRE)
            self.cell(0, 5, latin(self._held), align="R")
        self.set_draw_color(*HAIR)
        self.line(MARGIN, 16, self.w - MARGIN, 16)
        self.set_y(MARGIN)

    def footer(self) -> None:
        """Where the exact bytes are, and the page's number."""
        self.set_y(-14)
        self.set_font("Helvetica", "", 8)
        self.set_text_color(*GREY)
        self.cell(0, 5, f"The exact dossier is attached to this file as {self.name}{SUFFIX}")
        self.set_x(MARGIN)
        self.cell(0, 5, f"{self.page_no()} of {{nb}}", align="R")

    def first_page(self) -> None:
        """The sentence and the seven marks."""
        view = self._view
        self._say("Receipt" + (f" ({self._held})" if self._held else ""), style="B", size=18, after=2)
        self._say(view.sentence, size=11, after=1)
        self._say(
            f"Answered {full(view.row.finished)}. Marks as derived {full(view.now)}.", colour=GREY, after=3
        )
        for mark in view.row.marks:
            self._mark(mark)

    def legend(self, site: str) -> None:
        """Where shapes and states are drawn and named."""
        self._say(f"What the seven marks and their ten states mean: {site}/marks", size=9, colour=GREY)

    def _sealed(self) -> None:
        """To which key the request was sealed, if it was, and who could read it all the same."""
        route = self._view.route
        if route.sealed is None:
            return
        how = route.sealed
        exposed = next((hop.exposed for hop in route.hops if hop.role == "node"), "")
        told = (
            f"to a key of configuration {how.configuration}, window {how.window}, suite {how.suite}, in a "
            f"size class of {how.size} bytes, by the enclave's word"
        )
        read = f"; who runs its host could read the prompt all the same: {exposed}" if exposed else ""
        self._row("sealed", f"{told}{read}. That says nothing about the answer.")

    def words(self) -> None:
        """The receipt in words: facts, route, inputs, lineage, what fails."""
        view = self._view
        self._heading("The receipt in words")
        self._rows((fact.name, fact.value) for fact in view.facts)
        self._heading("Route")
        if not view.route.known:
            self._say("No record of the path is known here.")
        for hop in view.route.hops[:MOST]:
            self._row(hop.role, " ".join(part for part in (hop.name, hop.key) if part) + f": {hop.told}")
        self._sealed()
        for one in view.route.left[:MOST]:
            how = "tried, failed" if one.tried else "left out"
            self._row(how, f"{one.node}: {one.sentence} ({one.reason}) {one.doubt}".rstrip())
        self._heading("Inputs")
        self._say(view.inputs_note)
        for put in view.inputs[:MOST]:
            age = f"{span(put.age)} old when the run began" if put.as_of else "age unknown"
            state = "validated" if put.validated else "not re-validated"
            self._row(put.kind, f"{state}, {age}; from {put.source}; content {put.content}")
        self._lineage()
        self._heading("Failures")
        self._say("No failure is recorded here." if not view.failures else "")
        for failure in view.failures[:MOST]:
            self._say(failure)

    def digests(self, data: bytes) -> None:
        """Every field of the receipt, whole."""
        self._heading("The receipt's fields, whole")
        try:
            dossier = Dossier.parse(data)
        except HallmarkError as error:
            self._say(f"The attached file cannot be read as a dossier here ({error.reason}).", colour=OCHRE)
            return
        self._rows([("id", dossier.id), *((n, str(v)) for n, v in dossier.receipt.items())], mono=True)
        self._row("signature", dossier.signature, mono=True)

    def by_hand(self) -> None:
        """How to verify without this page."""
        self._heading("How to verify this")
        for line in BY_HAND:
            self._say(line.replace("{name}", self.name), after=1)

    def _mark(self, mark: ShownMark) -> None:
        if self.get_y() + 26 > self.h - 22:
            self.add_page()
        top = self.get_y()
        draw_mark(self, mark, MARGIN, top + 1, MARK)
        self.set_xy(MARGIN + INDENT, top)
        self.set_font("Helvetica", "B", 10)
        self.set_text_color(*INK)
        self.cell(self.get_string_width(mark.question) + 3, 5, mark.question)
        self.set_text_color(*tone_of(mark))
        words = [word_of(mark.question, mark.state), assurance_word(mark), assertion(mark)]
        self.cell(0, 5, latin("; ".join(word for word in words if word)), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._say(mark.shows, indent=INDENT, size=9)
        self._say(mark.does_not_show, indent=INDENT, size=9, style="I")
        self._say(self._since(mark), indent=INDENT, size=7.5, colour=GREY)
        self.set_y(max(self.get_y(), top + MARK + 2) + 2.5)

    def _since(self, mark: ShownMark) -> str:
        after = mark.since - self._view.row.finished
        parts = [
            f"since {full(mark.since)} ({gap(after)} from the last byte)" if mark.since else "",
            f"by {mark.by}" if mark.by else "",
            f"reason {mark.reason}" if mark.reason else "",
            f"evidence {mark.evidence}" if len(mark.evidence) > 2 else "",
        ]
        return "; ".join(part for part in parts if part)

    def _lineage(self) -> None:
        steps = sorted(self._view.lineage, key=lambda step: step.index)
        self._heading("Lineage of the label")
        if self._view.row.asserted_by:
            self._say(f"None: the model is asserted by {self._view.row.asserted_by} alone.")
            return
        if not steps:
            self._say("No lineage is known here.")
        first = max(0, len(steps) - MOST)
        for number, step in enumerate(steps[first:], first):
            if number and steps[number - 1].artifact != step.artifact:
                self._say(BREAK, style="B", size=9, colour=OCHRE)
            notes = ["named by this receipt"] if step.here else []
            notes += ["pointed to when it was answered"] if step.then else []
            notes += ["pointed to when this page was made"] if step.now else []
            self._row(step.version, "; ".join([f"artifact {step.artifact}", f"log {step.index}", *notes]))

    def _heading(self, text: str) -> None:
        if self.get_y() + 24 > self.h - 22:
            self.add_page()
        self.ln(3)
        self._say(text, style="B", size=12, after=1)

    def _rows(self, rows: Iterable[tuple[str, str]], *, mono: bool = False) -> None:
        for name, value in list(rows)[:MOST]:
            self._row(name, value, mono=mono)

    def _row(self, name: str, value: str, *, mono: bool = False) -> None:
        self.set_font("Helvetica", "", 8.5)
        name = latin(name, 60)
        lines = self.multi_cell(NAME - 2, 4.4, name, align="L", dry_run=True, output=MethodReturnValue.LINES)
        tall = 4.4 * len(lines) if isinstance(lines, list) else 0.0
        if self.get_y() + max(8.0, tall) > self.h - 22:
            self.add_page()
            self.set_font("Helvetica", "", 8.5)
        top = self.get_y()
        self.set_text_color(*GREY)
        self.multi_cell(NAME - 2, 4.4, name, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        below, page = self.get_y(), self.page_no()
        self.set_xy(MARGIN + NAME, top)
        self.set_font("Courier" if mono else "Helvetica", "", 8 if mono else 9)
        self.set_text_color(*INK)
        self.multi_cell(0, 4.4, latin(value) or "-", align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if self.page_no() == page:
            self.set_y(max(below, self.get_y()))

    def _say(
        self,
        text: str,
        *,
        style: str = "",
        size: float = 9.5,
        colour: tuple[int, int, int] = INK,
        indent: float = 0,
        after: float = 0,
    ) -> None:
        if not text:
            return
        self.set_font("Helvetica", style, size)
        self.set_text_color(*colour)
        self.set_x(MARGIN + indent)
        self.multi_cell(0, size * 0.47, latin(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(after)


def _letter(character: str) -> str:
    if character in REPLACED:
        return REPLACED[character]
    if character in "\n\t\r":
        return " "
    if ord(character) < 256 and unicodedata.category(character) not in ("Cc", "Cf"):
        return character
    return f"[U+{ord(character):04X}]"


def _date(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=min(max(0, ms), LONGEST_MS))
