"""`hallmark model`: what a label meant, when, and by whose word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.text import Text

from hallmark.apps.cli.ask import client_of, connection
from hallmark.apps.cli.key_files import read_key
from hallmark.apps.cli.output import console, emit
from hallmark.apps.web.times import full
from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.hub.artifact import pack_files
from hallmark.hub.model_folder import read_files
from hallmark.hub.openssf import PUBLIC_KEY, SIGNATURE, verify_files
from hallmark.services.sdk.model_history import ModelHistory
from hallmark.services.sdk.sync_client import Client

NOT_PROVEN = 4
"""Exit code: something does not verify."""


class _Count(msgspec.Struct, frozen=True):
    manifest: str
    receipts: int


class _Counts(msgspec.Struct, frozen=True):
    """The part of a label's page that counts its receipts."""

    lineage: tuple[_Count, ...] = ()


@click.group()
def model() -> None:
    """Labels and the artifacts that they point to."""


@model.command()
@click.argument("label")
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@connection
@click.pass_obj
def history(home: Path, /, label: str, url: str | None, trust: Path | None, *, as_data: bool) -> None:
    """Every artifact that LABEL ever pointed to, since when, who moved it, and how many receipts each served.

    Each step is checked against the log here; exit code 4 when one does not hold. Receipts are counted by the
    network's pages.
    """
    with client_of(home, url, trust) as client:
        found = client.model_history(label)
        served = _served(client, found)
    if as_data:
        data = msgspec.to_builtins(found) | {"proven": found.proven}
        for step in data["versions"]:
            step["receipts"] = served.get(step["manifest"])
        emit(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
    else:
        _print(found, served, checked=client.verifies)
    if client.verifies and not found.proven:
        sys.exit(NOT_PROVEN)


@model.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--label", required=True, help="NAMESPACE/NAME; it belongs to the key that publishes it first.")
@click.option("--task", default="", help="What it is for, such as text-classification.")
@click.option("--license", "licence", default="", help="Its licence, for a card that is written here.")
@click.option("--description", default="", help="A sentence about it; default: the first of its README.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The owner's key; default: the home's.",
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.pass_obj
def publish(
    home: Path,
    /,
    *,
    folder: Path,
    label: str,
    task: str,
    licence: str,
    description: str,
    key_file: Path | None,
    as_data: bool,
) -> None:
    """Publish the model in FOLDER: examine it, open it in a sandbox, store it, sign it, point LABEL to it.

    ONNX, safetensors and GGUF, told by content. Nothing is half-published: the label moves last, by an entry
    of the log that its owner signs.
    """
    from hallmark.compose.home import Home
    from hallmark.compose.publishing import Wish
    from hallmark.compose.publishing import publish as publish_model

    key = read_key(key_file) if key_file is not None else None
    out = console(stderr=True)
    wish = Wish(folder, label, task, licence, description)
    done = publish_model(
        Home(home), wish, key, lambda text: out.print(Text(f"  {text}", style="bright_black"))
    )
    if as_data:
        emit(msgspec.json.format(msgspec.json.encode(done), indent=2).decode() + "\n")
        return
    said = "points to it now" if done.moved else "pointed to it already"
    out = console()
    out.print(Text(f"{done.label}  version {done.version}: the label {said}"))
    out.print(Text(f"  {done.artifact}  {done.size:,} bytes, {len(done.files)} files"))
    next_step = f"serve it: hallmark node serve {done.label}" if done.engine else "no engine here reads it"
    out.print(Text(f"  {next_step}", style="bright_black"))


@model.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--label", default="", help="Find it among the versions of this label, in the log.")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The signer's key in PEM; default: the one in FOLDER.",
)
@connection
@click.pass_obj
def verify(
    home: Path,
    /,
    *,
    folder: Path,
    label: str,
    public_key: Path | None,
    url: str | None,
    trust: Path | None,
) -> None:
    """Verify the model in FOLDER, as it was downloaded: its OpenSSF signature (model.sig) over every file.

    With --label also against the log: whether the label's owner signed exactly these files there, and as
    which version. Exit code 4 when that does not hold.
    """
    files = read_files(folder)
    signature, key = files.pop(SIGNATURE, b""), files.get(PUBLIC_KEY, b"")
    if public_key is not None:
        key = _read_key(public_key)
    if not signature or not key:
        raise InvalidInput(
            "no_model_signature",
            f"{folder} holds no {SIGNATURE if not signature else PUBLIC_KEY}.",
            "`hallmark model publish` makes both; name another signer's key with --public-key.",
        )
    verify_files(signature, key, {path: sha256(data) for path, data in files.items()})
    out = console()
    out.print(Text(f"signed: {len(files)} files, by key {sha256(key).hex()}"))
    if public_key is None:
        out.print(
            Text("  The key stands beside the files: anybody may have made both.", style="bright_black")
        )
    if label:
        with client_of(home, url, trust) as client:
            found = client.model_history(label)
            digest = hex0x(sha256(pack_files(files)))
            out.print(Text(_place(found, digest, checked=client.verifies)))


@model.command()
@click.option("--from", "source", required=True, metavar="LABEL", help="What it was made from.")
@click.option("--to", "target", required=True, metavar="LABEL", help="What was made; its owner signs.")
@click.option("--tool", required=True, metavar="NAME", help="What made it, such as models/exact.py.")
@click.option("--tool-version", default="1", show_default=True, help="The tool's version.")
@click.option("--tool-file", type=click.Path(path_type=Path), help="The tool; its SHA-256 is logged.")
@click.option("--parameters", default="", help="With which parameters it ran.")
@click.option(
    "--quality",
    type=click.Path(path_type=Path),
    required=True,
    help="What was measured: a JSON list of name, value, unit, of.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The owner's key; default: the home's.",
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.pass_obj
def derived(home: Path, /, *, source: str, target: str, key_file: Path | None, **options: Any) -> None:
    """Say, as its owner, what a label's newest version was made from, by which tool, and what was measured.

    It is your word, as an entry of the log; the first on a version stays. Nobody takes it for a proof.
    """
    from hallmark.compose.deriving import derived as say_derived
    from hallmark.compose.deriving import read_making
    from hallmark.compose.home import Home

    key = read_key(key_file) if key_file is not None else None
    tool = options["tool_file"]
    making = read_making(options["tool"], options["tool_version"], options["parameters"], options["quality"])
    told = say_derived(Home(home), (source, target), making, _read_file(tool) if tool else b"", key)
    if options["as_data"]:
        emit(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
        return
    out = console()
    out.print(Text(f"{told.label} version {told.version}: made from {told.made_from}, by your word"))
    out.print(Text("  No proof: anybody can convert again and compare the bytes.", style="bright_black"))


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("no_such_file", f"{path} cannot be read.", "Name a file that is there.") from error


def _place(found: ModelHistory, digest: str, *, checked: bool) -> str:
    """Which version of a label these files are. Raises VerificationFailed `no_version_of_label`,
    `history_not_proven`.
    """
    if not checked or not found.proven:
        raise VerificationFailed(
            "history_not_proven",
            f"What {found.model} points to was not shown from the log.",
            "Name a trust file with --trust.",
        )
    versions = [step for step in found.versions if step.sha256 == digest]
    if not versions:
        raise VerificationFailed(
            "no_version_of_label",
            f"The owner of {found.model} never signed exactly these files into the log.",
            "Download them again; a file more is another model.",
        )
    newest = versions[-1] is found.versions[-1]
    now = "the label points to it now" if newest else "the label has moved since"
    return f"in the log: version {versions[-1].version} of {found.model}, signed by {found.owner}; {now}"


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("bad_key_file", f"{path} cannot be read.", "It is a key in PEM.") from error


def _served(client: Client, found: ModelHistory) -> dict[str, int]:
    """Receipts by manifest, as the pages count them; empty where there are no pages."""
    try:
        page = msgspec.convert(client.get_json(f"/explore/models/{quote(found.model)}.json"), type=_Counts)
    except (HallmarkError, msgspec.ValidationError):
        return {}
    return {step.manifest: step.receipts for step in page.lineage}


def _print(found: ModelHistory, served: dict[str, int], *, checked: bool) -> None:
    out = console()
    out.print(Text(f"{found.model}  {found.description}"))
    out.print(Text(f"owner {found.owner}", style="bright_black"))
    for step in found.versions:
        since = f"since {full(step.at)}" if step.at else "since when is not shown"
        count = served.get(step.manifest)
        receipts = "" if count is None else f", {count} receipt{'s' * (count != 1)}"
        notes = ["another artifact"] if step.moved else []
        notes += ["not proven"] if checked and not step.proven else []
        line = Text(f"version {step.version}  {since}, log {step.position}{receipts}")
        out.print(line.append(f"  {', '.join(notes)}" if notes else "", style="yellow"))
        out.print(Text(f"  {blob_text(unhex(step.artifact))}"))
    newest = found.versions[-1] if found.versions else None
    told = f"as of log size {found.size}"
    if checked and found.proven:
        told += "; every step is signed by the owner and stands in the log; a newer one cannot be ruled out"
    elif checked:
        told += "; the log does not show all of this"
    else:
        told += "; nothing was checked: there is no trust file"
    out.print(Text(told, style="bright_black"))
    if newest is not None:
        name = f"{found.model}@{blob_text(unhex(newest.artifact))}"
        out.print(Text(f"pin it: {name}", style="bright_black"))
