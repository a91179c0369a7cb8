"""`/models`: every label with who serves it now, and a page for each, with its artifacts and lineage."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.explore import asked
from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """The two pages."""

    async def listed(request: Request) -> Response:
        """Labels, in alphabetical order."""
        cursor, limit = asked.cursor_of(request), asked.limit_of(request)
        view = await surfaces.explorer.model_list(cursor, limit)
        return answer(request, "models/list.html", view, following=asked.following(request, view.next))

    async def single(request: Request) -> Response:
        """One label."""
        view = await surfaces.explorer.model_card(request.path_params["label"])
        return answer(request, "models/model.html", view)

    return [Route("/models", listed), Route("/models/{label:path}", single)]
