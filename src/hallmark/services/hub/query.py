"""Query strings of a blob store, read strictly: as at Walrus, a name that means nothing is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.http.asgi import Scope

BOOLEANS: Final = {"true": True, "false": False}
NO_SUI: Final = ("send_object_to", "share")
READING: Final = ("strict_consistency_check", "skip_consistency_check")


class PutOptions(msgspec.Struct, frozen=True):
    """How a blob is to be stored."""

    epochs: int
    deletable: bool
    force: bool


def query_of(scope: Scope, *names: str) -> dict[str, str]:
    """The query's values by name. Raises InvalidInput `bad_store_request` for a name that is not among
    `names`, or that comes twice.
    """
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=64)
    except (UnicodeDecodeError, ValueError) as error:
        raise malformed("The query cannot be read.") from error
    values = dict(pairs)
    if len(values) != len(pairs) or not values.keys() <= set(names):
        raise malformed(f"The query takes these, each once: {', '.join(names) or 'nothing'}.")
    return values


def put_options(scope: Scope, most_epochs: int) -> PutOptions:
    """What the query of a PUT says. Raises InvalidInput `bad_store_request`, `no_sui_object`,
    `blob_deletable_and_permanent`.
    """
    names = ("encoding_type", "epochs", "deletable", "permanent", "force", "reuse_resources", "quilt_version")
    values = query_of(scope, *names, *NO_SUI)
    if values.get("share", "false") != "false" or "send_object_to" in values:
        raise InvalidInput(
            "no_sui_object",
            "This store makes no object on Sui, so there is none to send or to share.",
            "Leave send_object_to and share out, or use a publisher of Walrus itself.",
        )
    if values.get("encoding_type", "RS2").upper() != "RS2":
        raise malformed("Blobs are encoded as RS2.")
    if values.get("quilt_version", "v1").lower() not in ("v1", "1"):
        raise malformed("Quilts are of version v1.")
    boolean(values, "reuse_resources")
    deletable, permanent = boolean(values, "deletable"), boolean(values, "permanent")
    if deletable and permanent:
        raise InvalidInput("blob_deletable_and_permanent", "A blob cannot be both deletable and permanent.")
    epochs = number(values, "epochs", 1)
    if not 1 <= epochs <= most_epochs:
        raise malformed(f"A blob is stored for 1 to {most_epochs} epochs.")
    return PutOptions(epochs, not permanent, boolean(values, "force"))


def strict(values: Mapping[str, str]) -> bool:
    """Whether a reading query asks for the ID to be computed again. Raises InvalidInput
    `bad_store_request`, `blob_check_contradicts`.
    """
    asked, skipped = (boolean(values, name) for name in READING)
    if asked and skipped:
        raise InvalidInput("blob_check_contradicts", "A consistency check cannot be both strict and skipped.")
    return asked


def boolean(values: Mapping[str, str], name: str) -> bool:
    """`true` or `false`; false when absent. Raises InvalidInput `bad_store_request`."""
    value = BOOLEANS.get(values.get(name, "false"))
    if value is None:
        raise malformed(f"{name} is true or false.")
    return value


def number(values: Mapping[str, str], name: str, default: int | None = None) -> int:
    """A whole number. Raises InvalidInput `bad_store_request`."""
    text = values.get(name)
    if text is None and default is not None:
        return default
    if not text or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise malformed(f"{name} is a whole number.")
    return int(text)


def malformed(message: str) -> InvalidInput:
    """The error for a request that makes no sense."""
    return InvalidInput("bad_store_request", message, "See docs/blobs.md.")
