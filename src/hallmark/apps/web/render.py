"""How a page answers: HTML from a template, or its JSON twin from the very same struct.

`answer(request, "review/item.html", view)` is all that a page function calls. The twin stands at the page's
path with `.json` behind it, and is also what `Accept: application/json` gets.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import jinja2
import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from hallmark.apps.web import formatting, times
from hallmark.apps.web.drawings import DRAWINGS
from hallmark.apps.web.marks import Drawer, said, spec
from hallmark.apps.web.surfaces import Surfaces
from hallmark.apps.web.visitor import visitor_of
from hallmark.core.marks import Question

TEMPLATES: Final = Path(__file__).parent / "templates"
TWIN: Final = "hallmark.twin"
# Beside a row in a table; by keyboard the column's heading leads there, once for all rows.
LEGEND_KEY: Final = Markup(
    '<a class="hm-key" href="/marks" tabindex="-1" title="What the marks mean" '
    'aria-label="What the marks mean">?</a>'
)
LEGEND_LINK: Final = Markup('<p class="small hm-legend"><a href="/marks">What the marks mean</a></p>')
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates with what all of them may use; made once, since it depends on nothing."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "short": formatting.short,
        "when": times.when,
        "ago": times.ago,
        "lasting": times.lasting,
        "gap": times.gap,
        "span": times.span,
        "copyable": formatting.copyable,
        "link_to": formatting.link_to,
        "full": times.full,
        "party": formatting.party,
        "named": formatting.named,
        "grouped": formatting.grouped,
        "plain": formatting.plain,
    }
    made.globals |= {
        "questions": tuple(question.value for question in Question),
        **DRAWINGS,
        "marks_spec": spec(),
        "said": said,
        "copyable": formatting.copyable,
        "when": times.when,
        "legend_key": LEGEND_KEY,
        "legend_link": LEGEND_LINK,
    }
    return made


class Pages:
    """How the pages of one application are written. One per application, at `app.state.pages`."""

    def __init__(self, surfaces: Surfaces) -> None:
        self.surfaces = surfaces
        self.environment = environment()

    def render(self, request: Request, template: str, view: object, context: Mapping[str, Any]) -> str:
        """The HTML of a page."""
        visitor = visitor_of(request.scope)
        own = {
            "view": view,
            "marks": Drawer(self.environment),
            "path": request.scope.get("hallmark.path", request.url.path),
            "query": request.url.query,
            "twin": twin_link(request),
            "permanent": permanent_address(request, self.surfaces.public_url),
            "person": visitor.person,
            "csrf": visitor.csrf,
            "network": self.surfaces.network,
            "chain_id": self.surfaces.chain_id,
        }
        return self.environment.get_template(template).render(own | dict(context))


def answer(
    request: Request,
    template: str,
    view: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """The page, or its JSON twin: `view` alone, field by field. `context` is for the template only."""
    own = {"vary": "accept, cookie", "cache-control": "no-store", **(headers or {})}
    if wants_json(request):
        return Response(msgspec.json.encode(view), status, own, JSON)
    pages: Pages = request.app.state.pages
    return Response(pages.render(request, template, view, context), status, own, HTML)


def wants_json(request: Request) -> bool:
    """True for a `.json` address, and for a program that accepts JSON and not HTML."""
    accept = request.headers.get("accept", "")
    return bool(request.scope.get(TWIN)) or ("application/json" in accept and "text/html" not in accept)


def twin_link(request: Request) -> str:
    """The address of this page's JSON twin, with its query."""
    path = request.url.path if request.url.path != "/" else "/index"
    return f"{quote(path, safe='/:')}.json" + (f"?{request.url.query}" if request.url.query else "")


def permanent_address(request: Request, public_url: str) -> str:
    """Where this page stands for good: without what is only said once after an act."""
    query = urlencode([pair for pair in parse_qsl(request.url.query) if pair[0] not in ("done", "proof")])
    path = quote(request.url.path, safe="/:")
    return f"{origin(request, public_url)}{path}" + (f"?{query}" if query else "")


def origin(request: Request, public_url: str) -> str:
    """Scheme and host under which the visitor sees this page; `public_url` wins over the request."""
    if public_url:
        parts = urlsplit(public_url)
        return f"{parts.scheme}://{parts.netloc}"
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    host = request.headers.get("x-forwarded-host", request.headers.get("host", ""))
    return f"{scheme}://{host}"


def secure(request: Request, public_url: str) -> bool:
    """True when the visitor came by https, so that a cookie may be kept to it."""
    return origin(request, public_url).startswith("https://")
