"""Every route under `/review`."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from hallmark.apps.web.review.item import ItemPages
from hallmark.apps.web.review.queue import QueuePages
from hallmark.apps.web.review.webhooks import WebhookPages
from hallmark.apps.web.surfaces import Surfaces


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """Fixed names first: an item's id is never one of them."""
    queue, item, webhooks = QueuePages(surfaces), ItemPages(surfaces), WebhookPages(surfaces)
    post = ["POST"]
    return [
        Route("/review", queue.queue),
        Route("/review/figures", queue.figures),
        Route("/review/appeals", queue.appeals),
        Route("/review/bulk", queue.bulk, methods=post),
        Route("/review/views", queue.save_view, methods=post),
        Route("/review/views/forget", queue.forget_view, methods=post),
        Route("/review/webhooks", webhooks.page),
        Route("/review/webhooks", webhooks.add, methods=post),
        Route("/review/webhooks/remove", webhooks.remove, methods=post),
        Route("/review/webhooks/redeliver", webhooks.redeliver, methods=post),
        Route("/review/by-receipt/{receipt}", item.by_receipt),
        Route("/review/{item}", item.item),
        Route("/review/{item}/as-seen", item.as_seen),
        Route("/review/{item}/{act}", item.act, methods=post),
    ]
