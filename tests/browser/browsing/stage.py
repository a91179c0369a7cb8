"""The real pages over a scene that a test changes as it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette

from browsing.gateway import FakeGateway
from browsing.serving import awaited
from hallmark.apps.web.app import create_app
from hallmark.apps.web.claims import Facts
from hallmark.apps.web.legend import legend
from hallmark.apps.web.surfaces import Surfaces
from hallmark.services.explorer.payment_views import AccountPage
from hallmark.services.explorer.views import ReceiptPage, Receipts
from hallmark.services.review.views import ItemPage, Person, QueuePage
from hallmark.testing import scene_parts as parts
from hallmark.testing import surfaces as fakes
from hallmark.testing.scene import POLICY, Scene, marks_of
from hallmark.testing.scene_desk import SceneDesk
from hallmark.testing.scene_explorer import SceneExplorer
from hallmark.verification.dossier import Salts

BUILT = Path(__file__).parents[3] / ".build" / "web"


class Stage:
    """`scene` is what single pages show; `rows`, where given, are one scene for each line of a list; `left`,
    where given, is what vault accounts hold.
    """

    def __init__(self, scene: Scene | None = None, rows: tuple[Scene, ...] = ()) -> None:
        self.scene, self.rows = scene or Scene(), rows
        self.gateway = FakeGateway()
        self.left = ""
        self.surfaces: Surfaces = msgspec.structs.replace(
            fakes.surfaces(self.scene, BUILT, ""), desk=_Desk(self), explorer=_Explorer(self)
        )

    def app(self) -> Starlette:
        """The application as it is shipped, and behind it, as in the product, a gateway."""
        app = create_app(self.surfaces)
        app.router.routes.extend(self.gateway.routes())
        return app

    def cookies(self) -> dict[str, str]:
        """The cookie of a reviewer who has just signed in."""
        session = awaited(fakes.signed_in(self.surfaces))
        return {self.surfaces.sessions.cookie_name: session.token}

    def facts(self) -> dict[str, Facts]:
        """What stands about every item that the pages may speak of."""
        scenes = self.rows or (self.scene,) * max(self.scene.items, 1)
        return {parts.item_id(number): facts_of(scene) for number, scene in enumerate(scenes)}


def facts_of(scene: Scene) -> Facts:
    """What stands in a scene."""
    return Facts.of(
        marks_of(scene),
        path=scene.path,
        preserved=scene.memory,
        item=scene.state,
        policy=POLICY.name,
        label=parts.LABEL,
        artifact=parts.artifact(),
    )


def legend_facts() -> dict[str, Facts]:
    """What the legend's drawings show, which belong to no answer: each row is judged as if it did."""
    page = legend()
    rows = {f"legend:{row.state}": Facts.of(row.marks) for row in page.states}
    return {**rows, **{f"legend:{one.name}": Facts.of([one.mark]) for one in page.qualifiers}}


class _Desk:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(SceneDesk(self._stage.scene), name)

    async def item(self, receipt: str, person: Person | None) -> ItemPage:
        """A receipt of the gateway's has the scene's item; any other is the scene's own affair."""
        known = self._stage.gateway.knows(receipt)
        page = await SceneDesk(self._stage.scene).item(parts.item_id(0) if known else receipt, person)
        row = msgspec.structs.replace(page.row, id=receipt)
        return msgspec.structs.replace(page, row=row) if known else page

    async def queue(self, query: str, cursor: str, limit: int, person: Person | None = None) -> QueuePage:
        """The scene's own queue, or a line for each of `rows`."""
        stage = self._stage
        page = await SceneDesk(stage.scene).queue(query, "" if stage.rows else cursor, limit, person)
        if not stage.rows:
            return page
        start, wanted = int(cursor or 0), parse_qs(query).get("state", ["HOLD"])[0].split(",")
        rows = [
            msgspec.structs.replace(SceneDesk(scene).row(), id=parts.item_id(number))
            for number, scene in enumerate(stage.rows)
            if scene.state in wanted
        ]
        end = start + limit
        following = str(end) if end < len(rows) else ""
        return msgspec.structs.replace(page, rows=tuple(rows[start:end]), total=len(rows), next=following)


class _Explorer:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(SceneExplorer(self._stage.scene), name)

    async def receipt(self, receipt: str) -> ReceiptPage:
        """As with items of the desk."""
        known = self._stage.gateway.knows(receipt)
        page = await SceneExplorer(self._stage.scene).receipt(parts.item_id(0) if known else receipt)
        row = msgspec.structs.replace(page.row, id=receipt)
        return msgspec.structs.replace(page, row=row) if known else page

    @property
    def payments(self) -> _Payments:
        """The scene's money."""
        return _Payments(self._stage)

    async def dossier(self, receipt: str) -> bytes:
        """The public dossier of a receipt of the gateway's, without what is its owner's."""
        if not self._stage.gateway.knows(receipt):
            return await SceneExplorer(self._stage.scene).dossier(receipt)
        whole = self._stage.gateway.saved(receipt)
        return msgspec.structs.replace(whole, request=None, response=None, salts=Salts(None, None)).encode()

    async def receipts(self, query: str, cursor: str, limit: int) -> Receipts:
        """The scene's own receipts, or a line for each of `rows`."""
        stage = self._stage
        if not stage.rows:
            return await SceneExplorer(stage.scene).receipts(query, cursor, limit)
        start = int(cursor or 0)
        rows = [
            msgspec.structs.replace(SceneExplorer(scene).row(), id=parts.item_id(number))
            for number, scene in enumerate(stage.rows)
        ]
        end = start + limit
        following = str(end) if end < len(rows) else ""
        return Receipts(len(rows), following, 1_088, tuple(rows[start:end]))


class _Payments:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(SceneExplorer(self._stage.scene).payments, name)

    async def account(self, address: str) -> AccountPage:
        """The scene's, with what is left in it."""
        page = await SceneExplorer(self._stage.scene).payments.account(address)
        if not self._stage.left:
            return page
        held = [msgspec.structs.replace(one, shown=self._stage.left) for one in page.balances]
        return msgspec.structs.replace(page, balances=tuple(held))
