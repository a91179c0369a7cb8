"""The chat made to say too much of its path: each time the walk that holds pages to their claims notices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from browsing.chatting import ANSWER, ask, enter, receipt_of
from browsing.extract import Plan, observe
from browsing.gateway import Given
from browsing.sealing import SealedStage
from playwright.sync_api import Page

from hallmark.apps.web import claims

pytestmark = pytest.mark.integration
Open = Any
PLAIN, SEALED = "plain", "sealed"


class Told(NamedTuple):
    """What a script makes of an answer's page on a path, and the rule that has to notice."""

    name: str
    path: str
    script: str
    rule: str


def says(text: str) -> str:
    """A script that puts a sentence under the answer."""
    return f"answer.insertAdjacentHTML('beforeend', '<p>{text}</p>')"


CHANGES = (
    Told("a plain answer that calls itself sealed", PLAIN, says("This question was sealed."), "route plain"),
    Told("a plain answer that nobody saw", PLAIN, says("Nobody else saw this question."), "route plain"),
    Told(
        "a plain page that looks calm",
        PLAIN,
        "answer.classList.add('fine');"
        "document.styleSheets[0].insertRule('.fine { border: 2px solid #2e7d32 }')",
        "green and blue only where struck",
    ),
    Told("a lock on a sealed page", SEALED, says("<svg class=icon-lock></svg>"), "signs of approval"),
    Told(
        "a sealed path that is fully private",
        SEALED,
        says("This was completely private."),
        "route sealed: more than sealed",
    ),
    Told(
        "an enclave of simulated hardware that nobody reads",
        SEALED,
        says("It was sealed to the enclave."),
        "route sealed: to what hardware",
    ),
    Told(
        "the same, with simulated hardware named only in the lines around it",
        SEALED,
        says("It ran on simulated hardware.</p><p>It was sealed to the enclave.</p><p>That is simulated."),
        "route sealed: to what hardware",
    ),
)


@pytest.fixture
def stage() -> SealedStage:
    """A network with a relay."""
    return SealedStage()


@pytest.fixture
def origin(stage: SealedStage) -> Iterator[str]:
    """The pages' address."""
    with stage.running() as address:
        yield address


def broken(stage: SealedStage, page: Page) -> set[str]:
    """The rules that the page breaks about its answers."""
    ids = [receipt_of(answer) for answer in page.locator(ANSWER).all()]
    facts = {receipt: stage.gateway.facts(receipt) for receipt in ids if receipt}
    return {one.rule for one in claims.violations(facts, observe(page, "/chat", Plan(list(facts))))}


@pytest.mark.parametrize("path", [PLAIN, SEALED])
def test_what_says_too_much_of_a_path_is_caught(
    stage: SealedStage, origin: str, opened: Open, path: str
) -> None:
    """Unchanged the page breaks no rule; changed in one thing it breaks that one's."""
    page = opened()
    enter(page, origin)
    page.locator("#c-path option[value=sealed]:not([disabled])").wait_for(state="attached")
    page.locator("#c-path").select_option(path)
    page.locator(f'.c-path[data-path="{path}"]').wait_for()
    stage.gateway.given = Given(text="Striped.", pieces=2)
    answer = ask(page, "Which?")
    receipt = receipt_of(answer)
    assert stage.gateway.facts(receipt).path == path
    assert broken(stage, page) == set()
    for change in CHANGES:
        if change.path != path:
            continue
        before = answer.inner_html()
        answer.evaluate(f"answer => {{ {change.script} }}")
        assert change.rule in broken(stage, page), change.name
        answer.evaluate(
            "(answer, html) => { answer.classList.remove('fine'); answer.innerHTML = html }", before
        )
        assert broken(stage, page) == set()
