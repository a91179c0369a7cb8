"""No surface borrows another mode's words (core/modes.py): rows of the table, and the words of each mode."""

from __future__ import annotations

from typing import Final

from hallmark.apps.web.claims.facts import When
from hallmark.apps.web.claims.rule import Rule

REDONE: Final = (
    r"(answer|run|result|model|output|bits|it) (was|were|is|are|has been|have been) (then )?"
    r"(re-?computed|computed again|re-?run|run again|replayed|reproduced|repeated)|"
    r"(re-?ran|re-?computed|computed|replayed|repeated|reproduced) (the|this|its) "
    r"(answer|run|model|output|result|bits)|"
    r"(the )?same bits|bit for bit|bit-exact(ly)?"
)
"""That the model's arithmetic was done a second time, with the same outcome."""
REPEATABLE: Final = (
    r"(answer|run|result|output|it) can be (re-?computed|computed again|replayed|reproduced|repeated)|"
    r"repeatable|reproducible|deterministic"
)
CAN: Final = r"\bcan (compute|be (re-?computed|computed|replayed|reproduced|repeated|run again))\b"
PROVEN: Final = (
    r"zero[- ]knowledge|zk|zk-?(proofs?|proved|proven|snarks?|starks?|circuits?|verified)|snarks?|starks?|"
    r"(proved|proven) by (a |its )?circuit|proofs? of (the )?(computation|inference|execution|run)"
)
CONFINED: Final = (
    r"(in|inside|within|by|from) (an?|the|its) ((simulated|measured|sealed) )?enclave|"
    r"(an?|the|its) ((simulated|measured) )?enclave (of node \S+ )?(ran|answered|computed|passed|signed)|"
    r"TEEs?|trusted execution( environment)?|hardware evidence|measured enclave"
)

MODES: Final = (
    Rule(
        "no zero knowledge",
        PROVEN,
        "Nothing makes or checks proofs of a computation yet, whatever mode a receipt names.",
    ),
    Rule(
        "mode vanilla: enclave",
        CONFINED,
        "No enclave stands around a vanilla node, and nothing measured its code.",
        When(confinement=("vanilla",)),
    ),
    Rule(
        "mode replay: computed again",
        REDONE,
        "Anybody with artifact and prompt can compute the same bits; that nobody did here stays said.",
        When(mode=("replay",), unreplayed=True),
        unless=(CAN,),
    ),
    Rule(
        "mode of a node: replay",
        f"{REDONE}|{REPEATABLE}",
        "A receipt of this mode says nothing about a second run, and its artifact may not allow one.",
        When(mode=("vanilla", "tee")),
    ),
)
