"""Forms: what they ask of the desk, and everything that refuses one that may not be ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.apps.web.flash import COOKIE, DONE
from hallmark.apps.web.policies import EXAMPLE
from hallmark.apps.web.surfaces import Surfaces
from hallmark.review.files import read_policy
from hallmark.services.review import actions
from hallmark.services.review.sessions import Session
from hallmark.testing.html import elements
from hallmark.testing.scene import NOW
from hallmark.testing.scene_actions import SceneActions
from hallmark.testing.scene_parts import item_id
from hallmark.testing.surfaces import ORIGIN, Scene, proof_of, reviewer_key, signed_in, surfaces

ITEM = item_id()
HOUR = 3_600_000
ZERO = "0x" + "00" * 32
REASON = "proved:state_too_low"
# Every form of these pages, with fields that the desk would take.
FORMS: dict[str, dict[str, Any]] = {
    f"/review/{ITEM}/review": {"entry": "0x010b", "salt": ZERO, "comment": "c", "internal": "i"},
    f"/review/{ITEM}/assign": {"to": "me"},
    f"/review/{ITEM}/declare": {"klass": "payment", "value": "12", "requester": ""},
    f"/review/{ITEM}/comment": {"comment": "c", "internal": ""},
    f"/review/{ITEM}/appeal": {"text": "look again"},
    f"/review/{ITEM}/answer": {"text": "no", "upheld": "0"},
    f"/review/{ITEM}/release": {"reason": "outage", "text": "the ward waits", "hours": "4"},
    f"/review/{ITEM}/reject": {"reason": "unfit", "comment": "", "internal": ""},
    "/review/bulk": {"reason": REASON, "act": "take", "item": [ITEM, item_id(3)]},
    "/review/views": {"name": "mine", "query": "class=payment&state=HOLD", "shared": "1"},
    "/review/views/forget": {"name": "mine", "shared": "1"},
    "/review/webhooks": {"url": "https://x.example/hook", "event": ["item.held"]},
    "/review/webhooks/remove": {"webhook": "wh_1"},
    "/review/webhooks/redeliver": {"webhook": "wh_1", "delivery": "dl_1"},
    "/policies/propose": {"toml": "name = 1", "text": "why"},
    "/sign-out": {"now": "1"},
}


class Desk:
    """A client with a reviewer's session, and what the desk was asked."""

    def __init__(self, parts: Surfaces, session: Session) -> None:
        self.parts, self.session = parts, session
        self.client = TestClient(create_app(parts), base_url=ORIGIN, follow_redirects=False)
        self.client.cookies.set(parts.sessions.cookie_name, session.token)

    @property
    def asked(self) -> list[tuple[str, Any, tuple[Any, ...]]]:
        """Acts so far."""
        assert isinstance(self.parts.actions, SceneActions)
        return self.parts.actions.asked

    def post(self, path: str, form: dict[str, Any], **headers: str) -> Any:
        """Send a form as a page of this origin does."""
        return self.client.post(path, data=form, headers={"sec-fetch-site": "same-origin"} | headers)


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """A reviewer at a desk whose first item is in HOLD."""
    parts = surfaces(Scene(appealed=True), tmp_path)
    return Desk(parts, await signed_in(parts))


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_the_token_does_nothing(desk: Desk, path: str) -> None:
    """No token, an empty one, another one, one in a header instead: refused, nothing is done."""
    for token in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        answer = desk.post(path, FORMS[path] | token)
        assert answer.status_code == 401
        assert "<code>csrf</code>" in answer.text
    by_header = desk.post(path, FORMS[path], **{"x-hallmark-csrf": desk.session.csrf})
    assert by_header.status_code == 401
    assert desk.asked == []
    assert await desk.parts.sessions.person(desk.session.token) is not None


@pytest.mark.parametrize("path", [*FORMS, "/policies/try", "/sign-in"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "http://other.127.0.0.1:21500"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
    ids=["cross", "sibling", "cross, no origin", "old browser", "old browser, hidden origin"],
)
async def test_a_form_from_another_site_does_nothing(desk: Desk, path: str, headers: dict[str, str]) -> None:
    """A request that a browser sends for another site is refused even with the right token."""
    form = FORMS.get(path, {}) | {"csrf": desk.session.csrf}
    answer = desk.client.post(path, data=form, headers=headers)
    assert answer.status_code == 403
    assert "cross_site" in answer.text
    assert desk.asked == []


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_of_nobody_does_nothing(desk: Desk, path: str) -> None:
    """Without a session, and with a token that is none, nothing happens."""
    for cookie in ("", "made-up"):
        desk.client.cookies.clear()
        desk.client.cookies.set(desk.parts.sessions.cookie_name, cookie)
        answer = desk.post(path, FORMS[path] | {"csrf": desk.session.csrf})
        assert answer.status_code == 401
        assert "not_signed_in" in answer.text
    assert desk.asked == []


@pytest.mark.parametrize("path", [path for path in FORMS if path != "/review/webhooks"])
async def test_an_act_is_no_page(desk: Desk, path: str) -> None:
    """Following a link never acts."""
    assert desk.client.get(path).status_code in (404, 405)
    assert desk.asked == []


async def test_every_act_reaches_the_desk(desk: Desk) -> None:
    """Each form asks the desk for exactly what its fields say, as the person of the session."""
    me = desk.session.person
    for path, form in FORMS.items():
        if path != "/sign-out":
            assert desk.post(path, form | {"csrf": desk.session.csrf}).status_code in (200, 303), path
    assert {person for _, person, _ in desk.asked} == {me}
    made = {name: given for name, _, given in desk.asked}
    assert made["review"] == (ITEM, actions.ReviewRequest("0x010b", "c", "i", ZERO))
    assert made["assign"] == (ITEM, actions.AssignRequest(me.address))
    assert made["declare"] == ("", ITEM, actions.DeclareRequest("payment", 12, ""))
    assert made["comment"] == (ITEM, actions.CommentRequest("c", ""))
    assert made["appeal"] == (ITEM, actions.AppealRequest("look again"))
    assert made["answer_appeal"] == (ITEM, actions.AnswerAppealRequest("no", False))
    assert made["release"] == (ITEM, actions.ReleaseRequest("outage", "the ward waits", NOW + 4 * HOUR))
    assert made["reject"] == (ITEM, actions.RejectRequest("unfit"))
    assert made["bulk"] == (
        actions.BulkRequest(REASON, (ITEM, item_id(3)), assign=actions.AssignRequest(me.address)),
    )
    assert made["save_view"] == (actions.SaveViewRequest("mine", "class=payment&state=HOLD", True),)
    assert made["forget_view"] == ("mine", True)
    assert made["add_webhook"] == (actions.WebhookRequest("https://x.example/hook", ("item.held",)),)
    assert made["remove_webhook"] == ("wh_1",)
    assert made["redeliver"] == ("wh_1", "dl_1")
    assert made["propose"] == (actions.ProposeRequest("name = 1", "why"),)


async def test_after_an_act_the_item_says_what_was_done(desk: Desk) -> None:
    """The answer leads back to the item, which says it once; a made-up name says nothing."""
    answer = desk.post(
        f"/review/{ITEM}/release", FORMS[f"/review/{ITEM}/release"] | {"csrf": desk.session.csrf}
    )
    assert answer.headers["location"] == f"/review/{ITEM}"
    assert DONE["release"] in desk.client.get(answer.headers["location"]).text
    assert DONE["release"] not in desk.client.get(answer.headers["location"]).text


PAGES = [f"/review/{ITEM}", "/review", "/review/appeals", "/review/webhooks", "/policies"]


@pytest.mark.parametrize("page", PAGES)
async def test_no_address_makes_a_page_state_an_act(desk: Desk, page: str) -> None:
    """Whatever an address or a foreign cookie names, the page says of no act that it was done."""
    for name in DONE:
        told = desk.client.get(f"{page}?done={name}&said={name}&flash={name}").text
        assert not [sentence for sentence in DONE.values() if sentence in told], name
    for value in ("reject", "reject.", "reject.00", f"reject.{'0' * 64}", 'x"; reject'):
        told = desk.client.get(page, headers={"cookie": f"{COOKIE}={value}"}).text
        assert DONE["reject"] not in told


async def test_what_was_done_is_said_on_its_own_page_to_its_own_session(desk: Desk) -> None:
    """Another item's page and another session stay silent about it; the page that it is about is not."""
    form = FORMS[f"/review/{ITEM}/reject"] | {"csrf": desk.session.csrf}
    desk.post(f"/review/{ITEM}/reject", form)
    kept = {COOKIE: desk.client.cookies[COOKIE]}
    assert DONE["reject"] not in desk.client.get(f"/review/{item_id(3)}").text
    assert DONE["reject"] not in desk.client.get(f"/review/{ITEM}.json").text
    stranger = TestClient(create_app(desk.parts), base_url=ORIGIN, cookies=kept)
    assert DONE["reject"] not in stranger.get(f"/review/{ITEM}").text
    assert DONE["reject"] in desk.client.get(f"/review/{ITEM}").text


async def test_programs_get_the_row(desk: Desk) -> None:
    """With `Accept: application/json` an act answers with the item's row."""
    form = {"to": "none", "csrf": desk.session.csrf}
    answer = desk.post(f"/review/{ITEM}/assign", form, accept="application/json")
    assert answer.json()["id"] == ITEM


@pytest.mark.parametrize(
    ("path", "form", "reason"),
    [
        ("review", {"entry": ""}, "review_unsigned"),
        ("review", {"entry": "zz"}, "bad_form"),
        ("assign", {"to": "0x12"}, "bad_form"),
        ("declare", {"value": "-1"}, "bad_form"),
        ("declare", {"value": "1" * 19}, "bad_form"),
        ("declare", {"klass": "UPPER"}, "bad_form"),
        ("appeal", {"text": " "}, "bad_form"),
        ("release", {"reason": "outage", "text": "short"}, "bad_form"),
        ("reject", {"reason": "Not A Code"}, "bad_form"),
        ("comment", {"comment": "x" * 4001}, "bad_form"),
        ("clear", {}, "unknown_path"),
    ],
)
async def test_unusable_fields_are_named_and_not_repeated(
    desk: Desk, path: str, form: dict[str, str], reason: str
) -> None:
    """A field outside its limits refuses the form with a reason; there is no act that clears."""
    answer = desk.post(
        f"/review/{ITEM}/{path}", form | {"csrf": desk.session.csrf}, accept="application/json"
    )
    assert answer.json()["error"]["code"] == reason
    assert "Not A Code" not in answer.text
    assert desk.asked == []


async def test_bodies_are_bounded_and_of_one_kind(desk: Desk) -> None:
    """A form over the limit, with too many fields, of another type, or of no text is refused."""
    path, site = f"/review/{ITEM}/comment", {"sec-fetch-site": "same-origin", "accept": "application/json"}
    encoded = site | {"content-type": "application/x-www-form-urlencoded"}
    for body, headers, status in (
        ("comment=" + "x" * 300_000, encoded, 413),
        ("&".join(f"f{n}=1" for n in range(2_500)), encoded, 400),
        ("{}", site | {"content-type": "application/json"}, 400),
        (b"comment=\xff\xfe", encoded, 400),
    ):
        assert desk.client.post(path, content=body, headers=headers).status_code == status
    assert desk.asked == []


async def test_many_are_picked_only_under_one_reason(desk: Desk) -> None:
    """Boxes are disabled until one reason is chosen; a mixed or empty bulk form does nothing."""
    boxes = _boxes(desk.client.get("/review").text)
    assert boxes
    assert all("disabled" in box for box in boxes)
    chosen = _boxes(desk.client.get(f"/review?state=HOLD&reason={REASON}").text)
    assert chosen
    assert not any("disabled" in box for box in chosen)
    empty = {"reason": REASON, "act": "take", "csrf": desk.session.csrf}
    assert "bulk_nothing" in desk.post("/review/bulk", empty).text
    assert desk.post("/review/bulk", empty | {"item": [ITEM], "act": "clear"}).status_code == 400
    assert desk.asked == []


def _boxes(html: str) -> list[dict[str, str]]:
    return [e.attributes for e in elements(html) if e.tag == "input" and e.attributes.get("name") == "item"]


async def test_what_became_of_many_is_told(desk: Desk) -> None:
    """The outcome names what was done and, with its reason, what was not."""
    answer = desk.post("/review/bulk", FORMS["/review/bulk"] | {"csrf": desk.session.csrf})
    assert "Done to 1 of 2 items" in answer.text
    assert "item not held" in answer.text


async def test_a_new_secret_is_shown_once(desk: Desk) -> None:
    """The page that made a receiver shows its secret, and no later one does."""
    form = FORMS["/review/webhooks"] | {"csrf": desk.session.csrf}
    assert "whsec_" in desk.post("/review/webhooks", form).text
    assert "whsec_" not in desk.client.get("/review/webhooks").text
    assert "whsec_" not in desk.client.get("/review/webhooks.json").text


async def test_anyone_may_try_a_policy(tmp_path: Path) -> None:
    """A dry run needs no session; a wrong file comes back with its text and the reason."""
    client = TestClient(create_app(surfaces(Scene(), tmp_path)), base_url=ORIGIN)
    run = client.post("/policies/try", data={"toml": "name = 'x'", "days": "7"}, headers={"origin": ORIGIN})
    assert "Would have held 214, released 9" in run.text
    wrong = client.post("/policies/try", data={"toml": "what is this"}, headers={"origin": ORIGIN})
    assert wrong.status_code == 400
    assert "bad_policy" in wrong.text
    assert "what is this" in wrong.text


def test_the_example_is_a_policy() -> None:
    """What the empty form starts from is a policy file that the desk can read."""
    assert read_policy(EXAMPLE).name == "example"


def test_signing_in_gives_a_new_session_and_ends_the_one_that_came(tmp_path: Path) -> None:
    """A token that was planted in the browser is worth nothing after signing in (session fixation)."""
    parts = surfaces(Scene(), tmp_path)
    client = TestClient(create_app(parts), base_url=ORIGIN, follow_redirects=False)
    name = parts.sessions.cookie_name

    def sign_in() -> str:
        link = client.get("/sign-in", params={"proof": _proof(parts), "next": f"/review/{ITEM}"})
        fields = {
            e.attributes["name"]: e.attributes["value"] for e in elements(link.text) if e.tag == "input"
        }
        answer = client.post("/sign-in", data=fields, headers={"sec-fetch-site": "same-origin"})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/review/{ITEM}"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie  # this origin is plain http on loopback
        return cookie.partition("=")[2].partition(";")[0]

    client.cookies.set(name, "planted")
    first = sign_in()
    client.cookies.clear()
    client.cookies.set(name, first)
    second = sign_in()
    assert len({"planted", first, second}) == 3
    client.cookies.clear()
    client.cookies.set(name, first)
    assert "Sign in" in client.get("/").text
    client.cookies.clear()
    client.cookies.set(name, second)
    assert "Ada Reviewer, reviewer" in client.get("/").text


def _proof(parts: Surfaces) -> str:
    import base64

    data = msgspec.json.encode(proof_of(parts.sessions, reviewer_key()))
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_proof_counts_once_and_leads_nowhere_else(tmp_path: Path) -> None:
    """A used link is refused; `next` never leads to another site; what is no proof is refused."""
    parts = surfaces(Scene(), tmp_path)
    client = TestClient(
        create_app(parts), base_url=ORIGIN, follow_redirects=False, headers={"origin": ORIGIN}
    )
    for following in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
    ):
        answer = client.post("/sign-in", data={"proof": _proof(parts), "next": following})
        assert answer.headers["location"] == "/review"
    once = _proof(parts)
    assert client.post("/sign-in", data={"proof": once}).status_code == 303
    assert "sign_in_refused" in client.post("/sign-in", data={"proof": once}).text
    for wrong in ("", "!!", "e30", "A" * 5_000):
        assert "bad_proof" in client.post("/sign-in", data={"proof": wrong}).text


def test_cookies_are_secure_over_https(tmp_path: Path) -> None:
    """Under an https address the cookie is Secure and bound to the host."""
    parts = surfaces(Scene(), tmp_path, "https://desk.example")
    client = TestClient(create_app(parts), base_url="https://desk.example", follow_redirects=False)
    answer = client.post(
        "/sign-in", data={"proof": _proof(parts)}, headers={"origin": "https://desk.example"}
    )
    assert answer.headers["set-cookie"].startswith("__Host-hallmark-session=")
    assert "; Secure" in answer.headers["set-cookie"]


async def test_signing_out_ends_the_session(desk: Desk) -> None:
    """The cookie is taken back, and the token is worth nothing any more."""
    answer = desk.post("/sign-out", {"csrf": desk.session.csrf})
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert await desk.parts.sessions.person(desk.session.token) is None


async def test_a_long_queue_is_paged(tmp_path: Path) -> None:
    """Ten thousand items: a page has fifty, at most two hundred, and leads to the next."""
    client = TestClient(create_app(surfaces(Scene(items=10_000), tmp_path)), base_url=ORIGIN)
    page = client.get("/review").text
    assert len(_boxes(page)) == 50
    links = [e.attributes["href"] for e in elements(page) if e.attributes.get("rel") == "next"]
    assert links == ["/review?state=HOLD&cursor=50"]
    following = client.get(links[0].replace("/review", "/review.json")).json()
    assert following["rows"][0]["id"] == item_id(50)
    assert client.get("/review.json?limit=201").json()["error"]["code"] == "bad_query"


async def test_a_megabyte_of_text_is_only_long(tmp_path: Path) -> None:
    """A view with very long texts still makes a page."""
    client = TestClient(create_app(surfaces(Scene(poison="x" * 20_000, items=2), tmp_path)), base_url=ORIGIN)
    answer = client.get(f"/review/{ITEM}")
    assert answer.status_code == 200
    assert len(answer.text) > 1_000_000
