"""`/models`: labels by what is known of them and who serves them now, a page for each, and what was shown."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.explore import asked
from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces
from hallmark.services.explorer.model_filter import NAMES

DAYS = 7


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """The pages."""

    async def listed(request: Request) -> Response:
        """Labels that match, in the order of this hour."""
        cursor, limit = asked.cursor_of(request), asked.limit_of(request)
        view = await surfaces.explorer.model_list(query_of(request), cursor, limit)
        return answer(request, "models/list.html", view, following=asked.following(request, view.next))

    async def single(request: Request) -> Response:
        """One label."""
        view = await surfaces.explorer.model_card(request.path_params["label"])
        return answer(request, "models/model.html", view)

    async def exposure(request: Request) -> Response:
        """Who was shown in which place how often."""
        days = request.query_params.get("days", "")
        view = await surfaces.explorer.exposure(asked.whole(days, "days") if days else DAYS)
        return answer(request, "models/exposure.html", view)

    async def exposure_of(request: Request) -> Response:
        """One hour's table."""
        period = asked.whole(request.path_params["period"], "An hour")
        return answer(request, "models/exposed.html", await surfaces.explorer.exposure_of(period))

    return [
        Route("/models", listed),
        Route("/models/{label:path}", single),
        Route("/explore/exposure", exposure),
        Route("/explore/exposure/{period}", exposure_of),
    ]


def query_of(request: Request) -> str:
    """What is searched for, known names alone."""
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name in NAMES and value]
    return urlencode(pairs)
