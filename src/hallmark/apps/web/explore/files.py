"""Files of the explorer: leaves as bytes, a receipt's dossier, and the same dossier as a PDF to file."""

from __future__ import annotations

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from hallmark.apps.web.explore import asked
from hallmark.apps.web.explore.pages import export_state
from hallmark.apps.web.render import origin
from hallmark.apps.web.surfaces import Surfaces
from hallmark.services.explorer.views import ReceiptPage

LEAVES: Final = "application/octet-stream"
_NAME = re.compile(r"[^0-9a-zA-Z]")


class Files:
    """Answers with bytes; a file that is exported in HOLD says so in its name."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces = surfaces
        self._explorer = surfaces.explorer

    async def leaves(self, request: Request) -> Response:
        """Leaves `start` to `end` as a C2SP entry bundle. Raises InvalidInput `bad_number`."""
        start = asked.whole(request.query_params.get("start", ""), "start")
        end = asked.whole(request.query_params.get("end", ""), "end")
        data = await self._explorer.leaves(start, end)
        return Response(data, media_type=LEAVES, headers=_file(f"leaves-{start}-{end}.bin"))

    async def dossier(self, request: Request) -> Response:
        """The exact bytes of the `.hallmark.json` file."""
        view = await self._explorer.receipt(request.path_params["receipt"])
        data = await self._explorer.dossier(view.row.id)
        held = await export_state(self._surfaces.desk, view.row.id, view.row.marks)
        name = _name(view.row.id, held) + ".hallmark.json"
        return Response(data, media_type="application/json", headers=_file(name))

    async def pdf(self, request: Request) -> Response:
        """The receipt as a page to file, with the exact dossier attached."""
        view = await self._explorer.receipt(request.path_params["receipt"])
        data = await self._explorer.dossier(view.row.id)
        held = await export_state(self._surfaces.desk, view.row.id, view.row.marks)
        site = origin(request, self._surfaces.public_url)
        made = await run_in_threadpool(_drawn, view, data, held, site)
        return Response(made, media_type="application/pdf", headers=_file(_name(view.row.id, held) + ".pdf"))


def _drawn(view: ReceiptPage, dossier: bytes, held: str, site: str) -> bytes:
    # Imported when the first file is asked for: fonts, images and numpy under it are 25 MB and start threads.
    from hallmark.apps.web.pdf import receipt_pdf

    return receipt_pdf(view, dossier, held, site)


def _name(receipt: str, held: str) -> str:
    whole = _NAME.sub("", receipt)[:18]
    return f"{held}-{whole}" if held else whole


def _file(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
