"""The first page: what this is, where to go, and how the log stands now. And the place of the chat."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.headers import reaching
from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces


class HomePage(msgspec.Struct, frozen=True):
    """The log as this process follows it: `size` entries, of which a quorum covers `cosigned`, since
    `cosigned_at` (unix ms, 0: never). `held` and `items` are the desk's figures.
    """

    now: int
    size: int
    cosigned: int
    cosigned_at: int
    items: int
    held: int


class ChatPage(msgspec.Struct, frozen=True):
    """What the chat's page says without script: the network that it asks, and the relay through which it can
    ("" where there is none).
    """

    network: str
    chain_id: int
    relay: str = ""


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """`/` and `/chat`."""

    async def home(request: Request) -> Response:
        network = await surfaces.explorer.network()
        figures = await surfaces.desk.figures()
        view = HomePage(
            surfaces.clock(), network.size, network.cosigned, network.cosigned_at, figures.items, figures.held
        )
        return answer(request, "home.html", view)

    async def chat(request: Request) -> Response:
        view = ChatPage(surfaces.network, surfaces.chain_id, surfaces.relay)
        policy = {"content-security-policy": reaching(surfaces.relay)}
        return answer(request, "chat.html", view, headers=policy)

    return [Route("/", home), Route("/chat", chat)]
