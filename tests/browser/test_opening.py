"""Files that stay in the browser: an item judged with its answer open, and /verify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from browsing.extract import Plan, observe
from browsing.serving import awaited, served
from browsing.stage import Stage
from browsing.watched import PHONE
from playwright.sync_api import Page, Request
from test_axe import AXE
from test_axe import violations as broken

from hallmark.apps.web.claims import violations
from hallmark.apps.web.pdf import receipt_pdf
from hallmark.core.document import unhex
from hallmark.core.entries import decode
from hallmark.core.hashing import sha256
from hallmark.core.statements import Review
from hallmark.testing.answers import PATH
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.scene import Scene
from hallmark.testing.scene_explorer import SceneExplorer
from hallmark.testing.scene_parts import item_id
from hallmark.testing.surfaces import reviewer_key
from hallmark.verification.dossier import Dossier, ResponseCopy, Salts

pytestmark = pytest.mark.integration
Open = Any
CANARY = "canary-51c0de <img src=x onerror=window.pwned=1>"
TRUST, OPENED = "/v1/hallmark/trust.json", "The answer is open on this page"


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The pages and a gateway."""
    return Stage(Scene())


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """Their address."""
    with served(stage.app()) as address:
        yield address


class Asked:
    """Every request of a page since `clear`."""

    def __init__(self, page: Page) -> None:
        self.requests: list[Request] = []
        page.on("request", lambda one: self.requests.append(one))

    def clear(self) -> None:
        """Forget what was asked."""
        self.requests.clear()

    def paths(self) -> set[str]:
        """Paths of what was asked since; nothing of a file was in any of it."""
        for one in self.requests:
            assert (one.method, one.post_data) == ("GET", None), one.url
            assert "canary" not in one.url + json.dumps(one.headers)
        return {urlsplit(one.url).path for one in self.requests if "/assets/" not in one.url}


class Foreign(Notary):
    """Another network's: other full nodes cosign."""

    def witness_seed(self, party: Party) -> bytes:
        """Not the seed that the gateway's full nodes have."""
        return sha256(b"foreign", party.name.encode())


def answered(stage: Stage, origin: str) -> Dossier:
    """A fresh answer, as who asked saved it."""
    body = {"model": "digits", "messages": [{"role": "user", "content": CANARY}], "stream": True}
    httpx.post(origin + PATH, json=body).raise_for_status()
    return stage.gateway.saved(stage.gateway.newest())


def file_of(folder: Path, data: bytes, name: str = "r.hallmark.json") -> str:
    """A file of a person's own."""
    path = folder / name
    path.write_bytes(data)
    return str(path)


def bare(dossier: Dossier) -> Dossier:
    """A public receipt."""
    return msgspec.structs.replace(dossier, request=None, response=None, salts=Salts(None, None))


def test_an_item_is_judged_with_its_answer_open(
    stage: Stage, origin: str, opened: Open, tmp_path: Path
) -> None:
    """The file is read, compared and shown here, sent nowhere; the signed review says that it was open."""
    dossier = answered(stage, origin)
    page = opened(cookies=stage.cookies(), origin=origin)
    asked = Asked(page)
    page.goto(f"{origin}/review/{dossier.id}")
    form = page.locator("form[data-sign=review]")
    shut, open_ = form.get_attribute("data-screen"), form.get_attribute("data-screen-open")
    assert form.get_by_text("not open").is_visible()
    page.locator("#open > summary").click()
    field = page.locator("#open input[type=file]")
    field.wait_for()
    asked.clear()
    field.set_input_files(file_of(tmp_path, dossier.encode()))
    page.get_by_text(OPENED).wait_for()
    assert asked.paths() == {TRUST, f"/explore/receipts/{dossier.id}.hallmark.json"}
    said = page.locator("#open .opened-said")
    assert said.first.inner_text() == CANARY
    assert page.locator("#open h3", has_text="The answer").count() == 1
    assert "Seven." in [each.inner_text() for each in said.all()]
    assert page.evaluate("window.pwned === undefined")
    assert page.locator("#open img").count() == 0
    assert screens(page) == {open_}
    assert not form.get_by_text("not open").is_visible()
    seen = observe(page, "item", Plan(list(stage.facts()), dossier.id))
    facts = {**stage.facts(), dossier.id: next(iter(stage.facts().values()))}
    assert "\n".join(map(str, violations(facts, seen))) == ""

    for closed in (False, True):
        if closed:
            page.get_by_role("button", name="Close it").click()
            assert {each.get_attribute("value") for each in page.locator("input[name=screen]").all()} == {
                shut
            }
        assert signed(page, tmp_path).screen == unhex((shut if closed else open_) or "")
        page.goto(f"{origin}/review/{dossier.id}")
        page.locator("#open > summary").click()
        page.locator("#open input[type=file]").set_input_files(file_of(tmp_path, dossier.encode()))
        page.get_by_text(OPENED).wait_for()


def screens(page: Page) -> set[str | None]:
    """Which screens the forms of an item's page would name."""
    return {each.input_value() for each in page.locator("input[name=screen]").all()}


def signed(page: Page, folder: Path) -> Review:
    """Sign a review with the form; the statement that left the page."""
    form = page.locator("form[data-sign=review]")
    form.get_by_label("fit", exact=True).check()
    form.get_by_label("Reason code").fill("complete")
    form.locator("[data-key-place] input[type=file]").set_input_files(
        file_of(folder, reviewer_key().hex().encode(), "ada.key")
    )
    with page.expect_navigation(), page.expect_request(lambda one: one.method == "POST") as sent:
        form.get_by_role("button", name="Sign the review").click()
    entry = parse_qs(sent.value.post_data or "")["entry"][0]
    statement = decode(unhex(entry)).statement
    assert isinstance(statement, Review)
    return statement


def test_a_wrong_file_opens_nothing_and_says_what_differs(
    stage: Stage, origin: str, opened: Open, tmp_path: Path
) -> None:
    """Another answer's receipt, another text, a receipt without its content, no receipt at all."""
    mine, other = answered(stage, origin), answered(stage, origin)
    page = opened(cookies=stage.cookies(), origin=origin)
    page.goto(f"{origin}/review/{mine.id}")
    page.locator("#open > summary").click()
    changed = msgspec.structs.replace(mine, response=ResponseCopy("data: {}\n\n"))
    for data, told in (
        (other.encode(), f"the file is of another one, {other.id}"),
        (changed.encode(), "answer: another digest"),
        (bare(mine).encode(), "answer: the file does not hold it"),
        (b"{}", "bad_dossier"),
        (b"data: {}\n\n", "hallmark receipt --from"),
    ):
        page.locator("#open input[type=file]").set_input_files(file_of(tmp_path, data))
        page.locator("#open [role=alert]", has_text=told).wait_for()
        assert page.locator("#open .opened-said").count() == 0
        assert page.locator("form[data-answer-open]").count() == 0


def states(page: Page) -> dict[str, str]:
    """States of the marks that /verify drew."""
    marks = page.locator(".head-marks .hm-mark").all()
    return {str(m.get_attribute("data-question")): str(m.get_attribute("data-state")) for m in marks}


def give(page: Page, number: int, path: str) -> None:
    """Give the page a file: 0 the receipt, 1 the trust file; wait until it says what came of it."""
    page.locator("[data-verify] > [role=status]").evaluate("(line) => { line.textContent = ''; }")
    page.locator("[data-verify] input[type=file]").nth(number).set_input_files(path)
    page.locator("[data-verify] > [role=status]", has_text="eriv").wait_for()
    page.locator("[data-verify] > [role=status]", has_text="Deriving").wait_for(state="detached")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_verify_derives_what_the_python_verifier_derives(
    stage: Stage, origin: str, opened: Open, tmp_path: Path, dark: bool
) -> None:
    """A good file under the network's own trust file and one's own, as a file and as the explorer's PDF."""
    dossier = answered(stage, origin)
    expected = dict(stage.gateway.facts(dossier.id).states)
    page = opened(dark=dark, width=PHONE if dark else 1280)
    page.add_init_script(AXE.read_text())
    asked = Asked(page)
    page.goto(f"{origin}/verify")
    page.locator("[data-verify] input[type=file]").first.wait_for()
    asked.clear()
    give(page, 0, file_of(tmp_path, dossier.encode()))
    assert asked.paths() == {TRUST}
    found = states(page)
    # Facts are read by a policy, which waives some; /verify reads by none.
    assert found == {q: "absent" if s == "not_required" else s for q, s in expected.items()}
    assert "the network's own is used" in page.locator(".notice-warn").inner_text()
    assert page.evaluate("window.pwned === undefined")
    assert "\n".join(broken(page)) == ""
    stands = msgspec.structs.replace(stage.gateway.facts(dossier.id), states=found, item="", policy="")
    seen = observe(page, "/verify", Plan([dossier.id]))
    assert [row.subject for row in seen.rows] == [dossier.id]
    assert page.locator('.head-marks + .hm-legend a[href="/marks"]').count() == 1
    assert "\n".join(map(str, violations({dossier.id: stands}, seen))) == ""
    asked.clear()
    give(page, 1, file_of(tmp_path, stage.gateway.trust.to_toml().encode(), "trust.toml"))
    assert "Your own trust file is used: trust.toml" in page.locator(".notice-warn").inner_text()
    assert (states(page), asked.paths()) == (found, set())
    view = awaited(SceneExplorer(Scene()).receipt(item_id(0)))
    give(page, 0, file_of(tmp_path, receipt_pdf(view, dossier.encode(), ""), "r.pdf"))
    assert (states(page), asked.paths()) == (found, set())
    assert page.locator("[data-verify] h2 + p code").inner_text() == dossier.id


def test_verify_refuses_in_words(stage: Stage, origin: str, opened: Open, tmp_path: Path) -> None:
    """A changed answer, a trust file of another network, other PDFs, files of other kinds."""
    dossier = answered(stage, origin)
    page = opened()
    page.goto(f"{origin}/verify")
    give(page, 0, file_of(tmp_path, dossier.encode()))
    good = states(page)
    assert good["proved"] == "witnessed"
    changed = msgspec.structs.replace(dossier, response=ResponseCopy("data: {}\n\n"))
    give(page, 0, file_of(tmp_path, changed.encode()))
    assert "failed" in states(page).values()
    assert "response_mismatch" in page.inner_text("[data-verify]")
    give(page, 0, file_of(tmp_path, dossier.encode()))
    foreign = Foreign(LittleNetwork()).trust()
    give(page, 1, file_of(tmp_path, msgspec.json.encode(foreign), "foreign.json"))
    assert "witnessed" not in states(page).values()
    assert "failed" in states(page).values()
    for number, data, reason in (
        (0, b"%PDF-1.7\n", "bad_pdf"),
        (0, b"{}", "bad_dossier"),
        (0, b'{"choices": []}', "answer_not_receipt"),
        (1, b"threshold = 2.5\n", "bad_trust_file"),
    ):
        give(page, number, file_of(tmp_path, data, "x"))
        assert page.locator("[data-verify] [role=alert] code").inner_text() == reason
        assert states(page) == {}


def test_verify_by_keyboard_by_dropping_and_without_script(stage: Stage, origin: str, opened: Open) -> None:
    """Reached by Tab, dropped and pasted; without script it says what to do instead."""
    dossier = answered(stage, origin)
    page = opened()
    page.goto(f"{origin}/verify")
    page.locator("[data-verify] input[type=file]").first.wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "file":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    text = dossier.encode().decode()
    transfer = page.evaluate_handle(
        "(text) => { const all = new DataTransfer(); all.items.add(new File([text], 'r')); return all; }",
        text,
    )
    page.locator(".drop-zone").first.dispatch_event("drop", {"dataTransfer": transfer})
    page.locator("[data-verify] h2 + p code").wait_for()
    assert states(page)["proved"] == "witnessed"
    page.reload()
    page.keyboard.press("Tab")
    page.locator("[data-verify] summary").first.press("Enter")
    page.locator("[data-verify] textarea").first.fill(text)
    page.get_by_role("button", name="Use what was pasted as the file").press("Enter")
    page.locator("[data-verify] h2 + p code").wait_for()
    bare_page = opened(java_script_enabled=False)
    bare_page.goto(f"{origin}/verify")
    assert "hallmark verify FILE --trust trust.toml" in bare_page.inner_text("[data-verify]")
    bare_page.goto(f"{origin}/review/{dossier.id}")
    assert "hallmark review open" in (bare_page.locator("#open").text_content() or "")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (PHONE, 740)], ids=["desk", "phone"])
def test_the_review_form_stands_within_one_screen(
    stage: Stage, origin: str, opened: Open, width: int, height: int
) -> None:
    """At a desk all of it is on the first screen, beside what holds the item; on a phone it fits one, and a
    link at the top leads there.
    """
    page = opened(width=width, cookies=stage.cookies(), origin=origin)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{origin}/review/{item_id(0)}")
    form = page.locator("form[data-sign=review]")
    form.locator("[data-key-place] input").first.wait_for()
    box = form.bounding_box()
    assert box is not None
    if width == PHONE:
        link = page.locator(".to-acts a").bounding_box()
        assert link is not None
        assert link["y"] + link["height"] < height
        assert box["height"] <= height
    else:
        assert box["y"] + box["height"] <= height
