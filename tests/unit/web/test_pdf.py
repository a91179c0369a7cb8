"""The receipt as a PDF: exact attachment, same bytes for the same input, words that follow the marks."""

from __future__ import annotations

import asyncio
import io
import zlib
from functools import cache

import msgspec
import pytest
from fpdf import FPDF
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from pypdf.generic import NullObject

from hallmark.apps.web.claims import Facts, of_text, violations
from hallmark.apps.web.marks import word_of
from hallmark.apps.web.pdf import latin, receipt_pdf
from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge
from hallmark.core.marks import Question, State
from hallmark.services.explorer.views import ReceiptPage
from hallmark.services.sdk import pdf
from hallmark.services.sdk.pdf import attached_dossier
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.testing.scene import Scene
from hallmark.testing.scene_explorer import SceneExplorer
from hallmark.testing.scene_parts import item_id
from hallmark.verification.dossier import Dossier

STATES = tuple(state.value for state in State)
BAD = Scene(
    marks={
        "ran": "revoked",
        "model": "witnessed",
        "route": "disputed",
        "inputs": "stale",
        "proved": "anchored",
    },
    memory=True,
    relabelled=True,
)


@cache
def dossier() -> bytes:
    """A real dossier of a little network."""
    network = LittleNetwork()
    answer = network.answer(network.nodes[0])
    index = network.add(answer.entry)
    return Notary(network).dossier(answer, index).encode()


def page(scene: Scene) -> ReceiptPage:
    """The receipt page of a scene."""
    return asyncio.run(SceneExplorer(scene).receipt(item_id()))


def text_of(pdf: bytes) -> str:
    """What is written on all pages, line by line."""
    return "\n".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(pdf)).pages)


def paragraphs(flat: str, view: ReceiptPage) -> list[str]:
    """Flowing text of the first page, cut before each mark, without the sentences that the view gave: those
    are the verifier's, and tested there.
    """
    for mark in view.row.marks:
        flat = flat.replace(mark.shows, "", 1)
        start = f"{mark.question} {word_of(mark.question, mark.state)}"
        flat = flat.replace(start, "\n" + start, 1)
    return flat.split("\n")


def test_the_attachment_is_the_exact_dossier() -> None:
    """The very bytes come out again, and they are a dossier."""
    made = receipt_pdf(page(Scene()), dossier(), "HOLD")
    assert attached_dossier(made) == dossier()
    assert Dossier.parse(attached_dossier(made)).encode() == dossier()


def test_the_same_input_gives_the_same_bytes() -> None:
    """No clock and no randomness is in the file; another input gives other bytes."""
    assert receipt_pdf(page(BAD), dossier(), "HOLD") == receipt_pdf(page(BAD), dossier(), "HOLD")
    assert receipt_pdf(page(BAD), dossier(), "HOLD") != receipt_pdf(page(Scene()), dossier(), "HOLD")


def test_hold_stands_on_every_page() -> None:
    """An export out of HOLD says so on each sheet; one that is not held never says it."""
    held = PdfReader(io.BytesIO(receipt_pdf(page(BAD), dossier(), "HOLD")))
    assert len(held.pages) > 1
    assert all("HOLD" in sheet.extract_text() for sheet in held.pages)
    clear = Scene(marks={"proved": "witnessed"}, state="CLEAR")
    quiet = msgspec.structs.replace(page(clear), timeline=())
    assert "HOLD" not in text_of(receipt_pdf(quiet, dossier(), ""))


def test_digests_are_whole_and_every_field_is_there() -> None:
    """Each field of the receipt stands in the file with its whole value."""
    opened = Dossier.parse(dossier())
    told = text_of(receipt_pdf(page(Scene()), dossier(), "HOLD"))
    for name, value in {**opened.receipt, "id": opened.id}.items():
        assert name in told
        assert str(value) in told


@pytest.mark.parametrize("turn", range(len(STATES)))
def test_the_words_follow_the_marks(turn: int) -> None:
    """Each mark in each state: its word, its counter-sentence, nothing that the table of claims forbids."""
    states = {question.value: STATES[(turn + at) % len(STATES)] for at, question in enumerate(Question)}
    view = page(Scene(marks=states, memory=True))
    flat = " ".join(text_of(receipt_pdf(view, dossier(), "HOLD")).split())
    for mark in view.row.marks:
        assert mark.state == states[mark.question]
        assert f"{mark.question} {word_of(mark.question, mark.state)}" in flat
        assert mark.does_not_show in flat
    assert ("simulated" in flat) == any(mark.assurance == "simulated" for mark in view.row.marks)
    facts = Facts.of(view.row.marks, path="plain", preserved=True, item="HOLD")
    lines = "\n".join(paragraphs(flat.split("The receipt in words")[0], view))
    assert violations({"-": facts}, of_text("pdf", lines)) == ()


def test_a_provider_that_asserts_shows_no_artifact() -> None:
    """The label stands beside who asserts it, and no lineage of ours is drawn for it."""
    view = msgspec.structs.replace(page(Scene(asserted_by="api.example")), lineage=page(BAD).lineage)
    told = " ".join(text_of(receipt_pdf(view, dossier(), "HOLD")).split())
    assert "asserted by api.example" in told
    assert "new artifact under the same label" not in told
    assert all(step.artifact not in told for step in view.lineage)


def test_a_new_artifact_and_an_old_row_are_said() -> None:
    """The break of the lineage and the age of what nobody validated again are on paper too."""
    told = " ".join(text_of(receipt_pdf(page(BAD), dossier(), "HOLD")).split())
    assert "new artifact under the same label" in told
    assert "not re-validated, 90 days old" in told


@pytest.mark.parametrize(
    "poison",
    [
        "<script>alert(1)</script>",
        "(unbalanced \\ ) Tj",
        "\u4e2d\u6587 \U0001f600",
        "\x00\u202e\n\n",
        "x" * 1_200,
    ],
)
def test_odd_text_changes_words_only(poison: str) -> None:
    """Text of others cannot break the file, add an attachment or an action, or vanish without a trace."""
    made = receipt_pdf(page(Scene(poison=poison)), dossier(), "HOLD")
    assert attached_dossier(made) == dossier()
    reader = PdfReader(io.BytesIO(made), strict=True)
    opens = reader.trailer["/Root"]["/OpenAction"]
    assert opens[1:] == ["/FitH", NullObject()]
    assert not any("/Annots" in sheet for sheet in reader.pages)
    assert len(reader.attachments) == 1


def test_what_a_core_font_cannot_set_is_written_as_its_number() -> None:
    """Nothing is dropped silently: what Latin-1 lacks is named, what is long says that it is cut."""
    assert latin("\u4e2d\u202e") == "[U+4E2D][U+202E]"
    assert latin("\u2026 caf\u00e9 \u2212") == "... caf\u00e9 -"
    assert latin("y" * 3_000).endswith("[cut; whole in the attachment]")


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
def test_every_text_becomes_latin(text: str) -> None:
    """Whatever the text, a core font can set what comes out."""
    assert latin(text).encode("latin-1").decode("latin-1") == latin(text)


def test_a_file_that_is_no_dossier_is_named_so() -> None:
    """The page is still made, and says that the attachment cannot be read."""
    made = receipt_pdf(page(Scene()), b'{"format": "none"}', "HOLD")
    assert "cannot be read as a dossier" in text_of(made)


def other_pdf(*files: tuple[str, bytes], compress: bool = False) -> bytes:
    """A PDF by somebody else with attachments."""
    made = FPDF()
    made.add_page()
    for name, data in files:
        made.embed_file(bytes=data, basename=name, compress=compress)
    return bytes(made.output())


def test_a_deflated_attachment_is_read() -> None:
    """Other programs deflate what they store."""
    assert (
        attached_dossier(other_pdf(("a.txt", b"no"), ("r.hallmark.json", b"{}" * 99), compress=True))
        == b"{}" * 99
    )


@pytest.mark.parametrize(
    ("pdf", "reason"),
    [
        (b"", "bad_pdf"),
        (b"%PDF-1.7\n", "bad_pdf"),
        (b"not a pdf", "bad_pdf"),
        (other_pdf(), "no_attached_dossier"),
        (other_pdf(("r.json", b"{}")), "no_attached_dossier"),
        (other_pdf(("a.hallmark.json", b"1"), ("b.hallmark.json", b"2")), "several_attached_dossiers"),
        (other_pdf(*((f"{n}.txt", b"1") for n in range(40))), "bad_pdf"),
    ],
)
def test_other_files_are_refused_with_a_reason(pdf: bytes, reason: str) -> None:
    """No attachment, two that could be meant, or no PDF at all."""
    with pytest.raises(InvalidInput) as refused:
        attached_dossier(pdf)
    assert refused.value.reason == reason


def test_what_comes_out_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a large file nor a small one that inflates to a large one is taken."""
    monkeypatch.setattr(pdf, "MAX_ATTACHED", 10_000)
    bomb = other_pdf(("r.hallmark.json", b"0" * 50_000_000), compress=True)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        attached_dossier(bomb)
    monkeypatch.setattr(pdf, "MAX_PDF", 100)
    with pytest.raises(TooLarge):
        attached_dossier(other_pdf(("r.hallmark.json", b"{}")))


def test_a_damaged_file_gives_the_dossier_or_a_reason() -> None:
    """Any single byte changed: a file comes out, which is verified like any other, or a reason; no crash."""
    made = bytearray(other_pdf(("r.hallmark.json", zlib.compress(b"{}") * 20)))
    reasons = set()
    for at in range(0, len(made), 3):
        changed = bytes(made[:at]) + bytes([made[at] ^ 0x15]) + bytes(made[at + 1 :])
        try:
            attached_dossier(changed)
        except HallmarkError as error:
            reasons.add(error.reason)
    assert reasons == {"bad_pdf", "no_attached_dossier"}
