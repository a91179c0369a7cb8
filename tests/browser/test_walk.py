"""Every page, in every state of every mark: nothing on it says more than the marks say.

Which combinations are walked and why they cover all ten million is told in `browsing.combinations`.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pypdf
import pytest
from browsing.combinations import QUESTIONS, STATES, pairs, scenes
from browsing.extract import Plan, observe, swapped
from browsing.pages import SUBJECT, Page, pages
from browsing.serving import served
from browsing.stage import Stage, facts_of, legend_facts
from browsing.watched import DESKTOP, NARROW

from hallmark.apps.web.claims import Facts, Observation, Row, Violation, of_json, of_text, violations
from hallmark.apps.web.flash import DONE
from hallmark.testing import scene_parts as parts
from hallmark.testing.html import elements
from hallmark.testing.scene import Scene, marks_of

pytestmark = pytest.mark.integration
Open = Any

# The screen of a decision shows two rows of one item: as it stood then, and as it stands now.
THEN = "then"
ASSIGN = (('[aria-labelledby="then"], td[data-label="then:"]', THEN),)
ROWS = 200
EVERY_STATE = "HOLD,CLEAR,FINAL,REJECTED"


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The stage that every test of this module plays on."""
    return Stage()


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """The real application over the stage."""
    with served(stage.app()) as address:
        yield address


def judged(stage: Stage, seen: Observation) -> list[str]:
    """What a surface of the stage says too much."""
    facts = {**stage.facts(), **legend_facts(), THEN: facts_of(seen_then(stage))}
    return [str(found) for found in violations(facts, seen)]


def told(problems: list[str]) -> str:
    """One of each kind: what a rule found in a place, wherever else it found it."""
    kinds = {re.sub(r"^.*?: \[|0x\w+|\d+", "", problem)[:120]: problem for problem in reversed(problems)}
    return f"{len(problems)} in all, such as\n" + "\n".join(list(kinds.values())[:40])


def seen_then(stage: Stage) -> Scene:
    """The marks of the stored screen, see `hallmark.testing.scene_desk`."""
    return msgspec.structs.replace(stage.scene, marks={"ran": "claimed"})


def plan_of(stage: Stage, single: bool, **more: Any) -> Plan:
    """How to read a page of the stage."""
    return Plan([*stage.facts(), *legend_facts()], SUBJECT if single else "", ASSIGN, **more)


def html_pages(origin: str, stage: Stage) -> list[Page]:
    """The pages for people, as a reviewer sees them."""
    found = []
    for page in pages(stage.app()):
        answer = httpx.get(origin + page.address, cookies=stage.cookies())
        assert answer.status_code == 200, f"{page.address}: {answer.status_code}"
        if answer.headers["content-type"].startswith("text/html"):
            found.append(page)
    return found


def test_every_page_is_found(origin: str, stage: Stage) -> None:
    """The application's own routes are walked, among them the ones that this product cannot be without."""
    stage.scene, stage.rows = Scene(), ()
    found = {page.route for page in html_pages(origin, stage)}
    assert {"/", "/review", "/review/{item}", "/review/{item}/as-seen", "/policies", "/chat"} <= found
    assert {"/explore", "/explore/receipts/{receipt}", "/network"} <= found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_lists_in_every_combination(origin: str, stage: Stage, opened: Open, dark: bool) -> None:
    """One line per combination in the queue and in the list of receipts; and a mark looks like itself alone.

    Byte for byte the same markup for the same mark, whatever stands beside it: with `pairwise` this covers
    all combinations of the seven.
    """
    stage.scene = Scene()
    page = opened(dark=dark)
    shapes: dict[tuple[str, bytes], set[str]] = defaultdict(set)
    states: set[tuple[str, str]] = set()
    problems: list[str] = []
    lists = {f"/review?state={EVERY_STATE}&limit={ROWS}": pairs() if dark else scenes()}
    lists |= {} if dark else {f"/explore/receipts?limit={ROWS}": pairs()}
    for first, rows in lists.items():
        stage.rows, shown = rows, set[str]()
        address: str | None = first
        while address:
            page.goto(origin + address)
            seen = observe(page, address, plan_of(stage, False))
            problems += judged(stage, seen)
            for row in seen.rows:
                shown.add(row.subject)
                marks = {mark.question: mark for mark in marks_of(stage.rows[_number(row.subject)])}
                for mark in row.marks:
                    key = (first + mark.question, msgspec.json.encode(marks[mark.question]))
                    shapes[key].add(mark.markup)
                    states.add((mark.question, mark.state))
            following = page.query_selector('a[rel="next"]')
            address = following.get_attribute("href") if following else None
        assert shown == set(stage.facts())
    assert problems == [], told(problems)
    assert states == {(question, state) for question in QUESTIONS for state in STATES}
    assert [shape for shape in shapes.values() if len(shape) != 1] == []


def _number(subject: str) -> int:
    return NUMBERS[subject]


NUMBERS = {parts.item_id(number): number for number in range(len(scenes()))}


@pytest.mark.parametrize("route", ["/review/{item}", "/review/{item}/as-seen", "/explore/receipts/{receipt}"])
def test_single_pages_in_every_combination(origin: str, stage: Stage, opened: Open, route: str) -> None:
    """The pages of one receipt, for every pair of any two factors.

    Colours of the marks are read every time, those of the page around them every fifth time.
    """
    stage.scene, stage.rows = Scene(), ()
    (page_of,) = (page for page in pages(stage.app()) if page.route == route)
    page = opened(cookies=stage.cookies(), origin=origin)
    page.goto(origin + page_of.address)
    problems: list[str] = []
    for number, scene in enumerate(pairs()):
        stage.scene = scene
        if number % 6 == 0:
            page.emulate_media(color_scheme="dark" if number % 12 else "light")
        seen = swapped(page, page_of.address, plan_of(stage, True, paints=number % 5 == 0))
        assert seen.rows
        problems += [f"{scene.marks} {scene.assurance}: {found}" for found in judged(stage, seen)]
        assert len(problems) < 200, told(problems)
    assert problems == [], told(problems)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_pages_visited(origin: str, stage: Stage, opened: Open, dark: bool) -> None:
    """Every page for people, visited with its scripts, in scenes that differ as much as they can.

    By day as a reviewer at a desk; by night as anybody, to whom some pages say that they are not for
    everybody, on a phone, whose rows of marks wrap.
    """
    problems: list[str] = []
    spread = pairs()[::60]
    stage.scene, stage.rows = Scene(), ()
    cookies = {} if dark else stage.cookies()
    width = NARROW if dark else DESKTOP
    page = opened(dark=dark, width=width, cookies=cookies, origin=origin, allow=("401",) if dark else ())
    for page_of in html_pages(origin, stage):
        for scene in spread:
            stage.scene = scene
            page.goto(origin + page_of.address)
            seen = observe(page, page_of.address, plan_of(stage, page_of.single))
            problems += judged(stage, seen)
    assert problems == [], told(problems)


def test_no_address_states_an_act(origin: str, stage: Stage) -> None:
    """Whatever stands behind a page's address, the page says of no act that it was done."""
    stage.scene, stage.rows = Scene(), ()
    problems: list[str] = []
    with httpx.Client(base_url=origin, cookies=stage.cookies()) as client:
        for page_of in html_pages(origin, stage):
            for act in DONE:
                joined = "&" if "?" in page_of.address else "?"
                answer = client.get(f"{page_of.address}{joined}done={act}&said={act}&flash={act}&act={act}")
                text = "\n".join(element.text for element in elements(answer.text) if element.tag == "p")
                found = violations(stage.facts(), of_text(str(answer.url), text, ""))
                problems += [str(one) for one in found if one.rule == "acts that nobody did"]
    assert problems == [], told(problems)


def test_a_swapped_page_is_the_visited_page(origin: str, stage: Stage, opened: Open) -> None:
    """Putting a body in place shows what a visit shows."""
    stage.rows = ()
    page, other = opened(java_script_enabled=True), opened()
    for page_of in (
        page for page in pages(stage.app()) if page.route in ("/review/{item}", "/review/{item}/as-seen")
    ):
        other.goto(origin + page_of.address)
        for scene in pairs()[::40]:
            stage.scene = scene
            page.goto(origin + page_of.address)
            seen = observe(page, page_of.address, plan_of(stage, True))
            again = swapped(other, page_of.address, plan_of(stage, True))
            assert "".join(map(differs, again.rows, seen.rows)) == ""
            # Scripts add the list of keys.
            assert {run.text for run in again.runs} <= {run.text for run in seen.runs}


def test_twins_and_files(origin: str, stage: Stage) -> None:
    """JSON twins say what pages say: every state and every pair, and every other page as well."""
    stage.scene, stage.rows = Scene(), ()
    found = html_pages(origin, stage)
    problems: list[str] = []
    with httpx.Client(
        base_url=origin, headers={"accept": "application/json"}, cookies=stage.cookies()
    ) as client:
        for page_of in found:
            for scene in pairs() if page_of.single else pairs()[::40]:
                stage.scene = scene
                answer = client.get(page_of.address)
                if answer.headers["content-type"] != "application/json":
                    continue
                problems += _told(stage, page_of.address, answer.json(), page_of.single)
    assert problems == [], told(problems)


def _told(stage: Stage, address: str, body: Any, single: bool) -> list[str]:
    """What a JSON body says too much. Rows of other items are the same scene's."""
    facts = {"-": facts_of(stage.scene), **stage.facts()}
    if "/as-seen" in address:
        then = of_json(f"{address}.json", body.pop("then"), THEN)
        return _all(violations({THEN: facts_of(seen_then(stage))}, then)) + _all(
            violations(facts, of_json(f"{address}.json", body))
        )
    return _all(violations(facts, of_json(f"{address}.json", body, "-" if single else "")))


def _all(found: tuple[Violation, ...]) -> list[str]:
    return [str(one) for one in found]


def test_the_pdf(origin: str, stage: Stage) -> None:
    """A receipt filed as a PDF says no more than the page."""
    problems: list[str] = []
    stage.rows = ()
    for scene in pairs()[::8]:
        stage.scene = scene
        answer = httpx.get(f"{origin}/explore/receipts/{SUBJECT}.pdf", timeout=30)
        assert answer.headers["content-type"] == "application/pdf"
        text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.content)).pages)
        text = "\n".join(re.split(r"(?<=\.) (?=[A-Z])", " ".join(text.split())))
        problems += _all(violations({"-": facts_of(scene)}, of_text("receipt.pdf", text)))
        if scene.assurance == "simulated" and scene.marks["ran"] not in ("absent", "not_required"):
            assert "simulated" in text
        if scene.state == "HOLD":
            assert "HOLD" in text + answer.headers["content-disposition"]
    assert problems == [], told(problems)


def test_facts_are_the_scene() -> None:
    """What the walk holds pages to comes from the marks alone."""
    scene = Scene(marks={"ran": "witnessed", "model": "claimed"}, asserted_by="example")
    assert facts_of(scene) == Facts(
        {**dict.fromkeys(QUESTIONS, "absent"), "ran": "witnessed", "model": "claimed"},
        "simulated", "example", "plain", False, "HOLD", "witnessed", parts.LABEL, parts.artifact(),
        mode="tee", confinement="tee",
    )  # fmt: skip


def differs(one: Row, other: Row) -> str:
    """In what two rows differ."""
    pairs = zip(one.marks, other.marks, strict=True)
    found = [
        (k, a, b)
        for x, y in pairs
        for k in x.__struct_fields__
        if (a := getattr(x, k)) != (b := getattr(y, k))
    ]
    return "" if not found else "\n".join(f"{k}: {a}\n{' ' * len(k)}  {b}" for k, a, b in found)
