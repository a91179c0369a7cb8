"""`hallmark image`: build the enclave image, or measure one."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from hallmark.apps.cli.output import console, emit
from hallmark.services.node.image_contents import ENGINES, USUAL
from hallmark.services.node.machine import detect
from hallmark.services.node.measure import build_image, inspect


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=click.Choice([*ENGINES, "none"]),
    help="Leave out what other engines need; none: only passes on what upstream servers say.",
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.pass_obj
def image(home: Path, /, file: Path | None, *, engines: tuple[str, ...], as_data: bool) -> None:
    """Build this installation's enclave image and print what it measures to.

    With FILE, measure that image instead. Two builds of the same installation give the same hash.
    """
    wanted = [engine for engine in engines or USUAL if engine in ENGINES]
    info = inspect(file, detect()) if file else build_image(home / "image", wanted)
    if as_data:
        emit(msgspec.json.format(msgspec.json.encode(info), indent=2).decode() + "\n")
        return
    for name, value in (
        ("image", info.path),
        ("bytes", f"{info.size:,}"),
        ("SHA-384", info.sha384),
        ("PCR0", info.pcr0),
        ("PCR1", info.pcr1),
        ("PCR2", info.pcr2),
    ):
        console().print(f"{name:<9}{value}", soft_wrap=True)
