"""Notices in plain text: what they say follows from state and marks, and they say no more; mail."""

from __future__ import annotations

import asyncio
import re

import pytest

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.marks import State
from hallmark.core.shown import ShownMark
from hallmark.services.review import actions as act
from hallmark.services.review.mail import Mailer, compose
from hallmark.services.review.notices import EVENTS, Data, Told, Words, read, told, words
from hallmark.services.review.rows import NO_MARKS
from hallmark.services.review.settings import Mail
from hallmark.services.review.views import ItemRow, PolicyRow
from hallmark.testing.network import START
from hallmark.testing.review_desk import ReviewDesk

TRUST = ("secure", "safe", "trusted", "guaranteed", "verified", "approved", "confidential")
AT = START
POLICY = PolicyRow("strict", 2, "0x" + "00" * 32, "enforce", "proposal", -1, AT, (), 0, "For items.")


def row(state: str, marks: tuple[ShownMark, ...] = NO_MARKS) -> ItemRow:
    """An item's line."""
    zero = "0x" + "00" * 32
    until = AT + 1_000 if state == "HOLD" else 0
    return ItemRow(
        zero, state, "ran:state_too_low" if state == "HOLD" else "", "witnessed", "payment", 7, AT, 0, False,
        3, "0x" + "00" * 20, "digits", zero, "", "", marks, released_until=until,
    )  # fmt: skip


def mark(question: str, state: State, assurance: str = "") -> ShownMark:
    """A mark of this state."""
    return ShownMark(
        question, state.value, AT, "somebody", zero32(), "It shows this.", "Not that.", "", assurance
    )


def zero32() -> str:
    """A digest."""
    return "0x" + "00" * 32


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", ["HOLD", "CLEAR", "FINAL", "REJECTED"])
def test_no_notice_uses_a_word_of_trust(event: str, state: str) -> None:
    """Whatever happens to whatever marks, no adjective of trust stands in subject or body."""
    for mark_state in State:
        marks = tuple(mark(m.question, mark_state) for m in NO_MARKS)
        item = None if event.startswith("policy.") else row(state, marks)
        policy = POLICY if item is None else None
        data = Data(
            "0x00", "meets witnessed (asks for ran, model, route, proved)", item, policy, "0x12", "r", AT
        )
        found = words(Told(event, "2026-01-01T00:00:00.000Z", data), "https://desk.example")
        said = re.findall(r"[a-z]+", f"{found.subject} {found.body}".lower())
        assert not set(TRUST) & set(said)
        if item is not None:
            assert found.body.count("Not that.") == 7


def test_a_held_item_is_called_so() -> None:
    """A notice about an item in HOLD has the word in its subject, a release too."""
    for event in ("item.held", "item.released"):
        found = words(Told(event, "t", Data("0x00", "s", row("HOLD"), by="0x12", until=AT)))
        assert "HOLD" in found.subject


def test_simulated_is_never_left_out() -> None:
    """A simulated `ran` says so in its line, in every state."""
    for state in State:
        marks = (mark("ran", state, "simulated"), *NO_MARKS[1:])
        found = words(Told("item.held", "t", Data("0x00", "s", row("HOLD", marks))))
        line = next(line for line in found.body.splitlines() if line.startswith("ran:"))
        assert "; simulated." in line


def test_bodies_are_the_same_bytes_for_the_same_event() -> None:
    """A body reads back as what was told, and is made once."""
    data = Data("0x00", "sentence", row("CLEAR"))
    body = told("item.cleared", AT, data)
    assert body == told("item.cleared", AT, data)
    assert read(body).data == data
    assert read(body).timestamp.endswith("Z")


async def test_a_release_goes_out_by_mail() -> None:
    """With a mail server in the settings a break-glass release is sent, from the desk's disk, once."""
    office, server = ReviewDesk(), Server()
    port = await server.start()
    mail = Mail("127.0.0.1", "desk@hallmark.test", ("owner@hallmark.test",), port, starttls=False)
    await server.stop(office)
    office = ReviewDesk(mail=mail)
    await server.start(port)
    await office.start()
    item = await office.answer()
    await office.poll()
    request = act.ReleaseRequest("urgent", "Needed right now.", office.net.now + 1_000)
    await office.desk.release(office.reviewer(), item, request)
    assert await office.desk.office.webhooks.round("mail") is None
    assert len(server.mails) == 1
    assert "Subject: Break-glass: HOLD, released until" in server.mails[0]
    assert "proved: absent" in server.mails[0]
    await office.desk.office.webhooks.round("mail")
    assert len(server.mails) == 1
    await server.stop(office)


def test_mail_is_plain_text_and_its_headers_cannot_be_broken() -> None:
    """Line breaks in words do not make headers; the same delivery has the same id."""
    settings = Mail("localhost", "desk@hallmark.test", ("a@hallmark.test",))
    message = compose(settings, Words("a\r\nBcc: x", "body\n"), "hallmark.7", AT)
    assert message["Subject"] == "a Bcc: x"
    assert message["Bcc"] is None
    assert message["Message-ID"] == "<hallmark.7@hallmark.test>"
    assert message.get_content_type() == "text/plain"


async def test_mail_never_leaves_the_machine_in_clear() -> None:
    """Without STARTTLS only loopback is allowed; a server that is away is tried again."""
    with pytest.raises(InvalidInput, match="bad_settings"):
        Mailer(Mail("mail.example", "a@b.c", ("d@e.f",), starttls=False))
    mailer = Mailer(Mail("127.0.0.1", "a@b.c", ("d@e.f",), 1, starttls=False))
    with pytest.raises(Unavailable, match="mail_failed"):
        await mailer.send(Words("s", "b"), "id", AT)


class Server:
    """An SMTP server that takes everything."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, office: ReviewDesk) -> None:
        """Stop, and the office with it."""
        await office.stop()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(data.decode())
                writer.write(b"250 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
        writer.close()
