"""How a sealed question ends when it cannot be asked, or its answer does not hold.

`NothingSent` and `NotReached` are raised before anything of the question has left this machine in a form that
anybody but the enclave could read, and say so. `AnswerBroken` ends an answer that had begun. None of them is
ever followed by asking the plain way.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import Unavailable, VerificationFailed

CLEAR: Final = "Nothing was sent in clear, and nothing will be."


class NothingSent(VerificationFailed):
    """What the relay and the gateway showed of a node does not hold, so nothing was sealed to it."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(reason, message, f"{hint} {CLEAR}".lstrip())


class NotReached(Unavailable):
    """The question could not be delivered, or its answer did not come."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(reason, message, f"{hint} {CLEAR}".lstrip())


class Lost(NotReached):
    """The answer did not come, or not whole. The enclave may have begun: asking again is another answer."""

    retry = False


class AnswerBroken(VerificationFailed):
    """What came back is not the answer of the enclave that the question was sealed to."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(reason, message, f"{hint or 'Keep nothing of it.'} {CLEAR}")
