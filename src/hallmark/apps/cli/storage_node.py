"""`hallmark storage-node`: run one storage node, make its key, write a committee."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click
import msgspec

from hallmark.apps.cli.services import take_over
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput

NEW_FILE = click.Path(dir_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class NodeDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a committee has to know of a node: everything but its shards."""

    name: str
    url: str
    key: str
    proof: str


@click.group("storage-node", invoke_without_command=True)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Its settings.")
@click.pass_context
def storage_node(context: click.Context, config: Path | None) -> None:
    """Run a storage node: keeps its shards' slivers of blobs and proves that it has them.

    FILE holds its settings; docs/blobs.md names them.
    """
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise InvalidInput("bad_settings", "A storage node needs its settings.", "Name them with --config.")
    take_over("hallmark.services.storage_node", config)


@storage_node.command()
@click.argument("file", type=NEW_FILE)
@click.option("--name", required=True, help="What the node is called.")
@click.option("--url", required=True, help="Where the others reach it.")
def key(file: Path, name: str, url: str) -> None:
    """Make a BLS key in FILE, which must be new, and print what a committee has to know of the node."""
    from hallmark.crypto import bls

    secret = bls.new_secret(secrets.token_bytes(32))
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(hex0x(secret) + "\n")
    except OSError as error:
        raise InvalidInput(
            "key_file_exists",
            f"{file} cannot be made ({os.strerror(error.errno or 0)}).",
            "Name a new file: a key that is there is never replaced.",
        ) from error
    described = NodeDescription(name, url, hex0x(bls.public_key(secret)), hex0x(bls.prove_possession(secret)))
    click.echo(msgspec.json.encode(described).decode())


@storage_node.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--epoch", default=1, show_default=True, help="Above that of any committee before it.")
@click.option("-o", "--output", type=NEW_FILE, required=True, metavar="FILE", help="Where it goes.")
def committee(files: tuple[Path, ...], epoch: int, output: Path) -> None:
    """Write a committee of the nodes that FILES describe (see `key`), the shards spread evenly over them."""
    from hallmark.hub.committee import FORMAT, CommitteeFile, StorageNode, even_shards, read_committee

    nodes = []
    for file, shards in zip(files, even_shards(len(files)), strict=True):
        try:
            one = msgspec.json.decode(file.read_bytes(), type=NodeDescription)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(
                "bad_node_description",
                f"{file} does not describe a storage node.",
                "hallmark storage-node key prints such a description.",
            ) from error
        nodes.append(StorageNode(one.name, one.url, one.key, one.proof, shards))
    data = msgspec.json.format(msgspec.json.encode(CommitteeFile(FORMAT, epoch, tuple(nodes))), indent=2)
    made = read_committee(data)
    output.write_bytes(data + b"\n")
    weights = ", ".join(f"{node.name} {node.weight}" for node in made.nodes)
    click.echo(f"{output}: epoch {made.epoch}, {made.shards} shards ({weights}), quorum {made.quorum}")
