"""`/network`: who does their job and since when, usable capacity, what was observed, what fails, and how far
proof lags behind answers. It shows itself anew while it is open, unless asked not to.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.errors import InvalidInput

RANGES = {"1": "1 hour", "6": "6 hours", "24": "24 hours", "168": "7 days"}
REFRESH_S = 15


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """`/network`, with `hours` and `refresh=off`."""

    async def network(request: Request) -> Response:
        hours = request.query_params.get("hours", "1")
        if hours not in RANGES:
            raise InvalidInput("bad_query", f"A range is one of {', '.join(RANGES)} hours.")
        view = await surfaces.explorer.network(int(hours))
        every = 0 if request.query_params.get("refresh") == "off" else REFRESH_S
        return answer(request, "network.html", view, ranges=RANGES, hours=hours, every=every)

    return [Route("/network", network)]
