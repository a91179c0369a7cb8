"""Plain words of the explorer: reasons that routing gives, modes, durations, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from hallmark.core.modes import NAMES
from hallmark.core.receipt import Mode
from hallmark.verification.reasons import REASONS

ROUTING: Final[Mapping[str, str]] = {
    "bundle_missing": "It has registered no key bundle.",
    "compromised": "Its key is not to be believed any more.",
    "retired": "It has left the network.",
    "superseded": "A newer key of the same owner answers at the same address.",
    "faulted": "It was caught contradicting itself.",
    "model_not_offered": "It does not offer this model.",
    "artifact_not_held": "It does not run the artifact that the request was pinned to.",
    "mode_not_offered": "It does not answer in the mode that was asked for.",
    "evidence_missing": "It needs evidence of its code and has none.",
    "evidence_rejected": "Its evidence does not hold.",
    "evidence_stale": "Its evidence is too old, or would be before an answer is done.",
    "measurement_revoked": "Its image is no longer accepted.",
    "assurance_too_low": "Its evidence is of a lower assurance than was asked for.",
    "not_reachable": "It could not be reached shortly before.",
    "at_capacity": "It had no free slot.",
    "node_busy": "It said that it had no free slot.",
    "connect_failed": "It could not be reached.",
    "connection_lost": "It closed the connection before it answered.",
    "timed_out": "It gave no answer in time.",
    "pin_mismatch": "It showed another TLS key than its bundle names.",
    "bad_http": "It answered with something that is not HTTP.",
    "pool_exhausted": "The gateway had no connection left for it.",
    "node_failed": "It failed before it answered.",
}
FAILED: Final[Mapping[str, str]] = {
    "no_node": "No node could serve it.",
    "answer_lost": "The node stopped before its answer was complete.",
    "answer_unsigned": "The answer carried no receipt that could be read, so it was not passed on.",
    "held": "A policy withheld the answer.",
    "gateway_starting": "The gateway had not caught up with the log.",
    "log_distrusted": "The log broke its own rules, so nothing is routed by it.",
    "model_not_found": "No such model is published.",
    "store_full": "The gateway's disk was full.",
}
MODES: Final[Mapping[int, str]] = {
    Mode.VANILLA: "vanilla: no enclave, nothing measured the code",
    Mode.TEE: "tee: in an enclave whose image evidence names",
    Mode.REPLAY: "replay: the run can be repeated bit for bit; nobody did so here",
    Mode.ZKML: "zkml: no proof of the run is understood here",
}


def mode(number: int) -> str:
    """A mode's name; "unknown" for numbers that are none."""
    return NAMES.get(number, "unknown")


def mode_told(number: int) -> str:
    """A mode with what it means."""
    return MODES.get(number, f"unknown mode {number}")


def routing(reason: str) -> str:
    """Why a node was left out or passed over; the code itself where it is not known here."""
    found = ROUTING.get(reason)
    if found is None and reason in REASONS:
        return REASONS[reason].sentence
    return found or f"Reason {reason}."


def failure(reason: str) -> str:
    """Why a request failed."""
    return FAILED.get(reason) or ROUTING.get(reason) or f"Reason {reason}."


def lasted(ms: int) -> str:
    """A duration, e.g. `18 ms`, `1.9 s`, `3 min`, `5 h`, `2 days`."""
    if abs(ms) < 1_000:
        return f"{ms} ms"
    seconds = ms / 1_000
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    for unit, size in (("min", 60), ("h", 3_600)):
        if abs(seconds) < size * (60 if unit == "min" else 48):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def count(number: int, noun: str) -> str:
    """A number with its noun, `1 entry`, `1,204 entries`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"
    return f"{number:,} {plural}"


def moment(at: int) -> str:
    """A time inside a sentence, in UTC."""
    return datetime.fromtimestamp(at // 1_000, UTC).strftime("%H:%M:%S UTC on %d %b %Y")
