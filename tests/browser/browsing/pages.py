"""Which pages there are: asked of the application itself, so that a new one cannot be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route

from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import digest
from hallmark.testing.scene_explorer import SIZE
from hallmark.testing.scene_payments import ENCLAVE, OFFER, PAYER, TRANSACTION

SUBJECT = parts.item_id(0)
# What stands for each part of an address. Another part fails the walk until somebody adds it here.
PARTS = {
    "item": SUBJECT,
    "receipt": SUBJECT,
    "size": str(SIZE),
    "key": parts.node_key(),
    "label": parts.LABEL,
    "label:path": parts.LABEL,
    "index": "1042",
    "name": "witnessed",
    "digest": digest("measurement"),
    "number": "1",
    "offer": OFFER,
    "address": PAYER,
    "transaction": TRANSACTION,
    "enclave": ENCLAVE,
    "sequence": "4",
    "period": "498000",
}
QUERIES = {"/explore/search": "?q=0x5b2c1e", "/explore/leaves": "?start=0&end=2"}
# Files of the build and ways to pages, not pages.
NOT_PAGES = ("/assets/{name}", "/favicon.ico", "/review/by-receipt/{receipt}")
SLOT = re.compile(r"\{([^}]+)\}")


class Page(msgspec.Struct, frozen=True):
    """A page: its route, an address of it, and whether it is about one receipt."""

    route: str
    address: str
    single: bool


def pages(app: Starlette) -> Iterator[Page]:
    """Every address that answers GET, the JSON API apart."""
    for route in app.routes:
        if not isinstance(route, Route) or "GET" not in (route.methods or ()) or route.path in NOT_PAGES:
            continue
        if route.path.startswith("/v1/"):
            continue
        unknown = [slot for slot in SLOT.findall(route.path) if slot not in PARTS]
        assert not unknown, f"{route.path}: say in browsing/pages.py what stands for {unknown}"
        address = SLOT.sub(lambda found: PARTS[found[1]], route.path) + QUERIES.get(route.path, "")
        yield Page(route.path, address, SUBJECT in address)
