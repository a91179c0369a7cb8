"""The one error tree.

HallmarkError
├── InvalidInput          what the caller sent cannot be used (HTTP 400)
│   └── TooLarge          it is over a stated limit (413)
├── Unauthorized          the caller is not who it must be (401)
├── NotFound              no such model, receipt, entry (404)
├── Conflict              it contradicts what is already recorded (409)
├── Held                  a policy is not met, so the answer is withheld (412)
├── VerificationFailed    a signature, proof, evidence or binding does not hold (422)
├── RateLimited           more than a quota allows; it says when to come again (429)
└── Unavailable           it cannot be done now: no node, no quorum, no disk (503)

`reason` is a stable code in snake_case, documented in docs/reasons.md; `message` is one plain sentence;
`hint` says what to do next. Neither ever holds content of a request or an answer.

Clients ask again by themselves after 408, 409, 429 and 5xx, and each time is another answer that somebody
makes and pays for. So every error says whether that can help: `retry`, and after how many
seconds at the earliest.
"""

from __future__ import annotations

import re

FRAMES = 6
CAUSES = 4


def class_of(error: BaseException) -> str:
    """The class of an exception as a code: `TimeoutError` is `timeout_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).lower()[:64]


def places_of(error: BaseException, *, frames: int = FRAMES, causes: int = CAUSES) -> str:
    """Where an exception was raised: file and line of the innermost frames, outermost first; after each `+`
    class and places of what it came from, or of the first of a group. No message: it may quote content.
    """
    parts: list[str] = []
    one: BaseException | None = error
    while one is not None and len(parts) <= causes:
        trace, found = one.__traceback__, list[str]()
        while trace is not None:
            found.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        parts.append("/".join(([class_of(one)] if parts else []) + found[-frames:]))
        if isinstance(one, BaseExceptionGroup):
            one = one.exceptions[0]
        else:
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "+".join(parts)


class HallmarkError(Exception):
    """Root of every error that Hallmark raises on purpose."""

    status: int = 500
    retry: bool | None = None
    """Whether asking the same again can help; None: yes for 408, 429 and 503, otherwise no."""
    retry_after: str = ""
    """When, as `Retry-After` says it; empty: after a second."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class InvalidInput(HallmarkError):
    """What the caller sent cannot be used."""

    status = 400


class TooLarge(InvalidInput):
    """What the caller sent is over a stated limit."""

    status = 413


class Unauthorized(HallmarkError):
    """The caller is not who it must be."""

    status = 401


class NotFound(HallmarkError):
    """There is no such thing here."""

    status = 404


class Conflict(HallmarkError):
    """It contradicts what is already recorded."""

    status = 409


class Held(HallmarkError):
    """A policy is not met, so the answer is withheld.

    412 (RFC 9110 section 15.5.13): the condition that the request's own header states does not hold. Not
    409, which many clients take for a lock and ask again: each time another answer would be made and held.
    """

    status = 412


class VerificationFailed(HallmarkError):
    """A signature, proof, evidence or binding does not hold."""

    status = 422


class RateLimited(HallmarkError):
    """More than a quota allows. `retry_after`, and in whole seconds `detail`, say when there is room."""

    status = 429

    def __init__(self, reason: str, message: str, seconds: int) -> None:
        super().__init__(reason, message, f"Send it again in {seconds} s: it was not taken.")
        self.retry_after = str(seconds)
        self.detail: dict[str, object] = {"retry_after": seconds}


class Unavailable(HallmarkError):
    """It cannot be done now."""

    status = 503
