"""The host's part in how a node is paid: it keeps the journal, brings the offer, speaks with the chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.services.enclave import control
from hallmark.services.node.journal_file import JournalFile
from hallmark.services.node.offer_file import OfferFile
from hallmark.services.node.settings import Payments
from hallmark.store.urls import parse_url
from hallmark.telemetry.logs import get_logger

Say = Callable[[control.ToEnclave], None]
"""Brings a message to the enclave that runs, if there is one."""


def journal_path(settings: Payments, database: str) -> Path:
    """Where the journal is: what the settings say, else beside the node's SQLite file.

    Raises InvalidInput `bad_settings`.
    """
    if settings.journal:
        return Path(settings.journal)
    beside = parse_url(database).path
    if not beside:
        raise InvalidInput("bad_settings", "A node whose store is no file names payments.journal.")
    return Path(f"{beside}.journal")


class NodePayments:
    """`begin` before each enclave, `take` its messages, `look` at each beacon, `close` at the end."""

    def __init__(self, settings: Payments, journal: Path) -> None:
        self.journal = JournalFile(journal)
        self.offer = OfferFile(Path(settings.offer))
        self._say: Say = lambda _message: None
        self._lost: Callable[[], None] = lambda: None

    async def begin(self, say: Say, lost: Callable[[], None]) -> Path | None:
        """An enclave begins; the journal to hand to it, None when there is none. `lost` is called when its
        journal cannot be kept any more, so that another one must begin.

        Raises Unavailable `store_full`, `store_unavailable`.
        """
        self._say, self._lost = say, lost
        self.offer.forget()
        return await self.journal.begin(lambda position: say(control.FramesKept(position)))

    def look(self) -> None:
        """Has the offer changed? A new enclave has none yet."""
        self.offer.look(self._say)

    def take(self, message: control.FromEnclave) -> None:
        """One message of the enclave's; what is not about payments is nothing to this."""
        match message:
            case control.Frame(position, frame, durable):
                try:
                    self.journal.put(position, frame, durable=durable)
                except HallmarkError as error:
                    get_logger().error("journal_lost", reason=error.reason, position=position)
                    self._lost()
            case control.TermsTaken():
                self.offer.taken(message)

    async def close(self) -> None:
        """Let go of everything; what the enclave sent is on disk."""
        await self.journal.close()

    def status(self) -> dict[str, object]:
        """As /healthz shows it."""
        journal = {"position": self.journal.position, "kept": self.journal.kept}
        return {"offer": self.offer.status(), "journal": journal}
