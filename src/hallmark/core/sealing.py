"""What client, enclave, full nodes and verifiers agree on about sealed requests: suites and windows."""

from __future__ import annotations

import re
from typing import Final

from hallmark.core.documents import Sealing

KEMS: Final = {0x0020: "x25519", 0x647A: "x-wing"}
KDFS: Final = {0x0001: "hkdf-sha256"}
AEADS: Final = {0x0001: "aes-128-gcm", 0x0003: "chacha20-poly1305"}
SUITES: Final = {
    (kem, kdf, aead): "/".join((KEMS[kem], KDFS[kdf], AEADS[aead]))
    for kem in KEMS
    for kdf in KDFS
    for aead in AEADS
}
"""HPKE suites by their code points (RFC 9180, draft-ietf-hpke-pq), as route records name them."""
SUITE_NAMES: Final = frozenset(SUITES.values())
GRACE_MS: Final = 120_000
"""The keys of a window live so much longer, for requests that are on their way."""
RELAY_LENGTH: Final = 200
"""How long the relay's address in a route record may be, in characters."""
_PRINTED: Final = re.compile(r"[!-~]*")
_ADDRESS: Final = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"
)


def relay_address(text: str) -> str:
    """The relay as a surface may name it: an http(s) address, or "". What a client calls a relay is any text,
    and a text that is no address could be read as a claim.
    """
    return text if _ADDRESS.fullmatch(text) else ""


def is_relay(text: str) -> bool:
    """Whether a route record may name a relay so: "" (unknown), or printable ASCII without spaces."""
    return len(text) <= RELAY_LENGTH and _PRINTED.fullmatch(text) is not None


def window_at(sealing: Sealing, at: int) -> int | None:
    """The window at a time (unix ms); None before the first, and after the last one."""
    if sealing.every == 0 or at < sealing.since:
        return None
    window = (at - sealing.since) // sealing.every
    return window if window < sealing.count else None


def covers(sealing: Sealing, window: int, at: int) -> bool:
    """Whether a request that was sealed to this window's keys may have been started at this time (unix ms),
    give or take GRACE_MS.
    """
    begin = sealing.since + window * sealing.every
    return 0 <= window < sealing.count and begin - GRACE_MS <= at < begin + sealing.every + GRACE_MS
