"""What no engine of this network makes yet, from constructed receipts: the pages are ready for it.

An old memory row that nobody validated again, and a payment without a proof, on every surface, each with a
picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing.chatting import ask, enter, receipt_of
from browsing.extract import Plan, observe
from browsing.gateway import Given
from browsing.pages import SUBJECT
from browsing.serving import served
from browsing.stage import Stage
from playwright.sync_api import Page

from hallmark.apps.web.claims import Facts, violations
from hallmark.testing.scene import Scene

pytestmark = pytest.mark.integration
Open = Any
MEMORY = Scene(marks={"ran": "witnessed", "proved": "witnessed", "inputs": "witnessed"}, memory=True)
PAID = Scene(marks={"ran": "claimed", "paid": "claimed"}, index=-1)
PAGES = {
    "queue": "/review?state=HOLD",
    "item": f"/review/{SUBJECT}",
    "receipt": f"/explore/receipts/{SUBJECT}",
}


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The pages and a gateway."""
    return Stage()


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """Their address."""
    with served(stage.app()) as address:
        yield address


def checked(page: Page, surface: str, facts: dict[str, Facts], main: str = "") -> None:
    """Fail when the page says more than the facts."""
    found = [str(one) for one in violations(facts, observe(page, surface, Plan(list(facts), main)))]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("name", PAGES)
def test_an_old_memory_row(stage: Stage, origin: str, opened: Open, output: Path, name: str) -> None:
    """Its age and "not re-validated" stand wherever it is named, though a quorum checked the mark."""
    stage.scene = MEMORY
    page = opened()
    page.goto(origin + PAGES[name])
    checked(page, PAGES[name], stage.facts(), SUBJECT if SUBJECT in PAGES[name] else "")
    if name != "queue":
        assert page.get_by_text("not re-validated").count() > 0
        row = page.locator("tr", has_text="memory").filter(has_text="notes").first
        assert "90" in row.inner_text() or "3 months" in row.inner_text(), row.inner_text()
    page.screenshot(path=output / "screenshots" / f"old-memory-{name}.png", full_page=True)


@pytest.mark.parametrize("name", PAGES)
def test_a_payment_without_a_proof(stage: Stage, origin: str, opened: Open, output: Path, name: str) -> None:
    """A payment that is named makes nothing greener, later in the timeline than it is, or more settled."""
    stage.scene = PAID
    page = opened()
    page.goto(origin + PAGES[name])
    checked(page, PAGES[name], stage.facts(), SUBJECT if SUBJECT in PAGES[name] else "")
    paid = page.locator('.hm-marks [data-question="paid"]').first
    assert paid.get_attribute("data-state") == "claimed"
    assert paid.locator(".hm-word").text_content() == "named"
    assert page.locator('.hm-marks [data-question="proved"]').first.get_attribute("data-state") == "absent"
    assert page.locator('[data-tone="green"], [data-tone="blue"]').count() == 0
    if name != "queue":
        whole = page.inner_text("main")
        assert "HOLD" in whole
        moments = page.locator("main table tr", has_text="payment").first
        assert "1200 atomic units" in moments.inner_text()
    page.screenshot(path=output / "screenshots" / f"payment-without-proof-{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("name", "given", "proving"),
    [("old-memory", Given(memory=True), True), ("payment-without-proof", Given(charged=True), False)],
)
def test_the_same_in_the_chat(
    stage: Stage, origin: str, opened: Open, output: Path, name: str, given: Given, proving: bool
) -> None:
    """The chat derives the marks from the receipt's bytes and says as much about them, and no more."""
    stage.gateway.given, stage.gateway.proving = given, proving
    page = opened()
    enter(page, origin)
    answer = ask(page, "Which digit?", proved="witnessed" if proving else "absent")
    answer.get_by_role("button", name="Details").click()
    receipt = receipt_of(answer)
    checked(page, "/chat", {receipt: stage.gateway.facts(receipt)})
    told = answer.inner_text()
    assert "whoever runs the node's host could have read it: its hardware is simulated" in told
    if given.memory:
        assert "not re-validated" in told
        assert re.search(r"77\d{5} s old", told)
    else:
        assert "is charged 0.000003 DEV (development money, worth nothing)" in told
        assert "it buys no proof and no good answer" in told
        assert answer.locator('[data-tone="green"], [data-tone="blue"]').count() == 0
    page.screenshot(path=output / "screenshots" / f"{name}-chat.png", full_page=True)
    stage.gateway.given, stage.gateway.proving = Given(), True
