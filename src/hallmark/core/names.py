"""Names that others give themselves, as surfaces show them.

A gateway, a node, a reviewer is called what its owner wrote. A page that shows "verified by TEE" beside a key
has said so, whoever wrote it. So a name with a word of a claim in it is not shown: its key is.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 64
_CLAIMS: Final = re.compile(
    r"(?<![a-z])(?:secur\w*|safe\w*|trust\w*|guarant\w*|verif\w*|attest\w*|certif\w*|confiden\w*|approv\w*|"
    r"prov(?:en|ed|es)|witnessed|anchored|check(?:ed|s)|review(?:ed|s)|settled|final\w*|sealed|encrypt\w*|"
    r"privat\w*|privacy|anonym\w*|hardware|enclaves?|tees?|tdx|sev|sgx|nitro|end-to-end|e2ee?|on-?chain|"
    r"official|endorsed|vetted|authentic\w*|genuine|correct|accurate|right|best|"
    r"rejected|cleared|overall|score\w*|rat(?:ed|ing)s?|paid|up|healthy|ok|100 ?%)(?![a-z])",
    re.IGNORECASE,
)


def claims_nothing(name: str) -> bool:
    """Whether a name is only a name: short, printable, without a word of a claim or a sign of approval."""
    plain = len(name) <= LONGEST and name.isprintable() and name.isascii()
    return plain and not _CLAIMS.search(name.replace("_", " "))


def shown_name(name: str) -> str:
    """The name as surfaces show it; "" for one that claims something, and then the key stands there."""
    return name if claims_nothing(name) else ""
