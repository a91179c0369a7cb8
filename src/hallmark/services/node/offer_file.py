"""The owner's price offer, a file that a person or a program replaces while the node runs.

It holds the exact log entry of a PriceOffer with its document. The enclave judges it; the host only brings
it, at each start and when the file has changed, and reads in it which vault the money comes through.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.money import Offer
from hallmark.core.statements import PriceOffer
from hallmark.services.enclave import control
from hallmark.telemetry.logs import get_logger

MOST: Final = 128 * 1024


class Taken(msgspec.Struct, frozen=True):
    """What of x402 can be settled here, as `control.Terms` says it: nothing."""

    sender: bytes = b""
    withdraw_delay: int = 0
    permit2: bool = False


NOTHING: Final = Taken()


class OfferFile:
    """`look` now and then: it costs one question to the file system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[object, ...] | None = None
        self._handed: Offer | None = None
        self.offer: Offer | None = None
        """The newest that the enclave took, in this process's life."""
        self.digest = b""
        """Of the offer that the enclave goes by; empty for none."""
        self.problem = ""
        """Why the newest file does not count, a reason code."""

    def forget(self) -> None:
        """Another enclave begins: it knows no offer."""
        self._seen, self.digest = None, b""

    def look(self, say: Callable[[control.Terms], None], taken: Taken = NOTHING) -> None:
        """Say the offer to the enclave if the file is another one than at the last look, or something else
        of x402 can be `taken`.
        """
        try:
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns, taken)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                entry = file.read(MOST)
            self._handed = read_offer(entry)
        except OSError:
            self._seen, self.problem = None, "offer_missing"
            return
        except HallmarkError as error:
            self._refused(error.reason)
            self._seen = seen
            return
        self._seen = seen
        say(control.Terms(entry, taken.sender, taken.withdraw_delay, taken.permit2))

    def taken(self, message: control.TermsTaken) -> None:
        """The enclave's word about the newest offer."""
        self.digest = message.offer
        if not message.reason:
            self.offer = self._handed
        self._refused(message.reason)

    def status(self) -> dict[str, str]:
        """As /healthz shows it."""
        return {"digest": hex0x(self.digest) if self.digest else "", "problem": self.problem}

    def _refused(self, reason: str) -> None:
        if reason and reason != self.problem:
            get_logger().error("offer_refused", reason=reason)
        self.problem = reason


def read_offer(entry: bytes) -> Offer:
    """The offer in a log entry, as it stands there: nobody checked it.

    Raises InvalidInput `offer_unreadable`, `bad_entry`, `bad_document`.
    """
    found = decode(entry)
    if not isinstance(found.statement, PriceOffer) or len(found.attachments) != 1:
        raise InvalidInput("offer_unreadable", "This is no log entry of a price offer with its document.")
    return Offer.decode(found.attachments[0])
