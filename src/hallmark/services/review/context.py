"""The desk's parts as its pages and acts share them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable
from hallmark.review.screens import Screen
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.review.evaluator import NOT_SHOWN, Evaluator
from hallmark.services.review.item_changes import SeenScreen
from hallmark.services.review.item_repository import ITEMS_ARE, ItemRepository
from hallmark.services.review.people import People
from hallmark.services.review.policies_in_force import PoliciesInForce
from hallmark.services.review.queue import Queue
from hallmark.services.review.review_submitter import ReviewSubmitter
from hallmark.services.review.settings import Settings
from hallmark.services.review.store import DeskStore
from hallmark.services.review.webhooks import Webhooks


class DeskContext(msgspec.Struct, frozen=True):
    """Everything behind the desk's counter."""

    settings: Settings
    watch: FollowedLog
    store: DeskStore
    items: ItemRepository
    evaluator: Evaluator
    policies: PoliciesInForce
    people: People
    queue: Queue
    submitting: ReviewSubmitter
    webhooks: Webhooks
    network: bytes
    chain_id: int
    clock: Callable[[], int]

    async def screen_of(self, item: bytes, digest: str) -> SeenScreen:
        """What a person decides on: the screen that they name, which must have been shown for this
        item; without a
        name the one that the desk shows now. Raises InvalidInput `screen_not_shown`, NotFound `unknown_item`,
        Unavailable `item_not_shown`.
        """
        if not digest:
            loaded = await self.items.load(item)
            judged = self.evaluator.judge(loaded.item, self.clock(), in_full=True)
            if judged is None:
                raise Unavailable("item_not_shown", f"The item is {NOT_SHOWN}.", "Try again in a moment.")
            return SeenScreen(judged.screen, judged.screen.marks)
        kept = await self.store.screen(item, unhex(digest))
        if kept is None:
            raise InvalidInput(
                "screen_not_shown",
                "No such screen was shown for this item.",
                "Load the item again.",
            )
        screen = Screen.decode(kept)
        return SeenScreen(screen, screen.marks)


class DeskPart:
    """Base of what is done at the desk's counter."""

    def __init__(self, office: DeskContext) -> None:
        self._office = office


def item_id(text: str) -> bytes:
    """A receipt id; 32 bytes. Raises NotFound `unknown_item` for anything else."""
    try:
        found = unhex(text.lower())
    except HallmarkError:
        found = b""
    if len(found) != 32:
        raise NotFound("unknown_item", "The desk knows no item with this id.", ITEMS_ARE)
    return found
