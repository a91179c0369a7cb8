"""`/explore`: the log, page by page. Every page is one call of the explorer and one template."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.explore import asked
from hallmark.apps.web.explore.files import Files
from hallmark.apps.web.explore.pages import ExploreHome, exact_documents, export_state
from hallmark.apps.web.formatting import LOCAL
from hallmark.apps.web.render import answer, wants_json
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.errors import HallmarkError
from hallmark.services.explorer.views import Results

FEW = 8


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """Every route under `/explore`."""
    lists, pages, files = Lists(surfaces), Single(surfaces), Files(surfaces)
    return [
        Route("/explore", lists.home),
        Route("/explore/search", lists.search),
        Route("/explore/leaves", files.leaves),
        Route("/explore/figures", pages.figures),
        Route("/explore/receipts", lists.receipts),
        Route("/explore/receipts/{receipt}.hallmark.json", files.dossier),
        Route("/explore/receipts/{receipt}.pdf", files.pdf),
        Route("/explore/receipts/{receipt}", pages.receipt),
        Route("/explore/checkpoints", lists.checkpoints),
        Route("/explore/checkpoints/{size}", pages.checkpoint),
        Route("/explore/nodes", lists.nodes),
        Route("/explore/nodes/{key}", pages.node),
        Route("/explore/models", lists.models),
        Route("/explore/models/{label:path}", pages.model),
        Route("/explore/faults", lists.faults),
        Route("/explore/measurements", lists.measurements),
        Route("/explore/offers", lists.offers),
        Route("/explore/offers/{offer}", pages.offer),
        Route("/explore/accounts/{address}", pages.account),
        Route("/explore/settlements", lists.settlements),
        Route("/explore/settlements/{transaction}", pages.settlement),
        Route("/explore/settlements/{enclave}/{sequence}", pages.settlement_of),
        Route("/explore/entries/{index}", pages.entry),
    ]


class Lists:
    """Pages of rows."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._explorer = surfaces.explorer
        self._clock = surfaces.clock

    async def home(self, request: Request) -> Response:
        """The newest of everything, counts, and the search box."""
        explorer = self._explorer
        network, figures = await explorer.network(), await explorer.figures()
        receipts, checkpoints = await explorer.receipts("", "", FEW), await explorer.checkpoints("", FEW)
        view = ExploreHome(
            self._clock(),
            network.size,
            network.cosigned,
            network.cosigned_at,
            network.backlog,
            figures.entries,
            receipts.rows,
            checkpoints.rows,
        )
        return answer(request, "explore/home.html", view)

    async def search(self, request: Request) -> Response:
        """Results; a single one is where a person is sent at once."""
        query = request.query_params.get("q", "").strip()[: asked.LONGEST]
        results = await self._explorer.search(query) if query else Results("", ())
        if len(results.rows) == 1 and not wants_json(request) and LOCAL.fullmatch(results.rows[0].link):
            return RedirectResponse(results.rows[0].link, 303, {"cache-control": "no-store"})
        return answer(request, "explore/search.html", results)

    async def receipts(self, request: Request) -> Response:
        """Receipts, newest first."""
        wanted = asked.filter_of(request)
        view = await self._explorer.receipts(wanted, asked.cursor_of(request), asked.limit_of(request))
        return answer(request, "explore/receipts.html", view, following=asked.following(request, view.next))

    async def checkpoints(self, request: Request) -> Response:
        """Checkpoints, newest first."""
        view = await self._explorer.checkpoints(asked.cursor_of(request), asked.limit_of(request))
        return answer(
            request, "explore/checkpoints.html", view, following=asked.following(request, view.next)
        )

    async def faults(self, request: Request) -> Response:
        """Faults and objections, newest first."""
        view = await self._explorer.faults(asked.cursor_of(request), asked.limit_of(request))
        return answer(request, "explore/faults.html", view, following=asked.following(request, view.next))

    async def nodes(self, request: Request) -> Response:
        """Every registered party."""
        return answer(request, "explore/nodes.html", await self._explorer.nodes())

    async def models(self, request: Request) -> Response:
        """Every label."""
        return answer(request, "explore/models.html", await self._explorer.models())

    async def measurements(self, request: Request) -> Response:
        """Every measurement."""
        return answer(request, "explore/measurements.html", await self._explorer.measurements())

    async def offers(self, request: Request) -> Response:
        """Every price offer."""
        return answer(request, "explore/offers.html", await self._explorer.payments.offers())

    async def settlements(self, request: Request) -> Response:
        """The newest settlements, as the chain tells them."""
        return answer(request, "explore/settlements.html", await self._explorer.payments.settlements())


class Single:
    """Pages of one thing."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces = surfaces
        self._explorer = surfaces.explorer

    async def receipt(self, request: Request) -> Response:
        """The dossier as a page."""
        wanted = request.path_params["receipt"]
        view = await self._explorer.receipt(wanted)
        if wants_json(request):
            return answer(request, "explore/receipt.html", view)
        return answer(
            request,
            "explore/receipt.html",
            view,
            held=await export_state(self._surfaces.desk, view.row.id, view.row.marks),
            documents=exact_documents(await self._dossier(view.row.id)),
        )

    async def _dossier(self, receipt: str) -> bytes:
        """The dossier's bytes, or none when they cannot be had now: the page stands without them."""
        try:
            return await self._explorer.dossier(receipt)
        except HallmarkError:
            return b""

    async def checkpoint(self, request: Request) -> Response:
        """One checkpoint."""
        size = asked.whole(request.path_params["size"], "A checkpoint's size")
        return answer(request, "explore/checkpoint.html", await self._explorer.checkpoint(size))

    async def node(self, request: Request) -> Response:
        """One party."""
        return answer(request, "explore/node.html", await self._explorer.node(request.path_params["key"]))

    async def model(self, request: Request) -> Response:
        """One label."""
        return answer(request, "explore/model.html", await self._explorer.model(request.path_params["label"]))

    async def entry(self, request: Request) -> Response:
        """One log entry."""
        index = asked.whole(request.path_params["index"], "A log position")
        return answer(request, "explore/entry.html", await self._explorer.entry(index))

    async def offer(self, request: Request) -> Response:
        """One offer."""
        view = await self._explorer.payments.offer(request.path_params["offer"])
        return answer(request, "explore/offer.html", view)

    async def account(self, request: Request) -> Response:
        """A payer's or a payee's address."""
        view = await self._explorer.payments.account(request.path_params["address"])
        return answer(request, "explore/account.html", view)

    async def settlement(self, request: Request) -> Response:
        """The settlements of one transaction."""
        view = await self._explorer.payments.settlement(request.path_params["transaction"])
        return answer(request, "explore/settlement.html", view)

    async def settlement_of(self, request: Request) -> Response:
        """A settlement by its enclave's key and number."""
        asked_for = request.path_params
        sequence = asked.whole(asked_for["sequence"], "A settlement's number")
        view = await self._explorer.payments.settlement(asked_for["enclave"], sequence)
        return answer(request, "explore/settlement.html", view)

    async def figures(self, request: Request) -> Response:
        """Figures that follow from the leaves alone."""
        return answer(request, "explore/figures.html", await self._explorer.figures())
