"""How large and how long: limits of an enclave unless its configuration says otherwise.

docs/operate.md has those of every service, in order: what is inside ends before what is around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BODY_BYTES: Final = 16 * 1024 * 1024
ANSWER_MS: Final = 570_000
"""`request_ms`: a whole answer. Below the 600 s after which OpenAI's clients give up, and ask again."""
MARGIN_MS: Final = 30_000
"""An upstream may be silent for so much less than an answer may take."""


def silence_s(limits: Mapping[str, int]) -> float:
    """Seconds for which an upstream may say nothing: less than an answer may take, whatever is configured."""
    whole = limits.get("request_ms", ANSWER_MS)
    most = max(whole - MARGIN_MS, whole / 2)
    return min(limits.get("upstream_ms", most), most) / 1000
