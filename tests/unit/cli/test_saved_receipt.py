"""A saved receipt opened from a terminal: only the item's own, and nothing that a terminal obeys."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli
from hallmark.apps.cli.saved_receipt import opened, printable, text_of
from hallmark.core.errors import HallmarkError
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.verification.dossier import Dossier, ResponseCopy, Salts


@pytest.fixture
def dossier() -> Dossier:
    """A saved receipt with request and answer."""
    net = LittleNetwork()
    return Notary(net).dossier(net.answer(net.nodes[0]), None)


def saved(folder: Path, dossier: Dossier) -> Path:
    """The file."""
    path = folder / "r.json"
    path.write_bytes(dossier.encode())
    return path


def test_the_items_own_receipt_is_shown(tmp_path: Path, dossier: Dossier) -> None:
    """Request and answer to the byte, when every digest is the item's."""
    found = opened(dossier.id, saved(tmp_path, dossier))
    assert dossier.request is not None
    assert dossier.response is not None
    assert (found.request, found.answer) == (dossier.request.body, dossier.response.body)
    done = CliRunner().invoke(cli, ["review", "open", dossier.id, str(tmp_path / "r.json")])
    assert (done.exit_code, "The digests are those" in done.output) == (0, True)


def test_anything_else_is_refused(tmp_path: Path, dossier: Dossier) -> None:
    """Another item, another answer, a receipt without its content: each says which it is."""
    replace = msgspec.structs.replace
    other = replace(dossier, response=ResponseCopy("another answer"))
    bare = replace(dossier, request=None, response=None, salts=Salts(None, None))
    for item, given, reason in (
        ("0x" + "00" * 32, dossier, "other_receipt"),
        (dossier.id, other, "response_mismatch"),
        (dossier.id, bare, "content_missing"),
    ):
        with pytest.raises(HallmarkError, match=reason):
            opened(item, saved(tmp_path, given))


def test_a_terminal_obeys_nothing_in_an_answer() -> None:
    """Escape sequences and direction marks are shown as their numbers."""
    assert printable("a\x1b[2J\u202eb\nc\r") == "a[U+001B][2J[U+202E]b\nc[U+000D]"


def test_the_text_of_an_answer_is_taken_out() -> None:
    """Of a JSON answer, of a stream, and nothing of what is no answer."""
    stream = (
        'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        'data: {"choices":[{"delta":{"content":"Sev"}}]}\n\n'
        'data: {"choices":[{"delta":{"content":"en."}}]}\n\n'
        'data: {"choices":[],"usage":{}}\n\n'
    )
    assert text_of(stream) == "Seven."
    assert text_of('{"choices":[{"message":{"content":"Seven."}}]}') == "Seven."
    assert text_of('{"choices":[{"message":{"content":null}}]}') == ""
    assert text_of("data: no\n\n") == text_of("{") == ""
