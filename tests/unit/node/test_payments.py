"""What the host hands to its enclave: the owner's offer when it changes, and what was kept of its journal."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput
from hallmark.core.money import FreeUse, Offer
from hallmark.core.statements import PriceOffer
from hallmark.crypto.secp256k1 import Key
from hallmark.services.enclave import control
from hallmark.services.node.payments import NodePayments, journal_name, journal_path
from hallmark.services.node.settings import Payments
from hallmark.testing.enclaves import configuration

OWNER, PAYEE, VAULT = b"\1" * 20, b"\2" * 20, b"\3" * 20


def offer(since: int) -> bytes:
    """A log entry of an offer that serves everything for nothing."""
    document = Offer(
        network=hex0x(bytes(32)),
        owner=hex0x(OWNER),
        payee=hex0x(PAYEE),
        asset=None,
        vault=hex0x(VAULT),
        prices=(),
        free=FreeUse(),
        since=since,
        until=10**15,
    )
    statement = PriceOffer(bytes(32), OWNER, document.digest(), since)
    return Entry(statement, (bytes(65),), (document.encode(),)).encode()


class Bench:
    """A host's part, and what it said to the enclave."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "offer"
        self.payments = NodePayments(Payments(str(self.file)), folder / "journal", Key(b"\4" * 32), PAYEE)
        self.said: list[control.ToEnclave] = []
        self.lost = 0

    async def begin(self) -> Path | None:
        """An enclave begins."""
        self.said.clear()
        return await self.payments.begin(self.said.append, self._lose)

    def _lose(self) -> None:
        self.lost += 1


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A host's part with an enclave that has begun."""
    bench = Bench(tmp_path)
    await bench.begin()
    yield bench
    await bench.payments.close()


async def test_an_offer_is_handed_over_when_it_changes(bench: Bench) -> None:
    """Once for each file, again for a new enclave; what the enclave says of it is shown."""
    bench.payments.look()
    assert bench.said == []
    assert bench.payments.offer.status() == {"digest": "", "problem": "offer_missing"}
    bench.file.write_bytes(offer(1))
    bench.payments.look()
    bench.payments.look()
    assert bench.said == [control.Terms(offer(1))]
    assert bench.payments.offer.offer is None
    bench.payments.take(control.TermsTaken(b"\5" * 32))
    assert bench.payments.offer.offer is not None
    assert bench.payments.offer.offer.vault == hex0x(VAULT)
    assert bench.payments.offer.status() == {"digest": hex0x(b"\5" * 32), "problem": ""}
    newer = bench.file.with_name("newer")
    newer.write_bytes(offer(2))
    os.replace(newer, bench.file)
    bench.payments.look()
    assert bench.said[1:] == [control.Terms(offer(2))]
    bench.payments.take(control.TermsTaken(b"\5" * 32, "wrong_owner"))
    assert bench.payments.offer.status() == {"digest": hex0x(b"\5" * 32), "problem": "wrong_owner"}
    await bench.begin()
    assert bench.payments.offer.digest == b""
    bench.payments.look()
    assert bench.said == [control.Terms(offer(2))]


@pytest.mark.parametrize(("content", "problem"), [(b"", "bad_entry"), (b"\1\1half", "statement_length")])
async def test_what_is_no_offer_is_not_handed_over(bench: Bench, content: bytes, problem: str) -> None:
    """A file with something else has a reason code, and the enclave keeps the offer that it has."""
    bench.payments.take(control.TermsTaken(b"\5" * 32))
    bench.file.write_bytes(content)
    bench.payments.look()
    assert bench.said == []
    assert bench.payments.offer.status() == {"digest": hex0x(b"\5" * 32), "problem": problem}


async def test_frames_are_acknowledged_and_handed_on(bench: Bench) -> None:
    """The enclave hears which frames are kept; the next one gets the file; a gap ends the enclave."""
    assert await bench.begin() is None
    frames = [(30).to_bytes(4, "big") + n.to_bytes(8, "big") + bytes(22) for n in range(1, 4)]
    for number, frame in enumerate(frames, 1):
        bench.payments.take(control.Frame(number, frame, durable=number == 3))
    await bench.payments.journal.flush()
    assert bench.said[-1] == control.FramesKept(3)
    assert bench.payments.status()["journal"] == {"position": 3, "kept": 3}
    bench.payments.take(control.Frame(5, frames[0], durable=True))
    assert bench.lost == 1
    handed = await bench.begin()
    assert handed is not None
    assert handed.read_bytes() == b"".join(frames)


def test_where_the_journal_is() -> None:
    """Beside a SQLite file; with another store the settings say it. Other keys, another file."""
    paid = Payments("offer")
    assert journal_path(paid, "sqlite:////var/a%20b.db", b"\7\10") == Path("/var/a b.db.journal-0708")
    for store in ("postgresql+psycopg://me@db/node", "sqlite://"):
        with pytest.raises(InvalidInput, match=r"payments\.journal"):
            journal_path(paid, store, b"\7")
        assert journal_path(Payments("offer", journal="/j"), store, b"\7") == Path("/j-07")
    mine = configuration()
    names = {
        journal_name(b"", mine),
        journal_name(b"\1" * 144, mine),
        journal_name(b"", configuration(endpoint="https://127.0.0.1:2")),
        journal_name(b"", configuration(owner="0x" + "22" * 20)),
        journal_name(b"", configuration(network="0x" + "22" * 32)),
    }
    assert len(names) == 5
    assert journal_name(b"", configuration(capacity=9)) == journal_name(b"", mine)


async def test_x402_without_a_chain_takes_nothing(bench: Bench) -> None:
    """Who comes with a payment is told so; what an enclave says of before its start is remembered."""
    bench.payments.take(control.PaymentWanted(3, bytes(32), b"{}"))
    assert bench.said == [control.PaymentState(3, "chain_unreachable")]
    bench.payments.take(control.PaymentDue(b"\1" * 32, 5))
    bench.payments.take(control.ClaimsSigned(1, b""))
    assert bench.said == [control.PaymentState(3, "chain_unreachable")]
    assert bench.payments.status()["settlement"] is None
