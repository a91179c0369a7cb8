"""The first questions of a new network: one to each embedded model, with marks and an offline check.

What is free is asked at once. What is not is paid for from the home's wallet, once everything is up: where
there is none a throw-away wallet is made, with development money, which is worth nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from hallmark.apps.cli.answer_output import follow, sentence
from hallmark.apps.cli.output import console, emit
from hallmark.compose.models import models_root
from hallmark.compose.plan import Pricing
from hallmark.compose.pricing import EXAMPLE
from hallmark.core.amounts import parse_amount
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.payments.accounts import PaymentRequired
from hallmark.services.sdk.sync_client import Client, PlainReceipt
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.wallet import Wallet
from hallmark.verification.dossier import Dossier

QUESTION = "What does os.mkfifo do?"
TIMEOUT = 20.0
LANGUAGE = "pydoc"
EVERY = ("digits", EXAMPLE, LANGUAGE)
FREE_AT_FIRST = ("digits", LANGUAGE)
POURED, DEPOSITED, ENOUGH = "10", "1.00", "0.10"
PER_REQUEST, PER_DAY = "0.01", "1.00"


def questions(pricing: Pricing) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models that are asked at once, and those that are paid for."""
    if pricing == "free":
        return EVERY, ()
    return ((), EVERY) if pricing == "paid" else (FREE_AT_FIRST, (EXAMPLE,))


def demonstrate(home: Path, began: float, labels: Iterable[str]) -> None:
    """Ask each model once; print answers and marks; verify the saved receipts offline."""
    with Client(home=home) as client:
        for label in labels:
            try:
                _ask(client, home, label, began)
            except PaymentRequired as error:
                console().print(Text(f"  {error.message}\n"))


def demonstrate_payment(home: Path, began: float, labels: Iterable[str]) -> None:
    """The same from the home's wallet, with what it cost. A payment that fails is told, and is no reason to
    stop a network that answers.
    """
    try:
        with Client(home=home, wallet=_wallet(home)) as client:
            _fill(client)
            client.spending(max_per_request=PER_REQUEST, max_per_day=PER_DAY)
            for label in labels:
                _ask(client, home, label, began)
            words = client.balance().words()
    except HallmarkError as error:
        console().print(Text(f"  The payment was not made: {error.reason}: {error.message}\n", "yellow"))
        return
    console().print(
        Text(f"  The account has {words['deposited']}, of which enclaves have {words['leased']} on lease:")
    )
    console().print(Text("  what they do not charge comes back. See: hallmark wallet balance\n"))


def _wallet(home: Path) -> Wallet:
    try:
        return Wallet.load(home)
    except NotFound:
        made = Wallet.new(home)
    console().print(Text(f"A throw-away wallet: {made.address}, kept in {made.path}", style="bold"))
    return made


def _fill(client: Client) -> None:
    """Development money into wallet and account, unless there is enough."""
    found = client.balance()
    if found.free >= parse_amount(ENOUGH, found.asset.decimals):
        return
    client.fund(POURED)
    client.deposit(DEPOSITED)
    words = client.balance().words()
    console().print(
        Text(f"  It has {words['wallet']} and {words['deposited']} in its account: development money.")
    )


def _ask(client: Client, home: Path, label: str, began: float) -> None:
    if label == LANGUAGE:
        console().print(Text(f"{label}: {QUESTION}", style="bold"))
        emit("  ")
        stream = client.stream(QUESTION, model=label)
        for piece in stream:
            emit(piece)
        emit("\n")
        receipt = stream.draft.receipt
    else:
        inputs = msgspec.json.decode((models_root() / label / "example.json").read_bytes())
        console().print(Text(f"{label}: the example in models/{label}/example.json", style="bold"))
        draft = client.infer(label, inputs)
        emit(f"  {_summary(draft.outputs)}\n")
        receipt = draft.receipt
    if receipt.payment is not None:
        console().print(Text(f"  cost: {receipt.payment.words}"))
    _marks(home, label, receipt, began)


def _marks(home: Path, label: str, receipt: PlainReceipt, began: float) -> None:
    out = console()
    decision = follow(receipt, "witnessed", TIMEOUT).decision
    folder = home / "receipts"
    folder.mkdir(exist_ok=True)
    path = receipt.save(folder / f"first-{label}.json")
    # As a stranger would: from the two files alone.
    verifier = Verifier.read(home / "trust.toml")
    started = time.perf_counter()
    verified = verifier.verify(Dossier.parse(path.read_bytes()), int(time.time() * 1000))
    took = (time.perf_counter() - started) * 1000
    out.print(Text(f"  {sentence(decision)}"))
    out.print(
        Text(f"  verified offline from {path} in {took:.1f} ms: {verified.decide('witnessed').sentence()}")
    )
    out.print(Text(f"  {time.monotonic() - began:.1f} s after the start\n", style="bright_black"))


def _summary(outputs: Any) -> str:
    shown = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in outputs.items()
    }
    return ", ".join(f"{name} {_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"[{', '.join(_short(part) for part in value)}]" if isinstance(value, list) else str(value)
