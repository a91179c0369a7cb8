"""The pages over the real desk: from HOLD to CLEAR by a review that the browser's code signed."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from hallmark.apps.web.app import create_app
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.document import hex0x
from hallmark.services.chain.toolchain import find_node, prepare
from hallmark.services.review import actions
from hallmark.services.review import actions as act
from hallmark.testing.html import Element, elements, inline
from hallmark.testing.network import CHAIN_ID, Party
from hallmark.testing.review_desk import ReviewDesk, reviewed_policy
from hallmark.testing.scene import Scene
from hallmark.testing.scene_explorer import SceneExplorer
from hallmark.testing.surfaces import proof_of

ROOT = Path(__file__).resolve().parents[3]
SIGN = """
import { readFileSync } from "node:fs";
import { reviewEntry, readKeyFile } from "%s/web/src/review/statements.ts";
import { hex0x, ZERO32 } from "%s/web/src/verify/bytes.ts";
const { key, data, at } = JSON.parse(readFileSync(0, "utf8"));
const fields = { network: data["data-network"], item: data["data-receipt"],
  subject: Number(data["data-subject"]),
  judgement: 1, reason: "complete", policy: data["data-policy"], screen: data["data-screen"], at };
const comments = { comment: "", internal: "", salt: ZERO32 };
console.log(hex0x(reviewEntry(fields, comments, BigInt(data["data-chain"]), readKeyFile(key))));
"""


@pytest.fixture
async def office() -> AsyncIterator[ReviewDesk]:
    """A desk whose policy asks for one reviewer."""
    made = ReviewDesk(policies=(reviewed_policy(),))
    await made.start()
    yield made
    await made.stop()


def client_of(office: ReviewDesk, assets: Path) -> httpx.AsyncClient:
    """The pages over a desk, in this event loop."""
    parts = Surfaces(
        office.desk,
        office.desk,
        SceneExplorer(Scene()),
        office.desk.sessions,
        lambda: office.net.now,
        assets,
        office.settings.public_url,
        hex0x(office.net.genesis.network),
        CHAIN_ID,
    )
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(parts)),
        base_url=office.settings.public_url,
        headers={"sec-fetch-site": "same-origin"},
    )


async def sign_in(office: ReviewDesk, client: httpx.AsyncClient, party: Party) -> None:
    """As the link of the command line does."""
    proof = msgspec.json.encode(proof_of(office.desk.sessions, party.key.secret))
    form = {"proof": base64.urlsafe_b64encode(proof).rstrip(b"=").decode()}
    assert (await client.post("/sign-in", data=form)).status_code == 303


def form_of(html: str, act: str) -> Element:
    """The form of an act."""
    return next(e for e in elements(html) if e.tag == "form" and e.attributes.get("action", "").endswith(act))


def csrf_of(html: str) -> str:
    """The page's token."""
    return next(e.attributes["value"] for e in elements(html) if e.attributes.get("name") == "csrf")


def signed_by_browser(key: bytes, data: dict[str, str], at: int) -> str:
    """The log entry that the browser's code makes of a form's data."""
    prepare(ROOT)
    done = subprocess.run(
        [str(find_node().node), "--input-type=module", "-e", SIGN.replace("%s", str(ROOT))],
        input=json.dumps({"key": key.hex(), "data": data, "at": at}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_a_review_from_the_page_is_one_mark_and_the_evaluator_clears(
    office: ReviewDesk, tmp_path: Path
) -> None:
    """Born HOLD, witnessed and still HOLD, reviewed from the page, CLEAR only when all is there."""
    async with client_of(office, tmp_path) as client:
        item = await office.answer()
        await office.poll()
        reviewer = office.net.reviewers[0]
        await sign_in(office, client, reviewer)
        early = (await client.get(f"/review/{item}")).text
        assert "No cosigned checkpoint covers this receipt yet." in early
        assert "You cannot review this item now" in early
        await office.witness()
        page = (await client.get(f"/review/{item}")).text
        assert ">HOLD</span>" in page
        data = form_of(page, "/review").attributes
        entry = signed_by_browser(reviewer.key.secret, data, office.net.now)
        answer = await client.post(f"/review/{item}/review", data={"csrf": csrf_of(page), "entry": entry})
        assert answer.status_code == 303, answer.text
        assert await office.state(item) == "HOLD"
        await office.desk.office.submitting.round()
        office.net.tick(10)
        await office.witness()
        held = (await client.get(f"/review/{item}")).text
        assert "reviewed: requester unknown" in held
        # Somebody else says who asked: what the reviewer said themselves would not count their own review.
        request = actions.DeclareRequest(requester="0x" + "77" * 20)
        await office.desk.declare(office.reviewer(1), "", item, request)
        await office.settle()
        cleared = (await client.get(f"/review/{item}")).text
        assert ">CLEAR</span>" in cleared
        assert await office.state(item) == "CLEAR"
        screens = [
            e.attributes["href"] for e in elements(cleared) if "as-seen" in e.attributes.get("href", "")
        ]
        assert len(screens) >= 2
        for address in screens:
            assert "still has the digest" in (await client.get(address)).text


async def test_every_page_stands_over_the_real_desk(office: ReviewDesk, tmp_path: Path) -> None:
    """No page fails on what the desk really gives, before and after; the item's twin is the API's item."""
    async with client_of(office, tmp_path) as client:
        item = await office.answer()
        await office.poll()
        await office.witness()
        await sign_in(office, client, office.net.reviewers[1])
        for path in (
            "/",
            "/review",
            "/review?overdue=1&order=value",
            f"/review/{item}",
            f"/review/{item}/as-seen",
            "/review/figures",
            "/review/appeals",
            "/policies",
            "/policies/reviewed",
            "/policies/try?from=reviewed",
        ):
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert inline(answer.text) == []
        twin = (await client.get(f"/review/{item}.json")).json()
        person = office.person(office.net.reviewers[1].key)
        assert twin == msgspec.json.decode(msgspec.json.encode(await office.item(item, person)))
        assert (await client.get("/review/0x12")).status_code == 404
        refused = await client.get("/review/webhooks")
        assert refused.status_code in (401, 403)
        toml = (await client.get("/policies/reviewed.json")).json()["toml"]
        form = {"toml": toml.replace("version = 1", "version = 2"), "days": "7"}
        run = await client.post("/policies/try", data=form)
        assert run.status_code == 200, run.text


async def test_acts_from_pages_reach_the_desk(office: ReviewDesk, tmp_path: Path) -> None:
    """Taking, declaring, releasing and rejecting by form change what the desk shows, and clear nothing."""
    async with client_of(office, tmp_path) as client:
        item = await office.answer()
        await office.poll()
        await office.witness()
        await sign_in(office, client, office.net.reviewers[0])
        csrf = csrf_of((await client.get(f"/review/{item}")).text)
        for act, form, told in (
            ("assign", {"to": "me"}, "has another assignee"),
            ("declare", {"klass": "payment", "value": "5000"}, "was declared"),
            ("release", {"reason": "outage", "text": "the ward is waiting", "hours": "1"}, "stays in HOLD"),
        ):
            answer = await client.post(
                f"/review/{item}/{act}", data=form | {"csrf": csrf}, follow_redirects=True
            )
            assert told in answer.text, answer.text
            assert ">HOLD</span>" in answer.text
        page = (await client.get(f"/review/{item}")).text
        assert "Released under break-glass until" in page
        assert "5,000 atomic units, class payment" in page
        await client.post(f"/review/{item}/reject", data={"reason": "unfit", "csrf": csrf})
        assert await office.state(item) == "REJECTED"


async def test_a_receipt_leads_to_its_item_and_says_so_while_there_is_none(
    office: ReviewDesk, tmp_path: Path
) -> None:
    """An address that an answer can link to at once: no item yet, then the item; never another page."""
    async with client_of(office, tmp_path) as client:
        known = await office.answer()
        before = await client.get(f"/review/by-receipt/{known}")
        assert (before.status_code, "no_item_yet" in before.text) == (404, True)
        await office.witness()
        after = await client.get(f"/review/by-receipt/{known}")
        assert (after.status_code, after.headers["location"]) == (303, f"/review/{known}")
        twin = (await client.get(f"/review/by-receipt/{known}.json")).json()
        assert (twin["id"], twin["state"]) == (known, "HOLD")
        malformed = await client.get("/review/by-receipt/0x12")
        assert (malformed.status_code, "unknown_item" in malformed.text) == (404, True)


async def test_a_refused_act_loses_nothing_that_was_typed(office: ReviewDesk, tmp_path: Path) -> None:
    """409: the form again with every text in its place, why it was refused, and what happened meanwhile."""
    item = await office.answer()
    await office.witness()
    async with client_of(office, tmp_path) as client:
        await sign_in(office, client, office.net.reviewers[0])
        page = (await client.get(f"/review/{item}")).text
        hidden = hidden_of(page, "/reject")
        office.net.tick(5)
        owner = office.person(office.net.nodes[0].owner)
        await office.desk.appeal(owner, item, act.AppealRequest("The route was as offered."))
        typed = {"reason": "policy_breach", "comment": "  <b>Not</b>\nso fast.", "internal": "ask Ada"}
        refused = await client.post(f"/review/{item}/reject", data=hidden | typed)
        assert refused.status_code == 409
        assert "matter_stands" in refused.text
        assert "The route was as offered." in text_of(refused.text, "problem")
        again = [e for e in elements(refused.text) if e.tag in ("input", "textarea")]
        found = {e.attributes.get("id"): e for e in again}
        assert found["reject-reason"].attributes["value"] == "policy_breach"
        assert found["reject-comment"].text.strip() == "<b>Not</b>\nso fast."
        assert found["reject-internal"].text.strip() == "ask Ada"
        assert inline(refused.text) == []
        # Only the form that was refused is filled in.
        assert found["remark-comment"].text.strip() == ""


async def test_a_refused_act_whose_form_is_gone_shows_the_texts(office: ReviewDesk, tmp_path: Path) -> None:
    """A release of an item that was rejected meanwhile: no such form any more, and the words are there."""
    item = await office.answer()
    await office.witness()
    async with client_of(office, tmp_path) as client:
        await sign_in(office, client, office.net.reviewers[0])
        hidden = hidden_of((await client.get(f"/review/{item}")).text, "/release")
        office.net.tick(5)
        await office.desk.reject(office.reviewer(1), item, act.RejectRequest("unfit"))
        typed = {"reason": "outage", "text": "The ward waits for this.", "hours": "4"}
        refused = await client.post(f"/review/{item}/release", data=hidden | typed)
        told = text_of(refused.text, "problem")
        assert (refused.status_code, "The ward waits for this." in told) == (409, True)
        assert "the item was HOLD; it is REJECTED now" in " ".join(told.split())
        assert "REJECTED (unfit)" in told


async def test_a_form_that_is_refused_altogether_shows_the_texts(office: ReviewDesk, tmp_path: Path) -> None:
    """The error page of any form holds what was typed, also when the session has ended."""
    item = await office.answer()
    await office.witness()
    async with client_of(office, tmp_path) as client:
        await sign_in(office, client, office.net.reviewers[0])
        typed = {"csrf": "0" * 64, "comment": "An hour of thought.", "internal": ""}
        refused = await client.post(f"/review/{item}/comment", data=typed)
        assert (refused.status_code, "An hour of thought." in refused.text) == (401, True)
        assert "0" * 64 not in refused.text
        await client.post("/sign-out", data={"csrf": csrf_of((await client.get("/review")).text)})
        refused = await client.post(f"/review/{item}/comment", data=typed)
        assert (refused.status_code, "An hour of thought." in refused.text) == (401, True)


def hidden_of(html: str, act_: str) -> dict[str, str]:
    """The members of an act's form that nobody types."""
    part = html[html.index(f'{act_}">') :]
    part = part[: part.index("</form>")]
    hidden = (e.attributes for e in elements(part) if e.attributes.get("type") == "hidden")
    return {found["name"]: found.get("value", "") for found in hidden}


def text_of(html: str, name: str) -> str:
    """All text of the element with this id."""
    return next(e.text for e in elements(html) if e.attributes.get("id") == name)
