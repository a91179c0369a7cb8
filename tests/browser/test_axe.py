"""axe-core finds nothing on any page: WCAG 2.2 A and AA, light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing.chatting import ask, enter
from browsing.pages import SUBJECT, pages
from browsing.serving import served
from browsing.stage import Stage
from browsing.watched import DESKTOP, PHONE
from playwright.sync_api import Page

from hallmark.testing.scene import Scene

pytestmark = pytest.mark.integration
Open = Any
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
# Everything that a page can have on it at once.
FULL = Scene(
    marks={
        "ran": "witnessed",
        "model": "claimed",
        "route": "disputed",
        "inputs": "stale",
        "paid": "failed",
        "proved": "anchored",
        "reviewed": "revoked",
    },
    memory=True,
    appealed=True,
    fallback=True,
    relabelled=True,
    overdue=True,
    sampled=True,
)
# A list whose end lies outside: 1,813 that is cut at its edge reads as 1,81.
CUT = """() => [...document.querySelectorAll("nav ul, dl dd, .bar")]
  .filter((one) => getComputedStyle(one).overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.textContent.replace(/\\s+/g, " ").slice(0, 80))"""
# A choice whose chosen words are longer than its box shows half of them.
CHOSEN = """() => [...document.querySelectorAll("select")].filter((one) => {
  if (!one.checkVisibility()) return false;
  const [style, pen] = [getComputedStyle(one), document.createElement("canvas").getContext("2d")];
  pen.font = style.font;
  const room = one.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 16;
  return pen.measureText(one.selectedOptions[0]?.text ?? "").width > room;
}).map((one) => one.selectedOptions[0].text)"""
RUN = """(rules) => axe.run(document, {runOnly: rules, resultTypes: ["violations"]})
  .then((found) => found.violations)"""


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The pages."""
    return Stage(FULL)


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """Their address."""
    with served(stage.app()) as address:
        yield address


def violations(page: Page) -> list[str]:
    """What axe finds, one line for each element."""
    found = page.evaluate(RUN, RULES)
    return [
        f"{rule['id']} {node['target']}: {node['html'][:120]} {[c['message'] for c in node['any'][:1]]}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page(stage: Stage, origin: str, opened: Open, dark: bool, width: int) -> None:
    """No page breaks a rule, and none is wider than the screen."""
    assert AXE.exists(), "axe-core is installed by npm"
    page = opened(dark=dark, width=width, cookies=stage.cookies(), origin=origin, allow=("404",))
    # Injected by the test alone; the pages' own policy lets no such script in.
    page.add_init_script(AXE.read_text())
    problems: list[str] = []
    for page_of in pages(stage.app()):
        if "/figures" not in page_of.address and page_of.address.endswith((".pdf", ".json")):
            continue
        if "leaves" in page_of.address:
            continue
        page.goto(origin + page_of.address)
        if page.locator("main").count() == 0:
            continue
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            problems.append(f"{page_of.address}: {wide} px wider than the screen")
        problems += [f"{page_of.address}: cut at the edge: {said}" for said in page.evaluate(CUT)]
        problems += [f"{page_of.address}: {found}" for found in violations(page)]
    assert problems == [], "\n".join(problems)


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("state", ["CLEAR", "FINAL", "REJECTED"])
def test_a_queue_of_what_was_decided_fits(
    stage: Stage, origin: str, opened: Open, width: int, state: str
) -> None:
    """Its words are longer than those of what waits: no row is wider than the screen."""
    stage.scene = Scene(state=state, klass="", value=0, assurance="simulated")
    try:
        page = opened(width=width, cookies=stage.cookies(), origin=origin)
        for address in (f"/review?state={state}", f"/review/{SUBJECT}"):
            page.goto(origin + address)
            assert page.locator("tr[data-item]").count() > 0
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    finally:
        stage.scene = FULL


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_chat_in_use(origin: str, opened: Open, dark: bool, width: int) -> None:
    """The chat with an answer, its details open, breaks no rule either."""
    page = opened(dark=dark, width=width)
    page.add_init_script(AXE.read_text())
    enter(page, origin)
    answer = ask(page, "Which digit?")
    answer.get_by_role("button", name="Details").click()
    assert "\n".join(violations(page)) == ""
    assert page.evaluate(CHOSEN) == []
