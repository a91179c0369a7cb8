"""`hallmark replay`: a receipt's answer made again from its artifact, and compared to the bit."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from hallmark.apps.cli.output import console, emit
from hallmark.apps.cli.receipt import beside, read_beside, read_bytes
from hallmark.core.document import unhex
from hallmark.core.errors import InvalidInput
from hallmark.hub.artifact import pack_artifact
from hallmark.services.sdk.saved import Saved, open_answer, read_file

DIFFERS = 4
BESIDE = "not looked at: who signed the receipt, and whether the log holds it; `hallmark verify` does"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--artifact",
    type=click.Path(path_type=Path, exists=True),
    help="The model: its tar, or the folder of its files. Default: this home's, by the receipt.",
)
@click.option("--trace", type=click.Path(path_type=Path), help="The node's leaves: places what differs.")
@click.option("--save-trace", type=click.Path(path_type=Path), help="Write this run's leaves to a file.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@beside
@click.pass_obj
def replay(home: Path, /, file: Path, **options: Any) -> None:
    """Run a receipt's answer again, offline, and compare every bit.

    FILE is what `--save` wrote, or an answer that any client saved, with its request's body in --request.
    Needs an answer of a model of the format integer-exact, and that model. Exit code 0: the same bits; 4:
    something differs, and the first place is named; 2: what it takes to say so is missing.
    """
    from hallmark.engines.integer.replay import split_leaves
    from hallmark.services.sdk.replaying import open_papers
    from hallmark.services.sdk.replaying import replay as run_again

    found = read_file(read_bytes(file))
    request, head = read_beside(options)
    if isinstance(found, Saved):
        found = open_answer(found, request, path=options["path"], head=head).dossier
    papers = open_papers(found)
    artifact = _artifact(home, options["artifact"], unhex(papers.manifest.sha256))
    leaves = split_leaves(read_bytes(options["trace"])) if options["trace"] else None
    done = run_again(papers, artifact, leaves)
    if options["save_trace"]:
        options["save_trace"].write_bytes(b"".join(done.leaves))
    if options["as_data"]:
        value = {
            "same": done.difference is None,
            "difference": done.difference,
            "leaves": len(done.leaves),
            "cut": done.cut,
        }
        emit(msgspec.json.encode(value).decode() + "\n")
    elif done.difference is None:
        told = f"same bits: {done.tokens} tokens, {len(done.leaves)} states of layers"
        console().print(Text(told if done.tokens else f"same bits: {len(done.leaves)} states of layers"))
        if done.cut:
            console().print(Text("the answer was cut off: what came of it was compared, not why it ended"))
        console().print(Text(BESIDE))
    else:
        console().print(Text(f"differs: {done.difference.told} ({done.difference.what})"))
    if done.difference is not None:
        sys.exit(DIFFERS)


def _artifact(home: Path, given: Path | None, sha256: bytes) -> bytes:
    """The artifact's bytes; whether they are the receipt's is seen as they are loaded."""
    if given is not None:
        return pack_artifact(given) if given.is_dir() else read_bytes(given)
    for path in sorted((home / "artifacts").glob("*.tar")):
        data = path.read_bytes()
        if hashlib.sha256(data).digest() == sha256:
            return data
    raise InvalidInput(
        "replay_incomplete",
        "The artifact that the receipt names is not in this home.",
        "Name it by --artifact, as a tar or a folder; `hallmark blob get` fetches one by its blob ID.",
    )
