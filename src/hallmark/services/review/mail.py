"""Plain-text notices by SMTP. Off unless the settings name a server."""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.services.review.notices import Words
from hallmark.services.review.settings import Mail

TIMEOUT_S: Final = 15.0
SENT: Final = 250


class Mailer:
    """Sends notices. Raises InvalidInput `bad_settings` when mail would go out in clear."""

    def __init__(self, settings: Mail) -> None:
        if not settings.starttls and not _is_loopback(settings.host):
            raise InvalidInput("bad_settings", "Mail goes out in clear to this machine alone: set starttls.")
        self._settings = settings
        self._password = Path(settings.password_file).read_text().strip() if settings.password_file else ""

    async def send(self, words: Words, message_id: str, now: int) -> int:
        """Send one notice; 250 when the server took it. Raises Unavailable `mail_failed`."""
        message = compose(self._settings, words, message_id, now)
        try:
            await asyncio.to_thread(self._send, message)
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable("mail_failed", "The mail server did not take the notice.") from error
        return SENT

    def _send(self, message: EmailMessage) -> None:
        settings = self._settings
        with smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S) as server:
            if settings.starttls:
                server.starttls(context=ssl.create_default_context())
            if settings.user:
                server.login(settings.user, self._password)
            server.send_message(message)


def compose(settings: Mail, words: Words, message_id: str, now: int) -> EmailMessage:
    """The message. `message_id` is the delivery's, so that a second try is seen as the same mail."""
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Subject"] = " ".join(words.subject.split())
    message["Date"] = format_datetime(datetime.fromtimestamp(now / 1000, UTC))
    message["Message-ID"] = f"<{message_id}@{settings.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(words.body)
    return message


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
