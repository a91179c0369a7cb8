"""`hallmark verify`: a saved receipt, a trust file, no network."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
import msgspec

from hallmark.apps.cli.asking import decision_json, finish, print_decision
from hallmark.apps.cli.output import emit
from hallmark.core.errors import InvalidInput
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier
from hallmark.verification.examination import CheckAnchor

PDF = b"%PDF-"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trust", type=click.Path(path_type=Path), help="The network's trust file.")
@click.option("--policy", default="witnessed", show_default=True, help="A clearing policy of the trust file.")
@click.option(
    "--rpc", help="JSON-RPC address of a chain of your choosing; without it nothing reads anchored."
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.pass_obj
def verify(
    home: Path, /, file: Path, trust: Path | None, *, policy: str, rpc: str | None, as_data: bool
) -> None:
    """Verify a saved receipt, offline. FILE is what `--save` wrote, or a PDF of the explorer's.

    Every digest, signature, certificate and proof is computed again, here. Exit code 0: the named policy is
    met; 1: it is not; 2: the file is no receipt.
    """
    verifier = Verifier.read(trust or home / "trust.toml")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput("no_such_file", f"{file} cannot be read.") from error
    dossier = Dossier.parse(_attached(data) if data.startswith(PDF) else data)
    check = asyncio.run(_asked(verifier, dossier, rpc)) if rpc else None
    verified = verifier.verify(dossier, int(time.time() * 1000), check=check)
    decision = verified.decide(policy)
    if as_data:
        shown = verified.shown(policy)
        value = {
            "id": dossier.id,
            "marks": {question.value: mark.to_json() for question, mark in shown.items()},
            "decision": decision_json(decision),
        }
        emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    else:
        print_decision(verified, decision)
    finish(decision)


def _attached(pdf: bytes) -> bytes:
    # Imported here: reading PDFs costs a third of a second, and most files are none.
    from hallmark.services.sdk.filed import attached_dossier

    return attached_dossier(pdf)


async def _asked(verifier: Verifier, dossier: Dossier, url: str) -> CheckAnchor | None:
    from hallmark.services.chain.rpc import RPC

    rpc = RPC(url)
    try:
        return await verifier.anchor_check(dossier, rpc)
    finally:
        await rpc.aclose()
