"""The first questions of a new network: one to each embedded model, with marks and an offline check."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from hallmark.apps.cli.answer_output import follow, sentence
from hallmark.apps.cli.output import console, emit
from hallmark.compose.models import models_root
from hallmark.services.sdk.sync_client import Client, PlainReceipt
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier

QUESTION = "What does os.mkfifo do?"
TIMEOUT = 20.0


def demonstrate(home: Path, began: float) -> None:
    """Ask each embedded model once; print answers and marks; verify the saved receipts offline."""
    with Client(home=home) as client:
        for label in ("digits", "breast-cancer"):
            inputs = msgspec.json.decode((models_root() / label / "example.json").read_bytes())
            console().print(Text(f"{label}: the example in models/{label}/example.json", style="bold"))
            draft = client.infer(label, inputs)
            emit(f"  {_summary(draft.outputs)}\n")
            _marks(home, label, draft.receipt, began)
        console().print(Text(f"pydoc: {QUESTION}", style="bold"))
        emit("  ")
        stream = client.stream(QUESTION, model="pydoc")
        for piece in stream:
            emit(piece)
        emit("\n")
        _marks(home, "pydoc", stream.draft.receipt, began)


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
