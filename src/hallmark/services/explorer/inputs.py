"""What entered a run from outside. The log holds one root; the records behind it are the owner's."""

from __future__ import annotations

from collections.abc import Sequence

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import hex0x
from hallmark.core.documents import InputRecord
from hallmark.services.explorer.receipt_context import ReceiptContext
from hallmark.services.explorer.shared_views import InputView
from hallmark.verification.tree import root_of

NONE = "The receipt names no attachment, tool result, outside data or memory row."
OWNERS = "Outside inputs entered. The log holds their root {root} alone; the records are the owner's to show."
OTHER = "The records shown are not those that the receipt names (root {root}), so they are left out."
SHOWN = "Shown by their owner; they are those that the receipt names, and they are not re-validated."


def inputs(told: ReceiptContext, records: Sequence[bytes] = ()) -> tuple[tuple[InputView, ...], str]:
    """The inputs as far as they are known, and a sentence on the rest. `records` are the exact `InputRecord`
    documents, where their owner shows them; they count when they hash to the receipt's root.
    """
    root = told.receipt.inputs
    if root == EMPTY_ROOT:
        return (), NONE
    if not records:
        return (), OWNERS.format(root=hex0x(root))
    if root_of(records) != root:
        return (), OTHER.format(root=hex0x(root))
    return tuple(_view(InputRecord.decode(data), told.receipt.started) for data in records), SHOWN


def _view(record: InputRecord, started: int) -> InputView:
    age = max(started - record.as_of, 0) if record.as_of else 0
    return InputView(record.kind, record.source, record.as_of, age, False, record.content)
