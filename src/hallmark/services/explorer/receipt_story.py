"""The story of one receipt, as the explorer's receipt page and the desk's item page tell it alike.

    told = of_logged(watch.judge.logged(index))      or of_pending(tail receipt)
    facts(watch, told), timeline(watch, told), route(watch, told), inputs(told), lineage(watch, told)

Each is a function of what was followed so far; none of them asks another machine.
"""

from __future__ import annotations

from hallmark.services.explorer.facts import facts
from hallmark.services.explorer.inputs import inputs
from hallmark.services.explorer.lineage import lineage, moved
from hallmark.services.explorer.receipt_context import (
    ReceiptContext,
    asserted_by,
    label,
    of_logged,
    of_pending,
)
from hallmark.services.explorer.routes import route, saw_prompt
from hallmark.services.explorer.timeline import timeline

__all__ = [
    "ReceiptContext",
    "asserted_by",
    "facts",
    "inputs",
    "label",
    "lineage",
    "moved",
    "of_logged",
    "of_pending",
    "route",
    "saw_prompt",
    "timeline",
]
