"""Every page in every state: twins are views, nothing is inline, texts are escaped, words stay modest."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.core.marks import Question, State
from hallmark.testing.html import elements, inline
from hallmark.testing.scene_parts import item_id
from hallmark.testing.surfaces import ORIGIN, Scene, signed_in, surfaces

ITEM = item_id()
OPEN = (
    "/",
    "/review",
    f"/review/{ITEM}",
    f"/review/{ITEM}/as-seen?number=1",
    "/review/figures",
    "/review/appeals",
)
POLICIES = ("/policies", "/policies/witnessed", "/policies/try?from=witnessed", "/sign-in", "/verify")
PAGES = (*OPEN, *POLICIES)
POISON = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}<!--"
STATES = [state.value for state in State]
# Adjectives of trust and claims that no page's own words make, whatever the marks say (UI.md).
NEVER = re.compile(
    r"\b(secure|safe|trusted|guaranteed|verified|approved|attested|confidential|certified|100 ?%)\b",
    re.I,
)


def every(state: str) -> dict[str, str]:
    """All seven marks in one state."""
    return {question.value: state for question in Question}


def client_of(scene: Scene, path: Path) -> TestClient:
    """The pages of a scene, for nobody in particular."""
    return TestClient(create_app(surfaces(scene, path)), base_url=ORIGIN)


async def signed(scene: Scene, path: Path, secret: bytes | None = None) -> TestClient:
    """A client with a session: a reviewer's, or that of any other key."""
    parts = surfaces(scene, path)
    session = await signed_in(parts, secret)
    client = TestClient(create_app(parts), base_url=ORIGIN)
    client.cookies.set(parts.sessions.cookie_name, session.token)
    return client


RICH = Scene(
    marks=every("claimed") | {"reviewed": "disputed", "inputs": "stale"},
    memory=True,
    fallback=True,
    relabelled=True,
    appealed=True,
    sampled=True,
    items=9,
)


def plain(view: object) -> Any:
    """A view as JSON."""
    return msgspec.json.decode(msgspec.json.encode(view))


async def test_twins_are_the_views(tmp_path: Path) -> None:
    """What a program reads is the struct that the page was made of, field by field."""
    desk = surfaces(RICH, tmp_path).desk
    client = client_of(RICH, tmp_path)
    expected = {
        "/review.json": await desk.queue("state=HOLD", "", 50),
        "/review.json?state=HOLD&limit=2": await desk.queue("state=HOLD", "", 2),
        "/review/appeals.json": await desk.queue("appealed=1&order=due", "", 50),
        f"/review/{ITEM}.json": await desk.item(ITEM, None),
        f"/review/{ITEM}/as-seen.json?number=1": await desk.as_seen(ITEM, 1),
        "/review/figures.json": await desk.figures(),
        "/policies/witnessed.json": await desk.policy("witnessed"),
    }
    for address, view in expected.items():
        answer = client.get(address)
        assert answer.headers["content-type"] == "application/json", address
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == plain(view), address
    assert client.get("/policies.json").json() == {"policies": plain(await desk.policies())}


@pytest.mark.parametrize("page", PAGES)
def test_every_page_names_its_twin_and_address(tmp_path: Path, page: str) -> None:
    """The twin's link works and gives what an Accept header gives; the page names its permanent address."""
    client = client_of(RICH, tmp_path)
    found = elements(client.get(page, headers={"accept": "text/html"}).text)
    twins = {e.attributes["href"] for e in found if e.attributes.get("rel") == "alternate"}
    assert len(twins) == 1
    by_link, by_accept = client.get(twins.pop()), client.get(page, headers={"accept": "application/json"})
    assert by_link.status_code == 200
    if page != "/sign-in":  # each sign-in page brings a challenge of its own
        assert by_link.content == by_accept.content
    assert any(e.attributes.get("href") == ORIGIN + page for e in found)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("page", PAGES)
def test_no_page_claims_more_than_marks(tmp_path: Path, page: str, state: str) -> None:
    """Over every state: all seven marks are there with their words, and no adjective of trust is."""
    scene = Scene(marks=every(state), memory=True, appealed=True)
    html = client_of(scene, tmp_path).get(page).text
    assert inline(html) == []
    found = elements(html)
    rows = [e for e in found if {"hm-marks"} <= e.classes and "hm-one" not in e.classes]
    marks = [e for e in found if "hm-mark" in e.classes]
    assert len([m for m in marks if m.attributes["data-question"] == "proved"]) >= len(rows)
    assert all(e.text for e in found if "hm-word" in e.classes)
    text = " ".join(e.text for e in found if e.tag == "body")
    labels = " ".join(f"{e.attributes.get('title', '')} {e.attributes.get('aria-label', '')}" for e in found)
    assert not NEVER.findall(text + labels)


@pytest.mark.parametrize("state", STATES)
def test_simulated_is_said_wherever_the_state_is(tmp_path: Path, state: str) -> None:
    """Wherever `ran` stands with a word, "simulated" stands with it."""
    client = client_of(Scene(marks={"ran": state}), tmp_path)
    if state in ("absent", "not_required"):
        return
    for page in ("/review", f"/review/{ITEM}"):
        marks = [e for e in elements(client.get(page).text) if e.attributes.get("data-question") == "ran"]
        assert marks
        assert all("simulated" in mark.text for mark in marks)
        assert all("; simulated" in mark.attributes["aria-label"] for mark in marks)
    seen = client.get(f"/review/{ITEM}/as-seen").text
    assert "claimed; simulated" in seen


def test_an_asserted_model_shows_no_artifact(tmp_path: Path) -> None:
    """Where a provider merely asserts the model, no artifact stands as the receipt's own."""
    client = client_of(Scene(asserted_by="Big Provider"), tmp_path)
    html = client.get(f"/review/{ITEM}").text
    assert "asserted by Big Provider" in html
    assert "the receipt names it" not in html
    assert client.get("/review.json").json()["rows"][0]["artifact"] == ""


def test_old_memory_is_shown_with_its_age(tmp_path: Path) -> None:
    """A preserved row says how old it is and that nobody validated it again; one without a date says so."""
    text = client_of(Scene(memory=True), tmp_path).get(f"/review/{ITEM}").text
    assert "90 days old" in text
    assert "not re-validated" in text
    assert "age unknown" in text


@pytest.mark.parametrize("page", PAGES)
async def test_hostile_texts_stay_texts(tmp_path: Path, page: str) -> None:
    """Markup in every text of every view is shown, not obeyed; templates are not evaluated twice."""
    client = await signed(msgspec.structs.replace(RICH, poison=POISON), tmp_path)
    answer = client.get(page)
    assert answer.status_code == 200
    assert inline(answer.text) == []
    assert "49" + "&lt;!--" not in answer.text
    if page not in ("/", "/sign-in", "/verify", "/policies/try?from=witnessed"):
        assert "&lt;script&gt;alert(1)" in answer.text


async def test_hostile_texts_in_answers_to_forms(tmp_path: Path) -> None:
    """A dry run, its refusal, the outcome of a bulk act and the webhooks' page are escaped too."""
    parts = surfaces(msgspec.structs.replace(RICH, poison=POISON), tmp_path)
    session = await signed_in(parts)
    client = TestClient(create_app(parts), base_url=ORIGIN, headers={"origin": ORIGIN})
    client.cookies.set(parts.sessions.cookie_name, session.token)
    token = {"csrf": session.csrf}
    bulk = token | {"reason": "proved:state_too_low", "act": "take", "item": [ITEM, item_id(1)]}
    for path, form in (
        ("/policies/try", {"toml": "name" + POISON}),
        ("/policies/try", {"toml": POISON}),
        ("/review/bulk", bulk),
        ("/review/webhooks", token | {"url": "https://x.example/" + POISON}),
    ):
        answer = client.post(path, data=form)
        assert answer.status_code in (200, 400), answer.text
        assert inline(answer.text) == []
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize("state", ["HOLD", "CLEAR", "FINAL", "REJECTED"])
async def test_every_control_of_a_held_item_says_hold(tmp_path: Path, state: str) -> None:
    """In HOLD no control, twin's link or address lacks the word; in other states none pretends to it."""
    scene = Scene(state=state, appealed=True, marks={"proved": "witnessed"})
    client = await signed(scene, tmp_path)
    found = elements(client.get(f"/review/{ITEM}").text)
    controls = [
        e
        for e in found
        if (
            e.tag == "button"
            or (e.tag == "a" and "button" in e.classes)
            or e.attributes.get("rel") == "alternate"
        )
        and "header" not in e.above
        and "dialog" not in e.above
    ]
    addresses = [e for e in found if e.tag == "li" and "footer" in e.above]
    said = [e.text + e.attributes.get("title", "") for e in (*controls, *addresses)]
    assert len(said) > 6
    assert all("HOLD" in text for text in said) is (state == "HOLD"), [t for t in said if "HOLD" not in t]
    if state != "HOLD":
        assert not any("HOLD" in text for text in said)


def test_states_are_words_and_never_the_colours_of_marks(tmp_path: Path) -> None:
    """HOLD, CLEAR, FINAL and REJECTED stand as words; green and blue are in the marks' stylesheet alone."""
    client = client_of(Scene(state="CLEAR"), tmp_path)
    assert any(
        e.text == "CLEAR" for e in elements(client.get(f"/review/{ITEM}").text) if "state-CLEAR" in e.classes
    )
    sheet = client.get("/assets/hallmark.css").text.lower()
    assert not re.search(r"#1f4d46|#123a5e|#7cc4b6|#8fbbe6|\bgreen\s*[;}]|\bblue\s*[;}]", sheet)
    assert "url(" not in sheet
    assert "@import" not in sheet


@pytest.mark.parametrize("page", PAGES)
def test_pages_open_with_one_sentence(tmp_path: Path, page: str) -> None:
    """One h1, one sentence of what it is, a skip link, landmarks, and what the page does not prove."""
    found = elements(client_of(RICH, tmp_path).get(page).text)
    assert [e.tag for e in found].count("h1") == 1
    assert [e for e in found if "lead" in e.classes and e.text.strip().endswith((".", "met."))]
    assert found[[e.tag for e in found].index("a")].attributes["href"] == "#main"
    assert {"header", "main", "footer", "nav"} <= {e.tag for e in found}
    assert [e for e in found if "foot-limits" in e.classes and e.text.strip()]


@pytest.mark.parametrize("page", PAGES)
async def test_every_field_has_a_name_for_readers(tmp_path: Path, page: str) -> None:
    """Every control has a label, ids are unique, tables have captions and header cells have scopes."""
    client = await signed(RICH, tmp_path)
    found = elements(client.get(page).text)
    labelled = {e.attributes.get("for") for e in found if e.tag == "label"}
    for e in found:
        if e.tag in ("input", "select", "textarea") and e.attributes.get("type") != "hidden":
            named = e.attributes.get("id") in labelled or "label" in e.above or "aria-label" in e.attributes
            assert named, e.attributes
        if e.tag == "th":
            assert e.attributes.get("scope") in ("col", "row")
    ids = [e.attributes["id"] for e in found if "id" in e.attributes]
    assert sorted(ids) == sorted(set(ids))
    for before, after in itertools.pairwise(found):
        if before.tag == "table":
            assert after.tag == "caption"


def test_who_reads_internal_comments(tmp_path: Path) -> None:
    """A visitor sees the comment to the subject, not the internal one."""
    scene = Scene(marks={"reviewed": "witnessed"})
    text = client_of(scene, tmp_path).get(f"/review/{ITEM}").text
    assert "Thank you, this covers it." in text
    assert "Compared with the second answer." not in text


async def test_people_get_the_forms_that_they_may_use(tmp_path: Path) -> None:
    """Nobody gets none; any key may declare, remark and appeal; only a reviewer the rest."""
    for_all, for_reviewers = (
        {"declare", "comment", "appeal"},
        {"review", "assign", "release", "reject", "answer"},
    )
    nobody, anybody = client_of(RICH, tmp_path), await signed(RICH, tmp_path, b"\x11" * 32)
    for client, expected in (
        (nobody, set()),
        (anybody, for_all),
        (await signed(RICH, tmp_path), for_all | for_reviewers),
    ):
        found = elements(client.get(f"/review/{ITEM}").text)
        actions = {
            e.attributes.get("action", "").removeprefix(f"/review/{ITEM}/") for e in found if e.tag == "form"
        }
        assert actions & (for_all | for_reviewers) == expected
