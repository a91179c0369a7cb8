"""A sealed question from a browser through a whole network of real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing.chatting import ANSWER, ask, enter
from browsing.living import Living, until
from playwright.sync_api import Page
from test_sealed_chat import on_path

from hallmark.testing.gated_upstream import PIECES, GatedUpstream
from hallmark.testing.real_network import Network, hallmark, start_network

pytestmark = pytest.mark.integration
Open = Any
WORDS = "What does os.mkfifo do, Canary-Zebra-Marmalade?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[GatedUpstream]:
    """A provider whose streams stop in the middle."""
    with GatedUpstream().running() as server:
        yield server


@pytest.fixture(scope="module")
def living(upstream: GatedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """A network of real processes, its relay among them."""
    home = tmp_path_factory.mktemp("sealed") / "home"
    offer = ("--upstream", f"gated={upstream.url}")
    start_network(home, "--no-ask", "--port", "27100", *offer)
    yield Living(Network(home))
    assert hallmark(home, "down").returncode == 0


def test_a_sealed_question_is_answered_and_proved(living: Living, opened: Open, output: Path) -> None:
    """It is witnessed, its details name the keys, and the pages' own server was asked for none of it."""
    page: Page = opened()
    page.set_default_timeout(90_000)  # eleven processes share this machine with the browser
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    enter(page, living.url)
    on_path(page, "sealed")
    answer = ask(page, WORDS)
    answer.get_by_role("button", name="Details").click()
    answer.get_by_text("as this page told the enclave").wait_for()
    page.screenshot(path=output / "screenshots" / "chat-sealed-network.png", full_page=True)
    # Beside the relay the page asked its server for itself, models, trust file, offers and keys alone.
    own = {line.partition(living.url)[2].partition("?")[0] for line in asked if living.url in line}
    assert not {path for path in own if "receipts" in path or "completions" in path or "route" in path}, own


def test_a_relay_that_dies_in_the_middle_of_an_answer(
    living: Living, upstream: GatedUpstream, opened: Open
) -> None:
    """What came is no answer, and the page says why; nobody is asked plain, and the provider not twice. Asked
    again through the relay that was started anew, it is answered.
    """
    page: Page = opened(allow=("ERR_", "Failed to load"))
    page.set_default_timeout(90_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    enter(page, living.url)
    on_path(page, "sealed")
    page.locator(".c-choices select").first.select_option("gated")
    upstream.close()
    page.locator("textarea.c-area").fill(WORDS)
    page.keyboard.press("Enter")
    answer = page.locator(ANSWER).first
    answer.get_by_text(PIECES[0].strip()).wait_for()
    assert upstream.begun.wait(60)
    os.kill(living.network.status()["relay"]["pid"], signal.SIGKILL)
    answer.locator(".c-trouble code", has_text="sealed_truncated").wait_for()
    upstream.go_on.set()
    until(lambda: living.ready("relay"), "the relay is ready again")
    before = upstream.asked
    answer.get_by_role("button", name="Regenerate").click()
    page.locator(f'{ANSWER} [data-question="proved"][data-state="witnessed"]').wait_for()
    assert upstream.asked == before + 1
    own = {line.partition(living.url)[2].partition("?")[0] for line in asked if living.url in line}
    assert not {path for path in own if "completions" in path or "route" in path}, own
