"""docs/formats.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from hallmark.core import documents
from hallmark.core.document import Document
from hallmark.core.entries import STATEMENTS, Kind
from hallmark.core.receipt import Receipt
from hallmark.core.statements import AnchoredCheckpoint, SignIn, Ticket
from hallmark.verification.trust import FORMAT, Trust

TEXT = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()


def test_statement_sizes_and_fields_are_documented() -> None:
    """Each statement stands in the table with its packed size and its fields in order."""
    for cls in (*STATEMENTS.values(), Ticket, AnchoredCheckpoint, SignIn):
        fields = "below" if cls is Receipt else ", ".join(field.wire for field in cls.fields())
        assert f"| `{cls.NAME}` | {cls.packed_size()} | {fields} |" in TEXT


def test_receipt_offsets_are_documented() -> None:
    """Each receipt field stands with its offset and size."""
    at = 0
    for field in Receipt.fields():
        assert re.search(rf"^\| {at} \| {field.size} \| {field.wire} \|", TEXT, re.MULTILINE), field.wire
        at += field.size


def test_every_document_and_kind_is_documented() -> None:
    """Each document stands with its tag, each entry kind with its number."""
    for cls in vars(documents).values():
        if isinstance(cls, type) and issubclass(cls, Document) and cls.TAG:
            assert f"| `{cls.__name__}` | `{cls.TAG}` |" in TEXT
    for kind in Kind:
        assert f"| {int(kind)} | {STATEMENTS[kind].NAME} |" in TEXT


def test_every_member_of_the_trust_file_is_documented() -> None:
    """Each top-level name of trust.toml stands in its section."""
    section = TEXT[TEXT.index("## The trust file") :]
    assert FORMAT in section
    for name in Trust.__struct_fields__:
        assert re.search(rf"(?<![a-z_]){name}(?![a-z_])", section), name
