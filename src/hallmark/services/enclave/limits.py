"""How large and how long: limits of an enclave unless its configuration says otherwise.

docs/operate.md has those of every service, in order: what is inside ends before what is around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hallmark.core.sealing import GRACE_MS

BODY_BYTES: Final = 16 * 1024 * 1024
ANSWER_MS: Final = 570_000
"""`request_ms`: a whole answer. Below the 600 s after which OpenAI's clients give up, and ask again."""
SEALING_EVERY_MS: Final = 6 * 3600 * 1000
"""`sealing_every_ms`: how long a key opens sealed requests. Whoever takes the enclave's memory learns what
was sealed to the keys that it holds then.
"""
SEALING_WINDOWS: Final = 28
"""`sealing_windows`: how many keys there are, one after the other; 7 days of them. All are made at the
start, so more of them make it longer, by 0.3 ms each. 0: nothing sealed is taken.
"""
SEALING_GRACE_MS: Final = GRACE_MS - 5_000
"""`sealing_grace_ms`: a key opens from so long before its window until so long after it. Full nodes allow a
little more, because an answer starts a moment after its request was opened.
"""
MARGIN_MS: Final = 30_000
"""An upstream may be silent for so much less than an answer may take."""

KEEP_ALIVE_MS: Final = 15_000
"""A stream with nothing to say gets a comment after so long."""


def told(limits: Mapping[str, int]) -> dict[str, int]:
    """What an enclave tells whoever waits for it: the limits that theirs have to be above, in ms."""
    return {"request_ms": limits.get("request_ms", ANSWER_MS), "keep_alive_ms": KEEP_ALIVE_MS}


def silence_s(limits: Mapping[str, int]) -> float:
    """Seconds for which an upstream may say nothing: less than an answer may take, whatever is configured."""
    whole = limits.get("request_ms", ANSWER_MS)
    most = max(whole - MARGIN_MS, whole / 2)
    return min(limits.get("upstream_ms", most), most) / 1000
