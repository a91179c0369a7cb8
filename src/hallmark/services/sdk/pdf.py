"""Reading the dossier that a filed PDF carries.

The PDF is a stranger's: only its list of embedded files is followed, one level deep, and nothing else of it
is read. What comes out is not believed either; it goes to `verification.dossier.Dossier.parse` like any file.
"""

from __future__ import annotations

import io
import zlib
from typing import Any, Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

from hallmark.core.errors import InvalidInput, TooLarge

SUFFIX: Final = ".hallmark.json"
MAX_ATTACHED: Final = 64 << 20
MAX_PDF: Final = MAX_ATTACHED + (16 << 20)
MAX_FILES: Final = 16


def attached_dossier(pdf: bytes) -> bytes:
    """The bytes of a PDF's one attachment (ISO 32000-2 section 7.11.4) whose name ends in `.hallmark.json`.

    Raises TooLarge `pdf_too_large`, InvalidInput `bad_pdf`, `no_attached_dossier`,
    `several_attached_dossiers`.
    """
    if len(pdf) > MAX_PDF:
        raise TooLarge("pdf_too_large", f"A filed receipt has at most {MAX_PDF} bytes.")
    if not pdf.startswith(b"%PDF-"):
        raise InvalidInput("bad_pdf", "This is not a PDF.")
    try:
        return _content(_only(_attached(PdfReader(io.BytesIO(pdf), strict=True))))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise InvalidInput("bad_pdf", "This PDF cannot be read.", type(error).__name__) from error


def _only(found: list[DictionaryObject]) -> DictionaryObject:
    if not found:
        raise InvalidInput("no_attached_dossier", f"No file named *{SUFFIX} is attached to this PDF.")
    if len(found) > 1:
        raise InvalidInput(
            "several_attached_dossiers", "More than one dossier is attached: which one is meant?"
        )
    return found[0]


def _attached(reader: PdfReader) -> list[DictionaryObject]:
    """File specifications of the attachments with the name of a dossier."""
    if reader.is_encrypted:
        raise InvalidInput("bad_pdf", "This PDF is encrypted.")
    names = _dictionary(_dictionary(reader.trailer["/Root"]).get("/Names"))
    files = _dictionary(names.get("/EmbeddedFiles"))
    listed = _resolved(files.get("/Names"))
    if "/Kids" in files or (listed is not None and not isinstance(listed, ArrayObject)):
        raise InvalidInput("bad_pdf", "This PDF's list of attachments has an unusual shape.")
    pairs = list(listed or ())
    if len(pairs) > 2 * MAX_FILES:
        raise InvalidInput("bad_pdf", f"A filed receipt has at most {MAX_FILES} attachments.")
    specifications = [_dictionary(spec) for spec in pairs[1::2]]
    return [spec for spec in specifications if str(spec.get("/UF", spec.get("/F", ""))).endswith(SUFFIX)]


def _content(spec: DictionaryObject) -> bytes:
    """The attachment's bytes, stored or deflated; never more than the bound."""
    stream = _resolved(_dictionary(spec.get("/EF")).get("/F"))
    if not isinstance(stream, StreamObject):
        raise InvalidInput("bad_pdf", "The attachment has no content.")
    held, filtered = bytes(stream._data), _resolved(stream.get("/Filter"))
    if isinstance(filtered, ArrayObject):
        filtered = filtered[0] if len(filtered) == 1 else "several"
    if filtered is None:
        data = held
    elif filtered == "/FlateDecode" and stream.get("/DecodeParms") is None:
        data = _inflated(held)
    else:
        raise InvalidInput("bad_pdf", "The attachment is neither stored nor deflated.")
    if len(data) > MAX_ATTACHED:
        raise TooLarge("pdf_too_large", f"An attached dossier has at most {MAX_ATTACHED} bytes.")
    return data


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        told = inflater.decompress(data, MAX_ATTACHED + 1)
    except zlib.error as error:
        raise InvalidInput("bad_pdf", "The attachment cannot be inflated.") from error
    if len(told) <= MAX_ATTACHED and not inflater.eof:
        raise InvalidInput("bad_pdf", "The attachment is cut off.")
    return told


def _resolved(value: Any) -> Any:
    return value.get_object() if hasattr(value, "get_object") else value


def _dictionary(value: Any) -> DictionaryObject:
    found = _resolved(value)
    return found if isinstance(found, DictionaryObject) else DictionaryObject()
