"""How a full node stands with its log, and whether it does its job: cosign what grows, or say why not.

It is told what happens, each time with `now` (unix ms), and keeps the last of each kind. A refusal counts
once refusals have gone on for `quiet_ms` without a cosignature between them: owing an objection for a moment
is part of the work. An idle log asks nobody, so silence counts only while the log has more than was cosigned;
`looking` finds out whether it has.
"""

from __future__ import annotations

from hallmark.http.health import Behind, Health, lasted

ASKED_AGAIN = "old_size_differs"
"""How a log that was started again learns where a witness is: no refusal."""


class LogRelation:
    """See the module docstring."""

    def __init__(self, quiet_ms: int) -> None:
        self._quiet_ms = quiet_ms
        self.asked_at = 0
        self.cosigned_at = 0
        self.cosigned_size = 0
        self.refusal = ""
        self._refusing_since = 0
        self._silent_since = 0
        self._log_size = 0
        self._behind = Behind()

    def cosigned(self, size: int, now: int) -> None:
        """A checkpoint of `size` was cosigned."""
        self.asked_at = self.cosigned_at = now
        self.cosigned_size = max(self.cosigned_size, size)
        self.refusal, self._refusing_since, self._silent_since = "", 0, 0
        self._behind.see(self._log_size, self.cosigned_size, now)

    def refused(self, reason: str, now: int) -> None:
        """The log asked, and was refused with this reason code."""
        self.asked_at, self._silent_since = now, 0
        if reason == ASKED_AGAIN:
            return
        if not self.refusal or now < self._refusing_since:
            self._refusing_since = now
        self.refusal = reason

    def log_has(self, size: int, now: int) -> None:
        """The log said of itself that it has `size` entries."""
        self._silent_since, self._log_size = 0, size
        self._behind.see(size, self.cosigned_size, now)

    def log_silent(self, now: int) -> None:
        """The log could not be asked."""
        if not self._silent_since or now < self._silent_since:
            self._silent_since = now

    def health(self, now: int) -> Health:
        """Ready while it cosigns what grows, or nothing grows."""
        refusing = now - self._refusing_since
        if self.refusal and refusing >= self._quiet_ms:
            told = f"It has refused every checkpoint for {lasted(refusing)}; it cosigned {self._last(now)}."
            return Health("degraded", self.refusal, self._refusing_since, told)
        silent = now - self._silent_since
        if self._silent_since and silent >= self._quiet_ms:
            return Health("degraded", "log_unreachable", self._silent_since, f"For {lasted(silent)}.")
        behind = self._behind.lasts(now)
        if not self.refusal and behind >= self._quiet_ms and not 0 <= now - self.asked_at < self._quiet_ms:
            told = (
                f"The log grew and has not asked it to cosign for {lasted(behind)}; "
                f"it cosigned {self._last(now)}."
            )
            return Health("degraded", "not_asked", now - behind, told)
        return Health("ready")

    def _last(self, now: int) -> str:
        if not self.cosigned_at:
            return "nothing since its start"
        return f"{self.cosigned_size} entries, {lasted(now - self.cosigned_at)} ago"
