"""A sealed question from a browser through a whole network of real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing.chatting import ANSWER, ask, enter, receipt_of
from browsing.living import Living
from playwright.sync_api import Page, expect
from test_sealed_chat import on_path, write

from hallmark.testing.real_network import Network, hallmark, logs

pytestmark = pytest.mark.integration
Open = Any
WORDS = "What does os.mkfifo do, Canary-Zebra-Marmalade?"


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """A network of real processes, its relay among them."""
    home = tmp_path_factory.mktemp("sealed") / "home"
    started = hallmark(home, "up", "--detach", "--no-ask", "--port", "27100")
    assert started.returncode == 0, started.stdout + started.stderr + logs(home)
    yield Living(Network(home))
    assert hallmark(home, "down").returncode == 0


def test_a_sealed_question_is_answered_and_proved(living: Living, opened: Open, output: Path) -> None:
    """The route mark says sealed, the pages of this server were told of nothing, no file of the home but the
    browser's own holds a word of it.
    """
    page: Page = opened()
    page.set_default_timeout(90_000)  # eleven processes share this machine with the browser
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    enter(page, living.url)
    on_path(page, "sealed")
    answer = ask(page, WORDS)
    receipt = receipt_of(answer)
    answer.get_by_role("button", name="Details").click()
    answer.get_by_text("as this page told the enclave").wait_for()
    page.screenshot(path=output / "screenshots" / "chat-sealed-network.png", full_page=True)
    # Beside the relay the page asked its server for itself, models, trust file, offers and keys alone.
    own = {line.partition(living.url)[2].partition("?")[0] for line in asked if living.url in line}
    assert not {path for path in own if "receipts" in path or "completions" in path or "route" in path}, own
    told = living.get(f"/explore/receipts/{receipt}.json")
    route = next(mark for mark in told["row"]["marks"] if mark["question"] == "route")
    assert route["detail"]["path"] == "sealed"
    home = living.network.home
    assert not [
        path for path in home.rglob("*") if path.is_file() and b"Zebra-Marmalade" in path.read_bytes()
    ]


def test_a_relay_that_is_killed_in_the_middle_is_an_error(living: Living, opened: Open) -> None:
    """The question goes back to where it was written, and nothing is asked another way."""
    page: Page = opened(allow=("ERR_", "400", "503"))
    enter(page, living.url)
    on_path(page, "sealed")
    with living.frozen("relay"):
        write(page, WORDS)
        page.get_by_role("button", name="Stop").wait_for()
        os.kill(living.network.status()["relay"]["pid"], signal.SIGKILL)
        page.locator(".c-notice, .c-trouble").filter(has_text="relay_unreachable").wait_for()
    expect(page.locator("textarea.c-area")).to_have_value(WORDS)
    assert page.locator(ANSWER).count() == 0
