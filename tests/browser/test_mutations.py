"""Weaken a page, a template, a script's output or a stylesheet in one place, and the walk's check fails.

Nothing in the tree is edited: templates and stylesheets are changed on their way, pages in the browser.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jinja2
import msgspec
import pytest
from browsing.extract import Plan, observe
from browsing.pages import SUBJECT
from browsing.serving import served
from browsing.stage import Stage
from playwright.sync_api import Page, Route

from hallmark.apps.web import flash
from hallmark.apps.web.claims import violations
from hallmark.apps.web.flash import DONE
from hallmark.apps.web.render import TEMPLATES
from hallmark.services.explorer.shared_views import Hop
from hallmark.testing.scene import Scene
from hallmark.verification import wording

pytestmark = pytest.mark.integration
Open = Any
ITEM, RECEIPT = f"/review/{SUBJECT}", f"/explore/receipts/{SUBJECT}"
HOOKS = "/review/webhooks"
# Everything below witnessed, simulated, asserted, plain, an old memory row, in HOLD: the least may be said.
LOW = Scene(
    marks={"ran": "claimed", "model": "claimed", "route": "failed", "inputs": "claimed", "paid": "claimed"},
    asserted_by="provider.example",
    memory=True,
    items=2,
)
SEALED = Scene(path="sealed", items=2)
WITNESSED = Scene(marks={"ran": "witnessed", "model": "witnessed", "proved": "witnessed"}, items=2)


class Changed(NamedTuple):
    """A text in a template or stylesheet, what it becomes, and the rule that has to notice."""

    file: str
    text: str
    becomes: str
    rule: str
    scene: Scene = LOW
    dark: bool = False
    address: str = ITEM


TEMPLATES_CHANGED = (
    Changed(
        "marks.html",
        '{%- if drawn.assurance %}<span class="hm-assurance">{{ drawn.assurance }}</span>{% endif -%}',
        "",
        "simulated stands with the mark",
    ),
    Changed(
        "marks.html",
        '{%- if drawn.assertion %}<span class="hm-assertion">{{ drawn.assertion }}</span>{% endif -%}',
        "",
        "asserted stands with the mark",
    ),
    Changed(
        "marks.html",
        '<span class="hm-word">{{ drawn.word }}</span>',
        '<span class="hm-word">{{ drawn.word | replace("claimed", "witnessed") }}</span>',
        "words as they are",
    ),
    Changed("marks.html", "</svg>", "</svg>\u2714", "nothing added to a mark"),
    Changed("marks.html", "{%- for one in marks %}", "{%- for one in marks[:6] %}", "seven marks in order"),
    Changed(
        "marks.html", "{%- for one in marks %}", "{%- for one in marks | reverse %}", "seven marks in order"
    ),
    Changed(
        "review/item.html", '{% set H = "HOLD " if held else "" %}', '{% set H = "" %}', "HOLD: controls"
    ),
    Changed("review/item.html", "{{ view.sentence }}", "Verified. {{ view.sentence }}", "verified alone"),
    Changed("review/item.html", "{{ view.sentence }}", "3 of 7", "marks are not counted"),
    Changed("review/item.html", "{{ view.sentence }}", "meets witnessed (asks for ran)", "HOLD: meets"),
    Changed("review/item.html", "<h1>", "<p>The item is REJECTED.</p><h1>", "acts that nobody did"),
    Changed(
        "explore/parts.html",
        "{{ hop.told }}",
        '{{ "saw it" if hop.saw else "did not see it" }}',
        "ran simulated: who could read",
        SEALED,
        address=RECEIPT,
    ),
    Changed(
        "review/item.html", '<h2 id="marks">', '<progress value=1></progress><h2 id="marks">', "no gauges"
    ),
    Changed("review/item.html", '<h2 id="route">Route</h2>', "<h2>Private route</h2>", "route plain"),
    Changed("review/item.html", "{{ input.age | span }} old", "kept", "inputs preserved"),
    Changed(
        "review/item.html",
        "{{ row.state }} {{ row.id | short }}{% endblock %}",
        "Approved{% endblock %}",
        "approved",
    ),
)

SHEETS_CHANGED = (
    Changed(
        "marks.css",
        '.hm-mark[data-tone="grey"] { color: var(--hm-grey); }',
        '.hm-mark[data-tone="grey"] { color: var(--hm-green); }',
        "green and blue only where struck",
    ),
    Changed(
        "marks.css",
        "--hm-grey: #a19b8f;",
        "--hm-grey: #7cc4b6;",
        "green and blue only where struck",
        dark=True,
    ),
    Changed(
        "marks.css",
        '.hm-mark[data-tone="coin"] { color: var(--hm-coin); }',
        '.hm-mark[data-tone="coin"] { color: var(--hm-blue); }',
        "green and blue only where struck",
        Scene(marks={"paid": "witnessed", "ran": "claimed"}, items=2),
    ),
    Changed("marks.css", "--hm-size: 36px;", "--hm-size: 12px;", "marks are seen"),
    Changed(
        "marks.css",
        ".hm-mark[data-negative] .hm-word { font-weight: 700; }",
        ".hm-mark[data-negative] { opacity: 0.5; font-size: 8px; } [data-negative] svg { scale: 0.7; }",
        "negative marks are not lowered",
    ),
    Changed(
        "marks.css",
        ".hm-assurance, .hm-assertion { color: var(--hm-ink);",
        ".hm-assurance, .hm-assertion { display: none; color: var(--hm-ink);",
        "simulated stands with the mark",
    ),
    Changed(
        "marks.css",
        ".hm-name { color: var(--hm-ink); font-weight: 600; }",
        '.hm-name { color: var(--hm-ink); } .hm-word::after { content: " \\2714"; }',
        "signs of approval",
    ),
    Changed(
        "marks.css",
        ".hm-cartouche { width: var(--hm-size);",
        ".hm-cartouche { background: currentColor; width: var(--hm-size);",
        "solid only where struck",
    ),
)


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The pages."""
    return Stage()


@pytest.fixture(scope="module")
def origin(stage: Stage) -> Iterator[str]:
    """Their address; templates are read through `changed`."""
    app = stage.app()
    environment = app.state.pages.environment
    plain = jinja2.FileSystemLoader(TEMPLATES)

    def read(name: str) -> str:
        source = plain.get_source(environment, name)[0]
        change = CHANGED.get(name)
        return source.replace(change.text, change.becomes) if change else source

    environment.loader = jinja2.FunctionLoader(read)
    environment.cache = None
    with served(app) as address:
        yield address


CHANGED: dict[str, Changed] = {}


PASSED: set[tuple[str, bytes, bool]] = set()


def passes_unchanged(stage: Stage, page: Page, origin: str, address: str, dark: bool = False) -> None:
    """The page as it is breaks nothing; looked at once for each scene and scheme."""
    key = (address, msgspec.json.encode(stage.scene), dark)
    if key not in PASSED:
        page.goto(origin + address)
        assert rules_broken(stage, page, address) == set()
        PASSED.add(key)


def rules_broken(stage: Stage, page: Page, address: str) -> set[str]:
    """Which rules a page breaks as it stands now."""
    seen = observe(page, address, Plan(list(stage.facts()), SUBJECT if SUBJECT in address else ""))
    return {found.rule for found in violations(stage.facts(), seen)}


@pytest.mark.parametrize("change", TEMPLATES_CHANGED, ids=lambda c: f"{c.rule}-{c.becomes[:18]}")
def test_a_weakened_template_is_caught(stage: Stage, origin: str, opened: Open, change: Changed) -> None:
    """A template that says more in one place fails the walk; unchanged it passes."""
    assert change.text in (TEMPLATES / change.file).read_text(), "the mutation no longer bites"
    stage.scene = change.scene
    page = opened()
    passes_unchanged(stage, page, origin, change.address)
    CHANGED[change.file] = change
    try:
        page.goto(origin + change.address)
        assert change.rule in rules_broken(stage, page, change.address)
    finally:
        CHANGED.clear()


@pytest.mark.parametrize("change", SHEETS_CHANGED, ids=lambda c: f"{c.rule}-{c.becomes[:18]}")
def test_a_weakened_stylesheet_is_caught(stage: Stage, origin: str, opened: Open, change: Changed) -> None:
    """A colour, a size or an invented word of a stylesheet fails the walk; unchanged it passes."""
    stage.scene = change.scene
    page = opened(dark=change.dark)
    passes_unchanged(stage, page, origin, ITEM, change.dark)

    def altered(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        assert change.text in text, "the mutation no longer bites"
        route.fulfill(response=answer, body=text.replace(change.text, change.becomes))

    page.route(f"**/assets/{change.file}", altered)
    page.goto(origin + ITEM)
    assert change.rule in rules_broken(stage, page, ITEM)


class Drawn(NamedTuple):
    """A change of a page's DOM by a script, and the rule that has to notice."""

    name: str
    script: str
    rule: str
    scene: Scene = LOW
    address: str = ITEM


def put(selector: str, text: str) -> str:
    """A script that replaces the text of the first element."""
    return f"document.querySelector({selector!r}).textContent = {text!r}"


MARK = '.head-marks [data-question="{}"]'
DOM = (
    Drawn("a title that says verified", "document.title = 'Verified receipt'", "verified alone"),
    Drawn(
        "an ARIA label that drifts",
        f"document.querySelector('{MARK.format('ran')}').setAttribute('aria-label', 'ran: witnessed')",
        "labels as the marks",
    ),
    Drawn(
        "a tooltip that drifts",
        f"document.querySelector('{MARK.format('ran')}').title = 'Attested hardware'",
        "labels as the marks",
    ),
    Drawn(
        "a state that is another",
        f"document.querySelector('{MARK.format('model')}').dataset.state = 'witnessed'",
        "states as they are",
    ),
    Drawn("a button without HOLD", put("main a", "Export"), "HOLD: controls"),
    Drawn("an attested enclave", put(".lead", "The enclave was attested."), "ran below witnessed"),
    Drawn("hardware that is simulated", put(".lead", "It ran on hardware."), "ran simulated: hardware"),
    Drawn("a settled receipt", put(".lead", "Settled and final."), "proved below witnessed"),
    Drawn("a receipt on the chain", put(".lead", "It is on-chain."), "proved below anchored", WITNESSED),
    Drawn(
        "an answer that is right", put(".lead", "The answer is correct."), "the answer is right", WITNESSED
    ),
    Drawn("a payment that covers", put(".lead", "Payment settled."), "paid: promises", WITNESSED),
    Drawn("a review that nobody made", put(".lead", "It was reviewed by Ada."), "reviewed absent"),
    Drawn("a label without who asserts it", put(".lead", "Answered by tiny-chat."), "model asserted: label"),
    Drawn("a memory without an age", put(".lead", "It used its memory of you."), "inputs preserved"),
    Drawn(
        "a green line around the page",
        "document.querySelector('main').setAttribute('class', 'fine');"
        "document.styleSheets[0].insertRule('main.fine { border: 2px solid #2e7d32 }')",
        "green and blue only where struck",
    ),
    Drawn(
        "a lock",
        "document.querySelector('h1').insertAdjacentHTML('beforeend', '<svg class=icon-lock></svg>')",
        "signs of approval",
    ),
    Drawn("a thumb", "document.querySelector('h1').append('\\u{1F44D}')", "signs of approval"),
    Drawn(
        "a mark that stands lower",
        f"document.styleSheets[0].insertRule('{MARK.format('route')} {{ margin-top: 60px }}')",
        "negative marks are not lowered",
    ),
    Drawn(
        "marks of nothing",
        "document.querySelector('header').append(document.querySelector('.hm-marks').cloneNode(true))",
        "marks of a known subject",
    ),
    Drawn(
        "a row in the queue that was changed for another",
        "const [a, b] = document.querySelectorAll('tr[data-item]'); b.querySelector('.hm-marks')"
        ".replaceWith(a.querySelector('.hm-marks').cloneNode(true));"
        "b.querySelector('.hm-word').textContent = 'witnessed'",
        "words as they are",
        LOW,
        "/review",
    ),
)


@pytest.mark.parametrize("change", DOM, ids=lambda c: c.name)
def test_a_changed_page_is_caught(stage: Stage, origin: str, opened: Open, change: Drawn) -> None:
    """One thing on a page changed by a script fails the walk; unchanged it passes."""
    stage.scene = change.scene
    page = opened()
    passes_unchanged(stage, page, origin, change.address)
    page.goto(origin + change.address)
    page.evaluate(f"() => {{ {change.script} }}")
    assert change.rule in rules_broken(stage, page, change.address)


class Broken(NamedTuple):
    """A fact of the product's own code broken: what a page said before and no longer says, and the rule."""

    name: str
    owner: object
    attribute: str
    becomes: Any
    said: str
    rule: str
    scene: Scene = LOW
    address: str = ITEM


def ran_here(*given: Any, upstream: bool = False, **more: Any) -> str:
    """`ran` that takes an enclave which passed an answer on for one that ran the model."""
    return RAN(*given, upstream=False, **more)


def unexposed(hop: Hop) -> str:
    """A hop that says what the node's record says, whoever runs the host."""
    return "saw the prompt in clear" if hop.saw else "did not see the prompt in clear (node's word)"


def by_address(request: Any) -> str:
    """What was done, as the address says."""
    return DONE.get(request.query_params.get("done", ""), "")


RAN = wording.ran
BROKEN = (
    Broken(
        "a provider's answer was run here", wording, "ran", ran_here,
        "what ran the model was not measured", "ran of a provider: ran",
    ),
    Broken(
        "a provider's answer was measured", wording, "UNMEASURED", "its measurement is in the log",
        "what ran the model was not measured", "ran of a provider: passed on",
    ),
    Broken(
        "a mark that leaves it out", wording, "UNMEASURED", "its measurement is in the log",
        "what ran the model was not measured", "labels as the marks", address="/review",
    ),
    Broken(
        "who runs the host read nothing", Hop, "told", property(unexposed),
        "could read the prompt: simulated hardware", "ran simulated: who could read", SEALED,
    ),
    Broken(
        "the same of a receipt", Hop, "told", property(unexposed),
        "could read the prompt: simulated hardware", "ran simulated: who could read", SEALED, RECEIPT,
    ),
    *(
        Broken(
            f"an address that does it on {page}", flash, "said", by_address, "", "acts that nobody did",
            address=f"{page}?done={act}",
        )
        for page, act in ((ITEM, "reject"), (HOOKS, "webhook-removed"), ("/policies", "proposed"))
    ),
)  # fmt: skip


@pytest.mark.parametrize("change", BROKEN, ids=lambda c: c.name)
def test_a_broken_fact_is_caught(
    stage: Stage, origin: str, opened: Open, monkeypatch: pytest.MonkeyPatch, change: Broken
) -> None:
    """The product's own code broken in one place: the honest sentence goes, and the walk fails."""
    stage.scene = change.scene
    page = opened(cookies=stage.cookies(), origin=origin)
    passes_unchanged(stage, page, origin, change.address)
    page.goto(origin + change.address)
    assert change.said in page.content()
    monkeypatch.setattr(change.owner, change.attribute, change.becomes)
    page.goto(origin + change.address)
    assert not change.said or change.said not in page.content()
    assert change.rule in rules_broken(stage, page, change.address)


def test_enough_mutations() -> None:
    """Fifteen at least, and no two alike."""
    files = [(change.file, change.text, change.becomes) for change in (*TEMPLATES_CHANGED, *SHEETS_CHANGED)]
    assert len(set(files)) == len(files) >= 15
    assert len({change.script for change in DOM}) == len(DOM) >= 15
    assert len({change.name for change in BROKEN}) == len(BROKEN)
