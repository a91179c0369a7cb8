"""`hallmark fault`: what faults cost, and evidence of one: made of saved receipts, and checked. Offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hallmark.apps.cli.output import console, emit
from hallmark.apps.cli.receipt import read_bytes
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import InvalidInput
from hallmark.core.receipt import Receipt
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.faults.checks import ProvenFault, Terms, verify_fault
from hallmark.faults.evidence import Evidence, Form, decode, read_signed, signed
from hallmark.faults.sanctions import SANCTIONS, Sanction
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier

PERCENT = 10_000
"""Parts per million in one hundredth."""

trusting = click.option("--trust", type=click.Path(path_type=Path), help="The network's trust file.")


@click.group()
def fault() -> None:
    """Faults: what each costs, and evidence of one."""


@fault.command("list")
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
def list_faults(*, as_data: bool) -> None:
    """List faults F1 to F9: what each is to cost, and who can show it today. Nothing is taken yet."""
    if as_data:
        emit(json.dumps([_row(row) for row in SANCTIONS.values()], indent=2) + "\n")
        return
    emit("No network holds stake yet: these are the agreed shares, and nothing is taken.\n\n")
    for row in SANCTIONS.values():
        emit(f"F{row.number.value}  {row.what}\n    {_cost(row)}, {row.when.value}\n    {row.today}\n")


@fault.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@trusting
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.pass_obj
def check_fault(home: Path, /, file: Path, *, trust: Path | None, as_data: bool) -> None:
    """Check evidence of a fault (bytes, or 0x-hex text), offline.

    Exit code 4, with the reason, where it shows none.
    """
    found = verify_fault(_evidence(read_bytes(file)), _terms(home, trust))
    said = _said(found)
    if as_data:
        emit(json.dumps(said, indent=2) + "\n")
        return
    out = console()
    out.print(f"F{found.number.value}  {SANCTIONS[found.number].what}", highlight=False)
    out.print(f"culprit  {said['culprit']}", highlight=False, soft_wrap=True)
    out.print(f"fault    {said['id']}", highlight=False, soft_wrap=True)


@fault.command("show")
@click.argument("file", type=click.Path(path_type=Path))
def show_fault(*, file: Path) -> None:
    """Show what evidence of a fault says, as JSON. Nothing of it is checked: `hallmark fault check` does."""
    evidence = decode(_evidence(read_bytes(file)))
    bundled = evidence.form is Form.RECEIPT_AND_BUNDLE
    second = _bundle(evidence.second) if bundled else _shown(evidence.form, evidence.second)
    parts = [_shown(evidence.form, evidence.first), second]
    said = {"form": evidence.form.name.lower(), "checked": False, "parts": parts}
    emit(json.dumps(said, indent=2) + "\n")


@fault.command("make")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("-o", "target", required=True, type=click.Path(path_type=Path), help="Where to write it.")
@trusting
@click.pass_obj
def make_fault(home: Path, /, first: Path, second: Path, *, target: Path, trust: Path | None) -> None:
    """Make evidence of two saved receipts of one node for one sequence number."""
    data = Evidence(Form.TWO_RECEIPTS, _part(first), _part(second)).encode()
    found = verify_fault(data, _terms(home, trust))
    try:
        target.write_bytes(data)
    except OSError as error:
        raise InvalidInput("cannot_write", f"{target} cannot be written.") from error
    emit(f"{target}: {len(data)} bytes, fault {hex0x(found.id)} of {hex0x(found.culprit)}\n")


def _terms(home: Path, trust: Path | None) -> Terms:
    read = Verifier.read(trust or home / "trust.toml").trust
    return Terms(read.network_id, read.chain_id)


def _shown(form: Form, part: bytes) -> dict[str, Any]:
    cls = AnchoredCheckpoint if form is Form.TWO_CHECKPOINTS else Receipt
    statement, signature = read_signed(cls, part)
    return {"statement": cls.NAME, "fields": statement.to_json(), "signature": hex0x(signature)}


def _bundle(part: bytes) -> dict[str, Any]:
    return {"document": "KeyBundle", "fields": json.loads(KeyBundle.decode(part).encode())}


def _evidence(data: bytes) -> bytes:
    """Evidence as bytes, or as the 0x-hex text that the explorer shows."""
    if not data.startswith(b"0x"):
        return data
    return unhex(data.decode("ascii", "replace").strip())


def _part(file: Path) -> bytes:
    dossier = Dossier.parse(read_bytes(file))
    return signed(dossier.opened(), unhex(dossier.signature))


def _said(found: ProvenFault) -> dict[str, Any]:
    return {
        "fault": f"F{found.number.value}",
        "what": SANCTIONS[found.number].what,
        "culprit": hex0x(found.culprit),
        "id": hex0x(found.id),
    }


def _cost(row: Sanction) -> str:
    share = f"{row.share // PERCENT} % of the {row.basis.value}" if row.share else "no share"
    return share + (", ejected" if row.ejected else ", jail")


def _row(row: Sanction) -> dict[str, Any]:
    return {
        "fault": f"F{row.number.value}",
        "what": row.what,
        "share_ppm": row.share,
        "of": row.basis.value,
        "when": row.when.value,
        "jailed": row.jailed,
        "ejected": row.ejected,
        "statistical": row.statistical,
        "provable": row.provable,
        "today": row.today,
    }
