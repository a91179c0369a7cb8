"""`/policies`: what an item needs before it may be cleared, in words and as a file; and dry runs."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web import flash
from hallmark.apps.web.forms import read_form, signed_form
from hallmark.apps.web.render import answer, wants_json
from hallmark.apps.web.review.acts import asked_for
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.errors import InvalidInput
from hallmark.services.review import actions
from hallmark.services.review.views import DryRun, PolicyRow

DAY: Final = 86_400_000
SPANS: Final = (1, 7, 30, 90)
EXAMPLE: Final = """# Replace this by a policy of your own, or start from one that is in force.
name = "example"
version = 1
enforcement = "warn"
not_required = ["route", "inputs", "paid", "reviewed"]

[[requires]]
question = "ran"
state = "witnessed"
assurance = ["hardware"]

[[requires]]
question = "model"
state = "witnessed"

[[requires]]
question = "proved"
state = "witnessed"
"""


class PoliciesPage(msgspec.Struct, frozen=True):
    """Every clearing policy, the newest version first of each."""

    policies: tuple[PolicyRow, ...]


class TryPage(msgspec.Struct, frozen=True):
    """A dry run, or the wish for one: the file, how many days back, the outcome or what is wrong."""

    toml: str
    days: int
    run: DryRun | None = None
    reason: str = ""
    message: str = ""
    hint: str = ""


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """Every route under `/policies`; "try" and "propose" are no policy's name here."""
    pages = PolicyPages(surfaces)
    return [
        Route("/policies", pages.all),
        Route("/policies/try", pages.wish),
        Route("/policies/try", pages.attempt, methods=["POST"]),
        Route("/policies/propose", pages.propose, methods=["POST"]),
        Route("/policies/{name}", pages.one),
    ]


class PolicyPages:
    """Pages of policies."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces = surfaces
        self._desk, self._actions = surfaces.desk, surfaces.actions

    async def all(self, request: Request) -> Response:
        """The list."""
        done, now = flash.said(request), self._surfaces.clock()
        view = PoliciesPage(await self._desk.policies())
        return answer(request, "policies/list.html", view, headers=flash.once(done), done=done, now=now)

    async def one(self, request: Request) -> Response:
        """One policy, in words and as its file."""
        view = await self._desk.policy(request.path_params["name"])
        return answer(request, "policies/policy.html", view, now=self._surfaces.clock())

    async def wish(self, request: Request) -> Response:
        """The form of a dry run; `?from=NAME` starts from a policy's file."""
        name = request.query_params.get("from", "")
        toml = (await self._desk.policy(name)).toml if name else EXAMPLE
        return answer(request, "policies/try.html", TryPage(toml, 7), spans=SPANS)

    async def attempt(self, request: Request) -> Response:
        """A dry run. It changes nothing, so anyone may ask for one, from our own page."""
        form = await read_form(request, self._surfaces.public_url)
        toml, days = form.text("toml"), form.number("days", 7) or 7
        since = max(self._surfaces.clock() - min(days, SPANS[-1]) * DAY, 0)
        try:
            view = TryPage(toml, days, await self._desk.dry_run(toml, since))
        except InvalidInput as error:
            if wants_json(request):
                raise
            wrong = TryPage(toml, days, None, error.reason, error.message, error.hint)
            return answer(request, "policies/try.html", wrong, status=error.status, spans=SPANS)
        return answer(request, "policies/try.html", view, spans=SPANS)

    async def propose(self, request: Request) -> Response:
        """Ask the authority to sign a policy file."""
        person, form = await signed_form(request, self._surfaces)
        wanted = asked_for(actions.ProposeRequest, {"toml": form.text("toml"), "text": form.text("text")})
        await self._actions.propose(person, wanted)
        return flash.on_to(request, "proposed", "/policies")
