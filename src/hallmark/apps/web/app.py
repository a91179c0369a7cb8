"""The web application: pages for people, their JSON twins, and the desk's JSON API, on one origin."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from hallmark.apps.web import home, legend, models, network, policies, sign_in, verify
from hallmark.apps.web.assets import Assets
from hallmark.apps.web.error_pages import as_page, http_exception, tell
from hallmark.apps.web.explore import routes as explore
from hallmark.apps.web.headers import FixedHeaders
from hallmark.apps.web.render import Pages
from hallmark.apps.web.review import routes as review
from hallmark.apps.web.surfaces import Surfaces
from hallmark.apps.web.twins import Twins
from hallmark.apps.web.visitor import Visitors
from hallmark.http.errors import Errors

STATIC = Path(__file__).parent / "static"


def create_app(surfaces: Surfaces) -> Starlette:
    """The application. Middleware from the outside in: headers, twins, errors, who asks."""
    assets = Assets((surfaces.assets, STATIC))
    app = Starlette(
        routes=[
            Route("/assets/{name}", assets.serve),
            Route("/favicon.ico", assets.icon),
            *home.routes(surfaces),
            *legend.routes(),
            *review.routes(surfaces),
            *policies.routes(surfaces),
            *sign_in.routes(surfaces),
            *explore.routes(surfaces),
            *models.routes(surfaces),
            *network.routes(surfaces),
            *verify.routes(surfaces),
            *surfaces.api,
        ],
        middleware=[
            Middleware(FixedHeaders),
            Middleware(Twins),
            Middleware(Errors, answer=as_page, tell=tell),
            Middleware(Visitors, sessions=surfaces.sessions),
        ],
        exception_handlers={HTTPException: http_exception},
    )
    app.router.redirect_slashes = False
    app.state.pages = Pages(surfaces)
    return app
