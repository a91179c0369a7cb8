"""What a hostile text, site or cookie can do to a person at these pages: nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from browsing.chatting import ask, enter
from browsing.elsewhere import site
from browsing.pages import SUBJECT, pages
from browsing.serving import served
from browsing.stage import Stage
from browsing.watched import PATIENCE_MS

from hallmark.testing.scene import Scene
from hallmark.testing.surfaces import proof_of, reviewer_key

pytestmark = pytest.mark.integration
Open = Any
# Every way out of a text, an attribute, a link, a script and a style at once.
POISON = (
    "\"'><script>window.pwned=1</script><img src=x onerror=window.pwned=1><svg/onload=window.pwned=1>"
    "</title></textarea></style>{{7*7}}${7*7}javascript:window.pwned=1 \u202e<b class=hm-mark>proved</b>"
)
FOREIGN = "script:not([src^='/assets/']), img, iframe, [onerror], [onload], b.hm-mark"


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The pages."""
    return Stage()


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """Their address."""
    with served(stage.app()) as address:
        yield address


def test_every_text_of_every_view_stays_text(stage: Stage, origin: str, opened: Open) -> None:
    """A script in every text that a page can show runs nowhere, makes no element, and is shown as it is."""
    stage.scene = Scene(
        poison=POISON,
        memory=True,
        appealed=True,
        fallback=True,
        marks=dict.fromkeys(("ran", "reviewed"), "failed"),
    )
    page = opened(cookies=stage.cookies(), origin=origin, allow=("404", "400", "trust"))
    shown = 0
    for page_of in pages(stage.app()):
        if page_of.address.endswith((".pdf", ".json", "figures")) or "leaves" in page_of.address:
            continue
        page.goto(origin + page_of.address)
        assert page.evaluate("window.pwned === undefined"), page_of.address
        assert page.locator(FOREIGN).count() == 0, page_of.address
        links = page.eval_on_selector_all("a[href]", "(all) => all.map((one) => one.href)")
        assert {urlsplit(link).scheme for link in links} <= {"http"}, page_of.address
        assert {urlsplit(link).hostname for link in links} <= {"127.0.0.1"}, page_of.address
        shown += "<script>window.pwned=1</script>" in page.inner_text("main")
    assert shown > 10


def test_no_inline_script_runs_and_nobody_frames_a_page(stage: Stage, origin: str, opened: Open) -> None:
    """The policy is in force on every page: an inline script is refused by the browser, and so is a frame."""
    stage.scene = Scene()
    with httpx.Client(base_url=origin, cookies=stage.cookies()) as client:
        for page_of in pages(stage.app()):
            headers = client.get(page_of.address).headers
            policy = headers["content-security-policy"]
            assert "script-src 'self';" in policy, page_of.address
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
    page = opened(allow=("Content Security Policy", "violates"))
    page.goto(f"{origin}/review/{SUBJECT}")
    page.evaluate(
        "() => { const made = document.createElement('script'); made.textContent = 'window.pwned = 1';"
        "document.body.append(made); document.body.setAttribute('onclick', 'window.pwned = 2'); }"
    )
    page.click("body", position={"x": 2, "y": 2})
    assert page.evaluate("window.pwned === undefined")
    with served(site(f"<iframe src='{origin}/review'></iframe>")) as elsewhere:
        framing = opened(allow=("frame", "Framing", "X-Frame", "violates"))
        framing.goto(elsewhere)
        framing.wait_for_timeout(300)
        (frame,) = framing.frames[1:]
        assert "Review queue" not in frame.content()


def test_another_site_cannot_act_for_a_person(stage: Stage, origin: str, opened: Open) -> None:
    """A form that another site sends with the person's cookie is refused, and so is one without the token."""
    stage.scene = Scene()
    target = f"{origin}/review/{SUBJECT}/reject"
    form = f"<form method=post action='{target}'><input name=code value=spam></form>"
    with served(site(form)) as elsewhere:
        page = opened(cookies=stage.cookies(), origin=origin, allow=("403", "401", "elsewhere.test"))
        page.goto(elsewhere.replace("127.0.0.1", "elsewhere.test"))
        page.evaluate("document.forms[0].submit()")
        page.wait_for_url(target)
        assert page.locator("code").first.inner_text() in ("cross_site", "not_signed_in")
    with httpx.Client(base_url=origin, cookies=stage.cookies()) as client:
        for headers in ({}, {"sec-fetch-site": "same-origin"}):
            answer = client.post(f"/review/{SUBJECT}/reject", data={"code": "spam"}, headers=headers)
            assert answer.status_code in (401, 403), answer.text
    done = [act for act, *_ in stage.surfaces.actions.asked]  # type: ignore[attr-defined]  # the scene's
    assert "reject" not in done


def test_a_planted_session_is_not_taken_over(stage: Stage, origin: str, opened: Open) -> None:
    """Whoever planted a cookie before a person signed in holds nothing afterwards."""
    stage.scene = Scene()
    name = stage.surfaces.sessions.cookie_name
    page = opened(cookies={name: "planted-by-somebody"}, origin=origin)
    page.goto(f"{origin}/sign-in?proof={_proof(stage)}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/review*")
    (cookie,) = (one for one in page.context.cookies() if one["name"] == name)
    assert cookie["value"] != "planted-by-somebody"
    assert cookie["httpOnly"]
    assert cookie["sameSite"] in ("Lax", "Strict")
    with httpx.Client(base_url=origin) as thief:
        thief.cookies.set(name, "planted-by-somebody", domain="127.0.0.1")
        assert "Sign in" in thief.get("/review").text
    before = cookie["value"]
    page.goto(f"{origin}/sign-in?proof={_proof(stage)}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/review*")
    with httpx.Client(base_url=origin) as thief:
        thief.cookies.set(name, before, domain="127.0.0.1")
        assert "Sign in" in thief.get("/review").text, "the session of before the second sign-in still counts"


def _proof(stage: Stage) -> str:
    made = proof_of(stage.surfaces.sessions, reviewer_key())
    return base64.urlsafe_b64encode(msgspec.json.encode(made)).decode().rstrip("=")


def test_a_queue_of_ten_thousand(stage: Stage, origin: str, opened: Open) -> None:
    """Ten thousand items: a page holds a bounded part of them, and paging reaches every one once."""
    stage.scene = Scene(items=10_000)
    page = opened()
    page.goto(f"{origin}/review?state=HOLD&limit=200")
    assert page.locator("tr[data-item]").count() == 200
    assert page.evaluate("document.querySelectorAll('*').length") < 200 * 80
    seen: list[str] = []
    address: str | None = "/review?state=HOLD&limit=200"
    with httpx.Client(base_url=origin, timeout=30) as client:
        while address:
            view = client.get(address, headers={"accept": "application/json"}).json()
            seen += [row["id"] for row in view["rows"]]
            address = f"/review?state=HOLD&limit=200&cursor={view['next']}" if view["next"] else None
    assert len(seen) == len(set(seen)) == 10_000
    stage.scene = Scene()


def test_the_queue_by_keyboard_alone(stage: Stage, origin: str, opened: Open) -> None:
    """Go through the queue, open an item, come to its review form without a pointer; the focus is seen."""
    stage.scene = Scene(items=4)
    page = opened(cookies=stage.cookies(), origin=origin)
    page.goto(f"{origin}/review")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('tr[data-item]').rowIndex") == 2
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/0x*")
    page.go_back()
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.wait_for_url("**/review/0x*#*")
    page.keyboard.press("?")


def test_the_chat_keeps_nothing_readable(stage: Stage, origin: str, opened: Open) -> None:
    """What a person wrote stands in no storage of the browser in clear."""
    page = opened()
    enter(page, origin)
    canary = "canary-6d21f0"
    ask(page, f"Which digit? {canary}")
    for _ in range(PATIENCE_MS // 50):
        if page.evaluate(KEPT)["count"]:
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)  # what else it may keep
    kept = page.evaluate(KEPT)
    assert kept["count"] > 0
    assert canary not in kept["text"]


# Everything that the origin keeps: local and session storage, and every record of every database.
KEPT = """async () => {
  const done = (request) => new Promise((yes, no) => {
    request.onsuccess = () => yes(request.result);
    request.onerror = () => no(request.error);
  });
  const text = (value) => {
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return new TextDecoder().decode(value);
    if (typeof value !== "object" || value === null) return String(value);
    return Object.values(value).map(text).join(" ");
  };
  const texts = [JSON.stringify(localStorage), JSON.stringify(sessionStorage)];
  let count = 0;
  for (const { name } of await indexedDB.databases()) {
    const db = await done(indexedDB.open(name));
    for (const store of db.objectStoreNames) {
      const records = await done(db.transaction(store).objectStore(store).getAll());
      count += records.length;
      texts.push(...records.map(text));
    }
    db.close();
  }
  return { count, text: texts.join(" ") };
}"""
