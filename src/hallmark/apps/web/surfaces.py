"""What the pages are made of: everything that `create_app` is handed, and nothing that it looks up itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from starlette.routing import BaseRoute

from hallmark.services.explorer.views import ExplorerView
from hallmark.services.review.actions import DeskActions
from hallmark.services.review.sessions import Sessions
from hallmark.services.review.views import DeskView


class Surfaces(msgspec.Struct, frozen=True):
    """The parts behind the pages.

    `assets` is the folder of the built browser code, `clock` gives unix ms, `public_url` is the origin under
    which people reach these pages ("" when it follows the request), `network` the network's id (0x-hex) and
    `chain_id` the EIP-712 domain's chain, which a browser needs to sign. `relay` is the address of the relay
    that the chat may seal through ("" for none). `api` are the JSON API's routes.
    """

    desk: DeskView
    actions: DeskActions
    explorer: ExplorerView
    sessions: Sessions
    clock: Callable[[], int]
    assets: Path
    public_url: str = ""
    network: str = ""
    chain_id: int = 0
    relay: str = ""
    api: Sequence[BaseRoute] = ()
