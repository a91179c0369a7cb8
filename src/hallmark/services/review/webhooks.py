"""Tells receivers what happened: signed as Standard Webhooks says, in order for each item, until it arrives.

    webhook-id         the delivery's, the same at every try
    webhook-timestamp  unix seconds of this try
    webhook-signature  v1,base64(HMAC-SHA256(secret, id "." timestamp "." body))

1. What is to be told lies on disk before anybody is told, and goes when the receiver answered 2xx.
2. Of one item the later is never sent before the earlier has arrived or was given up.
3. A try that fails is repeated later and later; at last the delivery is a dead letter, which a person may
revive.
4. A receiver that is away costs the others nothing, and what waits for it is bounded.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, NotFound
from hallmark.services.review.actions import Letter, WebhookRequest, WebhookRow
from hallmark.services.review.deliveries import MAIL, Delivery, DeliveryStore, Hook
from hallmark.services.review.http_post import HTTPPost
from hallmark.services.review.mail import Mailer
from hallmark.services.review.notices import EVENTS, read, words
from hallmark.services.review.settings import Settings
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics

PARALLEL: Final = 8
PAUSES_MS: Final = (5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000)
IDLE_S: Final = 30.0
GONE: Final = 410
AGENT: Final = "hallmark-webhooks/1"
Send = Callable[[Delivery], Awaitable[int]]


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message; see the module docstring."""
    mac = hmac.digest(secret, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


class Webhooks:
    """Receivers and the work of telling them. `run` must run."""

    def __init__(
        self,
        settings: Settings,
        store: DeliveryStore,
        posting: HTTPPost,
        *,
        secret: bytes,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        metrics: Metrics,
    ) -> None:
        self._limits, self._store, self._posting = settings.webhooks, store, posting
        self._secret, self._clock, self._random = secret, clock, random
        self._public_url = settings.public_url
        self._mail_events = settings.mail.events if settings.mail else ()
        self._mailer = Mailer(settings.mail) if settings.mail else None
        self._changed = asyncio.Event()
        self._wakes: dict[str, asyncio.Event] = {}
        self._outcomes = metrics.counter("review_deliveries", "Tries to tell a receiver.", ("outcome",))

    @property
    def count(self) -> int:
        """How many receivers there are."""
        return len(self._store.hooks)

    def receivers(self, event: str) -> tuple[str, ...]:
        """Who is to be told of an event."""
        found = tuple(hook.id for hook in self._store.hooks.values() if hook.wants(event))
        return (*found, MAIL) if event in self._mail_events else found

    def secret_of(self, hook: str) -> bytes:
        """A receiver's secret, 32 bytes: derived, so that the disk holds none."""
        return hmac.digest(self._secret, b"hallmark/review/webhook\0" + hook.encode(), "sha256")

    def wake(self) -> None:
        """There is something to deliver."""
        for wake in self._wakes.values():
            wake.set()

    async def add(self, request: WebhookRequest, by: bytes) -> WebhookRow:
        """Add a receiver. Raises InvalidInput `bad_webhook_url`, `unknown_event`, Conflict
        `too_many_webhooks`.
        """
        unknown = set(request.events) - set(EVENTS)
        if unknown:
            raise InvalidInput("unknown_event", "There is no such event.", f"There are {', '.join(EVENTS)}.")
        if len(self._store.hooks) >= self._limits.count:
            raise Conflict("too_many_webhooks", f"There are at most {self._limits.count} receivers.")
        await self._posting.check(request.url)
        hook = Hook("wh_" + self._random(10).hex(), request.url, request.events, self._clock(), by)
        await self._store.add(hook)
        self._changed.set()
        shown = "whsec_" + base64.b64encode(self.secret_of(hook.id)).decode()
        return msgspec.structs.replace(_row(hook, 0, 0), secret=shown)

    async def remove(self, hook: str) -> None:
        """Remove a receiver. Raises NotFound `unknown_webhook`."""
        self._known(hook)
        await self._store.remove(hook)
        self._changed.set()

    async def rows(self) -> tuple[WebhookRow, ...]:
        """Every receiver."""
        counts = await self._store.counts()
        return tuple(_row(hook, *counts.get(hook.id, (0, 0))) for hook in self._store.hooks.values())

    async def letters(self, hook: str) -> tuple[Letter, ...]:
        """Dead letters of a receiver. Raises NotFound `unknown_webhook`."""
        self._known(hook)
        return await self._store.letters(hook)

    async def redeliver(self, hook: str, delivery: str) -> None:
        """Try a dead letter again. Raises NotFound `unknown_webhook`, `unknown_delivery`."""
        self._known(hook)
        await self._store.revive(hook, delivery)
        self.wake()

    async def run(self) -> None:
        """Deliver, for ever: each receiver in a task of its own."""
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = {*self._store.hooks, *((MAIL,) if self._mailer else ())}
                for receiver in wanted - set(tasks):
                    self._wakes[receiver] = asyncio.Event()
                    tasks[receiver] = group.create_task(self._serve(receiver))
                for receiver in set(tasks) - wanted:
                    tasks.pop(receiver).cancel()
                    del self._wakes[receiver]
                self._changed.clear()
                await self._changed.wait()

    async def round(self, receiver: str) -> int | None:
        """Send everything to a receiver that may be sent now. When to look again (unix ms); None when nothing
        waits. Raises Unavailable as the store does.
        """
        given_up = await self._store.trim(receiver, self._limits.backlog)
        if given_up:
            get_logger().warning("deliveries_given_up", receiver=receiver, count=given_up)
        while True:
            heads, _ = await self._store.heads(receiver)
            ready = [head for head in heads if head.next <= self._clock()][:PARALLEL]
            if not ready:
                return min((head.next for head in heads), default=None)
            await asyncio.gather(*(self._try(delivery) for delivery in ready))

    async def _serve(self, receiver: str) -> None:
        while True:
            self._wakes[receiver].clear()
            pause = IDLE_S
            try:
                again = await self.round(receiver)
                if again is not None:
                    pause = min(max((again - self._clock()) / 1000, 0.05), IDLE_S)
            except HallmarkError as error:
                get_logger().warning("deliveries_not_read", receiver=receiver, reason=error.reason)
                pause = 1.0
            try:
                async with asyncio.timeout(pause):
                    await self._wakes[receiver].wait()
            except TimeoutError:
                continue

    async def _try(self, delivery: Delivery) -> None:
        status, reason = 0, ""
        try:
            status = await (self._mail if delivery.receiver == MAIL else self._post)(delivery)
            reason = "" if 200 <= status < 300 else "redirected" if 300 <= status < 400 else "refused"
        except HallmarkError as error:
            reason = error.reason
        now = self._clock()
        self._outcomes.add(reason or "delivered")
        if not reason:
            await self._store.delivered(delivery, status, now)
            return
        attempts = delivery.attempts + 1
        dead = attempts >= self._limits.attempts or status == GONE or reason == "unknown_webhook"
        pause = PAUSES_MS[min(attempts, len(PAUSES_MS)) - 1]
        failed = msgspec.structs.replace(delivery, attempts=attempts, status=status, reason=reason)
        await self._store.failed(failed, now=now, after=now + pause, dead=dead)

    async def _post(self, delivery: Delivery) -> int:
        hook = self._known(delivery.receiver)
        message_id, timestamp = f"msg_{delivery.id}_{hook.id}", self._clock() // 1000
        headers = {
            "content-type": "application/json",
            "user-agent": AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self.secret_of(hook.id), message_id, timestamp, delivery.body),
        }
        return await self._posting.post(hook.url, headers, delivery.body)

    async def _mail(self, delivery: Delivery) -> int:
        assert self._mailer is not None
        told = words(read(delivery.body), self._public_url)
        return await self._mailer.send(told, f"hallmark.{delivery.id}", self._clock())

    def _known(self, hook: str) -> Hook:
        found = self._store.hooks.get(hook)
        if found is None:
            raise NotFound("unknown_webhook", "There is no such receiver.")
        return found


def _row(hook: Hook, waiting: int, dead: int) -> WebhookRow:
    return WebhookRow(
        hook.id,
        hook.url,
        hook.events,
        hook.at,
        "0x" + hook.by.hex(),
        waiting,
        dead,
        hook.last_status,
        hook.last_at,
    )
