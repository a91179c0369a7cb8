"""`hallmark verify`: a saved receipt, a trust file, no network."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from hallmark.apps.cli.answer_output import decision_json, finish, print_decision
from hallmark.apps.cli.output import console, emit
from hallmark.apps.cli.receipt import beside, print_opened, read_beside, read_bytes
from hallmark.services.sdk.saved import Opened, Saved, open_answer, read_file
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier
from hallmark.verification.examination import CheckAnchor

PDF = b"%PDF-"
NO_PROOF = (
    "No proof from the log is in this file, so nothing here is witnessed: "
    "`hallmark receipt FILE --save r.json` fetches it."
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trust", type=click.Path(path_type=Path), help="The network's trust file.")
@click.option("--policy", default="witnessed", show_default=True, help="A clearing policy of the trust file.")
@click.option(
    "--rpc", help="JSON-RPC address of a chain of your choosing; without it nothing reads anchored."
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@beside
@click.pass_obj
def verify(home: Path, /, file: Path, trust: Path | None, *, policy: str, **options: Any) -> None:
    """Verify a saved receipt or answer, offline.

    FILE is what `--save` wrote, the explorer's file or PDF, or an answer that any client saved, with its
    request's body in --request. An answer carries no proof that the log holds it: `hallmark receipt FILE
    --from REQUEST --save r.json` fetches one.

    Every digest, signature, certificate and proof is computed again, here. Exit code 0: the named policy is
    met; 1: it is not; 2: the file is no receipt.
    """
    verifier = Verifier.read(trust or home / "trust.toml")
    data = read_bytes(file)
    found = Dossier.parse(_attached(data)) if data.startswith(PDF) else read_file(data)
    request, head = read_beside(options)
    opened: Opened | None = None
    if isinstance(found, Saved):
        opened = open_answer(found, request, path=options["path"], head=head)
        found = opened.dossier
    dossier = found
    check = asyncio.run(_asked(verifier, dossier, options["rpc"])) if options["rpc"] else None
    verified = verifier.verify(dossier, int(time.time() * 1000), check=check)
    decision = verified.decide(policy)
    if options["as_data"]:
        shown = verified.shown(policy)
        value = {
            **({"request": opened.request, "answer": opened.answer} if opened else {}),
            "id": dossier.id,
            "marks": {question.value: mark.to_json() for question, mark in shown.items()},
            "decision": decision_json(decision),
        }
        emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    else:
        if opened is not None:
            print_opened(opened)
        print_decision(verified, decision)
        if dossier.entry is None or dossier.entry.proof is None:
            console().print(NO_PROOF)
    if opened is not None and request is not None and not opened.complete:
        sys.exit(1)
    finish(decision)


def _attached(pdf: bytes) -> bytes:
    # Imported here: reading PDFs costs a third of a second, and most files are none.
    from hallmark.services.sdk.pdf import attached_dossier

    return attached_dossier(pdf)


async def _asked(verifier: Verifier, dossier: Dossier, url: str) -> CheckAnchor | None:
    from hallmark.services.chain.rpc import RPC

    rpc = RPC(url)
    try:
        return await verifier.anchor_check(dossier, rpc)
    finally:
        await rpc.aclose()
