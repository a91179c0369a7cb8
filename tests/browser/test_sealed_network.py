"""A sealed question from a browser through a whole network of real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing.chatting import ask, enter
from browsing.living import Living
from playwright.sync_api import Page
from test_sealed_chat import on_path

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
