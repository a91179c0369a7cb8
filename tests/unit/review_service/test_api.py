"""The JSON API over loopback: what pages can do it can, with the same refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from hallmark.core.errors import Conflict, HallmarkError, Unauthorized
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.services.review import actions as act
from hallmark.services.review.api import ACTS, REVIEW, routes
from hallmark.services.review.sessions import CSRF_HEADER
from hallmark.services.review.views import ItemRow
from hallmark.services.sdk import review_client
from hallmark.services.sdk.review_client import ReviewClient
from hallmark.testing.network import key
from hallmark.testing.review_desk import OPERATOR, ReviewDesk, policy, reviewed_policy


class Web:
    """A desk's API on loopback."""

    def __init__(self, office: ReviewDesk, url: str) -> None:
        self.office, self.url, self.pool = office, url, Pool()

    def client(self, signer: Any = None) -> ReviewClient:
        """The SDK's client."""
        return ReviewClient(self.url, signer)

    async def raw(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of one request."""
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        data = b"" if body is None else msgspec.json.encode(body)
        if body is not None and "content_type" not in headers:
            sent.append((b"content-type", b"application/json"))
        async with self.pool.request(method, self.url + path, sent, data) as response:
            found = {name.decode(): value.decode() for name, value in response.headers}
            return response.status, found, msgspec.json.decode(await response.read(1 << 22) or b"null")


@pytest.fixture
async def web(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    """A desk whose policy asks for one reviewer, served; clients have its clock."""
    office = ReviewDesk(policies=(reviewed_policy(),))
    monkeypatch.setattr(review_client, "_now", lambda: office.net.now)
    await office.start()
    app = Starlette(routes=routes(office.desk))
    async with serving(Service(app), bind(Listen(0)), grace_s=1) as url:
        made = Web(office, url)
        yield made
        await made.pool.aclose()
    await office.stop()


async def test_a_review_by_the_client_clears(web: Web) -> None:
    """The SDK reads the queue and the item, signs in, signs a review; the evaluator clears; as-seen holds."""
    item = await web.office.answer()
    await web.office.witness()
    reviewer, other = (party.key for party in web.office.net.reviewers[:2])
    async with web.client(other) as client:
        await client.act(item, "declare", act.DeclareRequest(requester="0x" + "33" * 20))
    async with web.client(reviewer) as client:
        page = await client.queue({"state": "HOLD", "order": "value"}, limit=10)
        assert [row.id for row in page.rows] == [item]
        await client.review(item, "fit", "answers_the_question", comment="Good.", internal="ok")
        await web.office.desk.office.submitting.round()
        await web.office.witness()
        assert (await client.item(item)).row.state == "CLEAR"
        assert (await client.as_seen(item)).holds
        assert (await client.figures()).cleared == 1


async def test_policies_by_the_client(web: Web) -> None:
    """Policies are listed, shown as files, tried on past items, proposed; a proposal gates nothing."""
    await web.office.answer()
    await web.office.witness()
    async with web.client(web.office.net.reviewers[0].key) as client:
        (row,) = await client.policies()
        assert (row.name, row.source) == ("reviewed", "log")
        page = await client.policy("reviewed")
        assert (page.held_now, page.cleared_now) == (1, 0)
        run = await client.dry_run(page.toml.replace("version = 1", "version = 2"), 0)
        assert (run.judged, run.newly_cleared) == (1, 0)
        proposed = await client.propose(page.toml.replace("version = 1", "version = 2"), "Stricter.")
        assert (proposed.source, proposed.index) == ("proposal", -1)
        assert [r.source for r in await client.policies()] == ["log", "proposal"]
        with pytest.raises(HallmarkError, match="version_not_newer"):
            await client.propose(page.toml)
        with pytest.raises(HallmarkError, match="bad_policy"):
            await client.dry_run("name = 1", 0)


async def test_bulk_views_and_receivers(web: Web) -> None:
    """Bulk acts, saved views, receivers and their letters go through the API too."""
    items = [await web.office.answer() for _ in range(2)]
    await web.office.poll()
    reason = (await web.office.item(items[0])).row.reason
    async with web.client(web.office.net.reviewers[0].key) as client:
        request = act.BulkRequest(reason, tuple(items), comment=act.CommentRequest("Noted."))
        done = await client.call("POST", "/bulk", act.BulkDone, request)
        assert set(done.done) == set(items)
        saved = act.SaveViewRequest("mine", "state=HOLD")
        assert (await client.call("POST", "/views", dict[str, Any], saved))["query"] == "state=HOLD"
        assert len(await client.call("GET", "/views", list[Any])) == 1
        await client.call("DELETE", "/views/mine", dict[str, Any])
        with pytest.raises(Unauthorized, match="operators_only"):
            await client.call("GET", "/webhooks", list[Any])
    async with web.client(OPERATOR) as client:
        hook = act.WebhookRequest("http://127.0.0.1:1/")
        row = await client.call("POST", "/webhooks", act.WebhookRow, hook)
        assert len(await client.call("GET", "/webhooks", list[Any])) == 1
        assert await client.call("GET", f"/webhooks/{row.id}/dead", list[Any]) == []
        await client.call("DELETE", f"/webhooks/{row.id}", dict[str, Any])


async def test_errors_are_in_openais_shape(web: Web) -> None:
    """A refusal carries its stable code, a sentence and a hint, and is not kept by any cache."""
    status, headers, body = await web.raw("GET", f"{REVIEW}/items/0x12")
    assert (status, body["error"]["code"], headers["cache-control"]) == (404, "unknown_item", "no-store")
    assert set(body["error"]) == {"message", "type", "param", "code", "hint"}
    status, _, body = await web.raw("GET", f"{REVIEW}/items?colour=red")
    assert (status, body["error"]["code"]) == (400, "bad_query")
    status, _, body = await web.raw("POST", f"{REVIEW}/bulk", {})
    assert (status, body["error"]["code"]) == (401, "not_signed_in")


async def test_bodies_are_json_and_bounded(web: Web) -> None:
    """A form's content type, unknown members and a body over the limit are refused."""
    path = "/v1/hallmark/policies/dry-run"
    status, _, body = await web.raw("POST", path, {"toml": ""}, content_type="text/plain")
    assert (status, body["error"]["code"]) == (400, "bad_content_type")
    status, _, body = await web.raw("POST", path, {"toml": "", "colour": "red"})
    assert (status, body["error"]["code"]) == (400, "bad_request")
    status, _, body = await web.raw("POST", path, {"toml": "x" * (1 << 20)})
    assert (status, body["error"]["code"]) == (413, "body_too_large")


async def test_by_cookie_a_change_needs_the_header(web: Web) -> None:
    """A session by cookie reads; to change something it needs its CSRF token; signing out ends it."""
    item = await web.office.answer()
    await web.office.witness()
    async with web.client(web.office.net.reviewers[0].key) as client:
        await client.act(item, "comment", act.CommentRequest(internal="Seen."))
        token = client._token
    sessions = web.office.desk.sessions
    cookie = f"{sessions.cookie_name}={token}"
    _, _, me = await web.raw("GET", f"{REVIEW}/me", cookie=cookie)
    assert (me["person"]["reviewer"], me["operator"]) == (True, False)
    assign = {"to": me["person"]["address"]}
    status, _, body = await web.raw("POST", f"{REVIEW}/items/{item}/assign", assign, cookie=cookie)
    assert (status, body["error"]["code"]) == (401, "csrf")
    with_token = {"cookie": cookie, CSRF_HEADER.replace("-", "_"): me["csrf"]}
    status, _, body = await web.raw("POST", f"{REVIEW}/items/{item}/assign", assign, **with_token)
    assert (status, body["assigned"]) == (200, me["person"]["address"])
    status, headers, _ = await web.raw("POST", f"{REVIEW}/sign-out", {}, **with_token)
    assert status == 200
    assert "Max-Age=0" in headers["set-cookie"]
    _, _, me = await web.raw("GET", f"{REVIEW}/me", cookie=cookie)
    assert me == {"person": None, "csrf": "", "operator": False}


async def test_an_api_token_declares_by_bearer(tmp_path: Any) -> None:
    """A Bearer that is no session is tried as an API token, for declarations alone."""
    item = "0x" + "00" * 32
    office = ReviewDesk()
    await office.start()
    async with serving(Service(Starlette(routes=routes(office.desk))), bind(Listen(0)), grace_s=1) as url:
        web = Web(office, url)
        path = f"{REVIEW}/items/{item}"
        asked = {"klass": "payment"}
        status, _, body = await web.raw("POST", f"{path}/declare", asked, authorization="Bearer guess")
        assert (status, body["error"]["code"]) == (401, "bad_api_token")
        status, _, body = await web.raw("POST", f"{path}/assign", {}, authorization="Bearer guess")
        assert (status, body["error"]["code"]) == (401, "not_signed_in")
        status, _, body = await web.raw("POST", f"{path}/declare", asked)
        assert (status, body["error"]["code"]) == (401, "not_signed_in")
        await web.pool.aclose()
    await office.stop()


async def test_a_stranger_who_signs_in_may_read_and_little_else(web: Web) -> None:
    """Anybody can prove a key; without a role in the log that opens no act on items."""
    item = await web.office.answer()
    await web.office.witness()
    async with web.client(key("stranger")) as client:
        for verb, request in (
            ("assign", act.AssignRequest()),
            ("comment", act.CommentRequest("x")),
            ("reject", act.RejectRequest("x")),
            ("release", act.ReleaseRequest("x", "0123456789", web.office.net.now + 1)),
            ("answer-appeal", act.AnswerAppealRequest("x", True)),
            ("declare", act.DeclareRequest("x")),
        ):
            with pytest.raises(Unauthorized, match="reviewers_only"):
                await client.act(item, verb, request)
        with pytest.raises(Conflict, match="not_a_party"):
            await client.act(item, "appeal", act.AppealRequest("x"))
        assert (await client.item(item)).row.state == "HOLD"
        assert isinstance((await client.item(item)).row, ItemRow)


def test_every_act_of_the_desk_has_a_route() -> None:
    """What `DeskActions` offers, the API offers: nothing is for pages alone."""
    office = ReviewDesk(policies=(policy(),))
    paths = {route.path for route in routes(office.desk) if isinstance(route, Route)}
    offered = {name for name in vars(act.DeskActions) if not name.startswith("_")}
    routed = {name for name, _ in ACTS.values()} | {"declare", "bulk"}
    kept = {
        "save_view": "/views",
        "forget_view": "/views/{name}",
        "webhooks": "/webhooks",
        "add_webhook": "/webhooks",
        "remove_webhook": "/webhooks/{id}",
        "dead_letters": "/webhooks/{id}/dead",
        "redeliver": "/webhooks/{id}/dead/{delivery}/redeliver",
    }
    assert offered == routed | set(kept) | {"propose"}
    assert {REVIEW + path for path in kept.values()} <= paths
    assert {f"{REVIEW}/items/{{id}}/{verb}" for verb in (*ACTS, "declare")} <= paths
    assert "/v1/hallmark/policies/propose" in paths
