"""What the versions of a label were made from: their owner's word, never shown here to be so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hallmark.core.derivations import Figure
from hallmark.core.document import hex0x
from hallmark.core.names import shown_name
from hallmark.core.registry import Label
from hallmark.services.explorer.entries import tool_told
from hallmark.services.explorer.shared_views import Origin
from hallmark.services.following.followed_log import FollowedLog

UNSHOWN: Final = "something whose name is not shown here"
CHECK: Final = "No proof: anybody who has both can convert again and compare the bytes."


def origins(watch: FollowedLog, label: Label) -> tuple[Origin, ...]:
    """Of every version of which its owner said it, oldest first."""
    return tuple(_origins(watch, label))


def _origins(watch: FollowedLog, label: Label) -> Iterator[Origin]:
    registry = watch.replica.registry
    for _, digest, manifest in label.versions:
        said = registry.derivations.get(digest)
        if said is None:
            continue
        _, source = registry.manifests[said.source]
        made_from = f"{source.label} version {shown_name(source.version) or UNSHOWN}"
        tool, measured = tool_told(said.making), tuple(map(_figure, said.making.figures))
        yield Origin(
            version=manifest.version,
            manifest=hex0x(digest),
            index=said.position,
            source=hex0x(said.source),
            made_from=made_from,
            tool=tool,
            tool_digest=hex0x(said.tool),
            parameters=said.making.parameters,
            measured=measured,
            sentence=told(made_from, tool, measured),
        )


def told(made_from: str, tool: str, measured: tuple[str, ...]) -> str:
    """All of it in words, with whose word it is."""
    return (
        f"Made from {made_from}, by {tool}: the owner's word. Measured: {'; '.join(measured)}: "
        f"also the owner's word. {CHECK}"
    )


def _figure(figure: Figure) -> str:
    name, unit = shown_name(figure.name) or UNSHOWN, shown_name(figure.unit) or UNSHOWN
    return f"{name} {figure.value:,} {unit} over {figure.of:,}"
