"""Webhooks: signed, in order for each item, retried, given up, redelivered; where they do not go."""

from __future__ import annotations

import base64
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hallmark.core.document import unhex
from hallmark.core.errors import Conflict, InvalidInput, NotFound, Unauthorized
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.services.review import actions as act
from hallmark.services.review.http_post import HTTPPost
from hallmark.services.review.settings import Webhooks
from hallmark.testing.review_desk import ReviewDesk, reviewed_policy


class Receiver:
    """What arrived: headers and body. `status` is what it answers; a redirect names another place."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one delivery."""
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.got.append((headers, await read_body(receive, 1 << 20)))
        await respond(send, self.status, b"", [(b"location", b"http://127.0.0.1:1/")])

    @property
    def types(self) -> list[str]:
        """The events that arrived, in order."""
        return [msgspec.json.decode(body)["type"] for _, body in self.got]

    def data(self, number: int = -1) -> Any:
        """The data of an event."""
        return msgspec.json.decode(self.got[number][1])["data"]


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver on loopback, and its address."""
    made = Receiver()
    async with serving(Service(made), bind(Listen(0)), grace_s=1) as url:
        yield made, f"{url}/hook?x=1"


async def hook(office: ReviewDesk, url: str, *events: str) -> act.WebhookRow:
    """A receiver that the operator added."""
    return await office.desk.add_webhook(office.operator, act.WebhookRequest(url, events))


async def deliver(office: ReviewDesk, row: act.WebhookRow) -> int | None:
    """Send what is due."""
    return await office.desk.office.webhooks.round(row.id)


async def test_state_changes_are_told_signed_and_in_order(
    office: ReviewDesk, receiver: tuple[Receiver, str]
) -> None:
    """HOLD, then CLEAR, each with the seven marks of its time, under a signature that the secret makes."""
    got, url = receiver
    row = await hook(office, url)
    item = await office.answer()
    await office.poll()
    await office.witness()
    await deliver(office, row)
    assert got.types == ["item.held", "item.cleared"]
    secret = base64.b64decode(row.secret.removeprefix("whsec_"))
    for headers, body in got.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert headers["webhook-timestamp"] == str(office.net.now // 1000)
    held, cleared = got.data(0), got.data(1)
    assert (held["item"]["id"], held["item"]["state"], cleared["item"]["state"]) == (item, "HOLD", "CLEAR")
    assert {mark["state"] for mark in held["item"]["marks"]} == {"claimed", "absent", "not_required"}
    assert cleared["sentence"] == "meets witnessed (asks for ran, model, route, proved)"
    assert len({headers["webhook-id"] for headers, _ in got.got}) == 2


async def test_acts_are_told(receiver: tuple[Receiver, str]) -> None:
    """Reviews, appeals, releases, rejections, proposals each have their event; nothing internal is told."""
    got, url = receiver
    office = ReviewDesk(policies=(reviewed_policy(),))
    await office.start()
    item, other = await office.answer(0), await office.answer(1)
    await office.witness()
    row = await hook(office, url)
    await office.desk.declare(office.reviewer(2), "", item, act.DeclareRequest(requester="0x" + "22" * 20))
    request = await office.signed(item, texts=("Told.", "Kept inside."))
    await office.desk.review(office.reviewer(), item, request)
    await office.desk.office.submitting.round()
    await office.witness()
    owner = office.person(office.net.nodes[0].owner)
    await office.desk.appeal(owner, item, act.AppealRequest("Look again."))
    until = office.net.now + 1_000
    request = act.ReleaseRequest("urgent", "Needed right now.", until)
    await office.desk.release(office.reviewer(), other, request)
    await office.desk.reject(office.reviewer(), other, act.RejectRequest("wrong", internal="Kept inside."))
    toml = (await office.desk.policy("reviewed")).toml.replace("version = 1", "version = 2")
    await office.desk.propose(office.reviewer(), act.ProposeRequest(toml))
    await deliver(office, row)
    assert sorted(got.types) == sorted(
        [
            "item.reviewed",
            "item.cleared",
            "item.appealed",
            "item.held",
            "item.released",
            "item.rejected",
            "policy.proposed",
        ]
    )
    released = next(got.data(n) for n, kind in enumerate(got.types) if kind == "item.released")
    assert (released["until"], released["reason"], released["item"]["state"]) == (until, "urgent", "HOLD")
    assert b"Kept inside" not in b"".join(body for _, body in got.got)
    await office.stop()


async def test_of_one_item_the_later_waits_for_the_earlier(
    office: ReviewDesk, receiver: tuple[Receiver, str]
) -> None:
    """While a delivery is being retried nothing later of that item is sent; other items go on."""
    got, url = receiver
    row = await hook(office, url)
    first = await office.answer(0)
    await office.poll()
    got.status = 500
    again = await deliver(office, row)
    assert again == office.net.now + 5_000
    await office.witness()
    got.status = 204
    await office.answer(1)
    await office.witness()
    await deliver(office, row)
    assert [msgspec.json.decode(body)["data"]["item"]["id"] == first for _, body in got.got] == [True, False]
    office.net.tick(5_000)
    await deliver(office, row)
    assert got.types == ["item.held", "item.cleared", "item.held", "item.cleared"]
    ids = [headers["webhook-id"] for headers, _ in got.got]
    assert ids[0] == ids[2]


async def test_dead_letters_are_listed_and_redelivered(
    receiver: tuple[Receiver, str],
) -> None:
    """After the last try a delivery is a dead letter with its status; a person may have it tried again."""
    got, url = receiver
    office = ReviewDesk(webhooks=Webhooks(attempts=2, allow_loopback_webhooks=True))
    await office.start()
    row = await hook(office, url, "item.held")
    item = await office.answer()
    await office.poll()
    got.status = 302
    for _ in range(3):
        await deliver(office, row)
        office.net.tick(60_000)
    (letter,) = await office.desk.dead_letters(office.operator, row.id)
    assert (letter.item, letter.status, letter.reason, letter.attempts) == (item, 302, "redirected", 2)
    assert (await office.desk.webhooks(office.operator))[0].dead == 1
    assert len(got.got) == 2
    got.status = 200
    await office.desk.redeliver(office.operator, row.id, letter.id)
    await deliver(office, row)
    assert len(got.got) == 3
    assert await office.desk.dead_letters(office.operator, row.id) == ()
    with pytest.raises(NotFound, match="unknown_delivery"):
        await office.desk.redeliver(office.operator, row.id, letter.id)
    await office.stop()


async def test_what_waits_survives_a_restart_and_is_bounded(receiver: tuple[Receiver, str]) -> None:
    """Deliveries lie on disk; a new process sends them; beyond the backlog the oldest are given up."""
    got, url = receiver
    limits = Webhooks(backlog=3, allow_loopback_webhooks=True)
    office = ReviewDesk(webhooks=limits)
    await office.start()
    row = await hook(office, url)
    for _ in range(5):
        await office.answer()
    await office.poll()
    await office.stop()
    again = ReviewDesk(office.net, database=office.database, webhooks=limits)
    await again.start()
    await deliver(again, row)
    assert len(got.got) == 3
    letters = await again.desk.dead_letters(again.operator, row.id)
    assert {letter.reason for letter in letters} == {"backlog_full"}
    await again.stop()


async def test_a_gone_receiver_is_given_up_and_an_unreachable_one_costs_the_others_nothing(
    office: ReviewDesk, receiver: tuple[Receiver, str]
) -> None:
    """410 ends a delivery at once; a receiver that nobody listens at leaves the other's deliveries alone."""
    got, url = receiver
    away = await hook(office, "http://127.0.0.1:1/")
    row = await hook(office, url)
    await office.answer()
    await office.poll()
    got.status = 410
    await deliver(office, away)
    await deliver(office, row)
    (letter,) = await office.desk.dead_letters(office.operator, row.id)
    assert letter.status == 410
    counts = {hook.id: (hook.waiting, hook.dead) for hook in await office.desk.webhooks(office.operator)}
    assert counts == {away.id: (1, 0), row.id: (0, 1)}


async def test_secrets_are_shown_once_and_not_on_disk(office: ReviewDesk) -> None:
    """A receiver's secret is in the answer that makes it alone, and derived, so that the disk has none."""
    row = await hook(office, "http://127.0.0.1:1/")
    assert row.secret.startswith("whsec_")
    (listed,) = await office.desk.webhooks(office.operator)
    assert listed.secret == ""
    with pytest.raises(Unauthorized, match="operators_only"):
        await office.desk.webhooks(office.reviewer())
    await office.desk.remove_webhook(office.operator, row.id)
    assert await office.desk.webhooks(office.operator) == ()
    with pytest.raises(NotFound, match="unknown_webhook"):
        await office.desk.remove_webhook(office.operator, row.id)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "http://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "http://1.1.1.1/",
        "https://1.1.1.1/#part",
        "https://user@1.1.1.1/",
        "ftp://1.1.1.1/",
        "https://1.1.1.1/\r\nx: y",
        "https://1.1.1.1:99999/",
        "https:///path",
    ],
)
async def test_webhooks_do_not_go_inside(url: str) -> None:
    """Loopback, private, link-local and multicast addresses, clear text outside, and odd URLs are refused."""
    with pytest.raises(InvalidInput, match="bad_webhook_url"):
        await HTTPPost(Webhooks()).check(url)


async def test_settings_open_loopback_and_private_apart() -> None:
    """Each is opened by its own name; link-local addresses stay shut."""
    await HTTPPost(Webhooks(allow_loopback_webhooks=True)).check("http://127.0.0.1/")
    await HTTPPost(Webhooks(allow_private_webhooks=True)).check("http://10.0.0.1/")
    await HTTPPost(Webhooks()).check("https://1.1.1.1/")
    for limits in (Webhooks(allow_private_webhooks=True), Webhooks(allow_loopback_webhooks=True)):
        with pytest.raises(InvalidInput, match="bad_webhook_url"):
            await HTTPPost(limits).check("http://169.254.169.254/")
    for url in ("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://[::1]/"):
        with pytest.raises(InvalidInput, match="bad_webhook_url"):
            await HTTPPost(Webhooks(allow_private_webhooks=True)).check(url)


async def test_receivers_are_bounded_and_events_are_known(office: ReviewDesk) -> None:
    """There are so many receivers and no more, and none waits for an event that there is not."""
    with pytest.raises(InvalidInput, match="unknown_event"):
        await hook(office, "http://127.0.0.1:1/", "item.approved")
    with contextlib.ExitStack() as stack:
        for _ in range(Webhooks().count):
            await hook(office, "http://127.0.0.1:1/")
        stack.enter_context(pytest.raises(Conflict, match="too_many_webhooks"))
        await hook(office, "http://127.0.0.1:1/")


async def test_only_wanted_events_are_kept(office: ReviewDesk, receiver: tuple[Receiver, str]) -> None:
    """A receiver that asked for CLEAR alone hears of nothing else."""
    got, url = receiver
    row = await hook(office, url, "item.cleared")
    item = await office.answer()
    await office.poll()
    await office.witness()
    await deliver(office, row)
    assert got.types == ["item.cleared"]
    assert got.data()["item"]["id"] == item
    assert unhex(got.data()["network"]) == office.net.genesis.network
