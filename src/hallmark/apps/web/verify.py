"""`/verify`: a saved receipt and a trust file, read in the browser and sent nowhere; without script, what
to do instead.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces

TRUST: Final = "/v1/hallmark/trust.json"
COMMAND: Final = "hallmark verify FILE --trust trust.toml"


class VerifyPage(msgspec.Struct, frozen=True):
    """What the page says without script: the network whose own trust file it offers, where that is, and the
    command that does the same with a trust file of one's own.
    """

    network: str
    chain_id: int
    trust: str = TRUST
    command: str = COMMAND


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """`/verify`."""

    async def verify(request: Request) -> Response:
        return answer(request, "verify.html", VerifyPage(surfaces.network, surfaces.chain_id))

    return [Route("/verify", verify)]
