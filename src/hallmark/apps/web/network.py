"""`/network`: usable capacity now, what fails and why, and how far proof lags behind answers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """`/network`."""

    async def network(request: Request) -> Response:
        return answer(request, "network.html", await surfaces.explorer.network())

    return [Route("/network", network)]
