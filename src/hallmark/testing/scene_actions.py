"""Acts at the desk of a scene: written down instead of done."""

from __future__ import annotations

from typing import Any

from hallmark.services.review import actions
from hallmark.services.review.views import ItemRow, Person, PolicyRow, SavedView
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene_desk import SceneDesk

WEBHOOK_SECRET = "whsec_" + "c2NlbmU="


class SceneActions:
    """A `DeskActions` that keeps what it was asked, as (method, person, arguments)."""

    def __init__(self, desk: SceneDesk) -> None:
        self._desk = desk
        self.asked: list[tuple[str, Person | None, tuple[Any, ...]]] = []

    def _note(self, name: str, person: Person | None, *given: Any) -> ItemRow:
        self.asked.append((name, person, given))
        return self._desk.row()

    async def review(self, person: Person, item: str, request: actions.ReviewRequest) -> ItemRow:
        """Noted."""
        return self._note("review", person, item, request)

    async def declare(
        self, person: Person | None, token: str, item: str, request: actions.DeclareRequest
    ) -> ItemRow:
        """Noted."""
        return self._note("declare", person, token, item, request)

    async def assign(self, person: Person, item: str, request: actions.AssignRequest) -> ItemRow:
        """Noted."""
        return self._note("assign", person, item, request)

    async def comment(self, person: Person, item: str, request: actions.CommentRequest) -> ItemRow:
        """Noted."""
        return self._note("comment", person, item, request)

    async def appeal(self, person: Person, item: str, request: actions.AppealRequest) -> ItemRow:
        """Noted."""
        return self._note("appeal", person, item, request)

    async def answer_appeal(self, person: Person, item: str, request: actions.AnswerAppealRequest) -> ItemRow:
        """Noted."""
        return self._note("answer_appeal", person, item, request)

    async def release(self, person: Person, item: str, request: actions.ReleaseRequest) -> ItemRow:
        """Noted."""
        return self._note("release", person, item, request)

    async def reject(self, person: Person, item: str, request: actions.RejectRequest) -> ItemRow:
        """Noted."""
        return self._note("reject", person, item, request)

    async def bulk(self, person: Person, request: actions.BulkRequest) -> actions.BulkDone:
        """Done to the first, refused for the rest."""
        self._note("bulk", person, request)
        return actions.BulkDone(request.items[:1], dict.fromkeys(request.items[1:], "item_not_held"))

    async def save_view(self, person: Person, request: actions.SaveViewRequest) -> SavedView:
        """Noted."""
        self._note("save_view", person, request)
        return SavedView(request.name, request.query, "" if request.shared else person.address)

    async def forget_view(self, person: Person, name: str, shared: bool = False) -> None:
        """Noted."""
        self._note("forget_view", person, name, shared)

    async def webhooks(self, person: Person) -> tuple[actions.WebhookRow, ...]:
        """One receiver."""
        row = actions.WebhookRow(
            "wh_1", "https://desk.example/hook", ("item.cleared",), 1, person.address, 2, 1, 500, 2
        )
        return (self._desk.scene.poisoned(row),)

    async def add_webhook(self, person: Person, request: actions.WebhookRequest) -> actions.WebhookRow:
        """A new receiver with its secret."""
        self._note("add_webhook", person, request)
        return actions.WebhookRow(
            "wh_2", request.url, request.events, 1, person.address, secret=WEBHOOK_SECRET
        )

    async def remove_webhook(self, person: Person, webhook: str) -> None:
        """Noted."""
        self._note("remove_webhook", person, webhook)

    async def dead_letters(self, person: Person, webhook: str) -> tuple[actions.Letter, ...]:
        """One letter."""
        self._note("dead_letters", person, webhook)
        letter = actions.Letter("dl_1", "item.cleared", parts.item_id(), 1, 10, 500, "status_500")
        return (self._desk.scene.poisoned(letter),)

    async def redeliver(self, person: Person, webhook: str, delivery: str) -> None:
        """Noted."""
        self._note("redeliver", person, webhook, delivery)

    async def propose(self, person: Person, request: actions.ProposeRequest) -> PolicyRow:
        """Noted."""
        self._note("propose", person, request)
        return (await self._desk.policies())[1]
