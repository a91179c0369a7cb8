"""Stories with a whole network of real processes, in the order in which they happen to it.

Each looks at what a person would look at (queue, explorer, chat, API), holds every page against the table of
claims, and leaves a screenshot.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing.chatting import ask, enter, receipt_of
from browsing.living import Living, provider, until
from playwright.sync_api import Page

import hallmark as product
from hallmark.core.marks import Question, State
from hallmark.testing.real_network import Network, hallmark, logs, start_network

pytestmark = pytest.mark.integration
Open = Any
ROOT = Path(__file__).parents[2]
FULL_NODES = tuple(f"fullnode-{number}" for number in range(1, 5))
QUESTION = "What does os.mkfifo do?"


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """A network that also offers a provider's model."""
    home = tmp_path_factory.mktemp("stories") / "home"
    with provider() as address:
        start_network(home, "--no-ask", "--port", "26300", "--upstream", f"large={address}")
        yield Living(Network(home))
        assert hallmark(home, "down").returncode == 0


def shot(page: Page, output: Path, name: str) -> None:
    """Keep what the page looks like."""
    page.screenshot(path=str(output / "screenshots" / f"{name}.png"), full_page=True)


def asked(living: Living, model: str = "pydoc") -> str:
    """A fresh answer that the desk knows; its receipt's id."""
    with product.Client(home=living.network.home) as client:
        receipt: str = client.ask(QUESTION, model=model).receipt.id
    until(lambda: living.knows(receipt), "the item")
    return receipt


def cleared(living: Living, receipt: str) -> bool:
    """Whether the evaluator has cleared an item."""
    return living.item(receipt).row.state == "CLEAR"


def test_simulated_hardware_is_said_everywhere(living: Living, opened: Open, output: Path) -> None:
    """An answer of a simulated enclave: cleared by a policy that allows it by name, and never drawn solid."""
    receipt = asked(living)
    until(lambda: cleared(living, receipt), "CLEAR", lambda: living.told(receipt))
    page = opened()
    for name, path in (
        ("queue", "/review?state=CLEAR"),
        ("item", f"/review/{receipt}"),
        ("receipt", f"/explore/receipts/{receipt}"),
        ("network", "/network"),
    ):
        about = receipt if receipt in path else ""
        assert living.overstated(page, path, about) == [], path
        shot(page, output, f"simulated-{name}")
        if name != "network":
            ran = page.locator('.hm-mark[data-question="ran"]').first
            assert ran.get_attribute("data-assurance") == "simulated"
            assert "simulated" in ran.inner_text()


def test_an_asserted_model_stays_a_claim(living: Living, opened: Open, output: Path) -> None:
    """A provider's model is asserted by the provider wherever it is named, and its items stay HOLD."""
    receipt = asked(living, "large")
    until(lambda: living.item(receipt).row.index >= 0, "its place in the log")
    # Without this the table's rules for asserted models would not bite on these pages.
    assert living.facts("/review")[receipt].asserted_by
    page = opened()
    for name, path in (
        ("queue", "/review"),
        ("item", f"/review/{receipt}"),
        ("receipt", f"/explore/receipts/{receipt}"),
    ):
        about = receipt if receipt in path else ""
        assert living.overstated(page, path, about) == [], path
        assert "asserted by" in page.inner_text("main")
        shot(page, output, f"asserted-{name}")
    enter(page, living.url)
    page.locator(".c-choices select").first.select_option("large")
    answer = ask(page, "hello")
    assert "asserted by" in answer.inner_text()
    assert answer.get_attribute("data-hold") is not None
    shot(page, output, "asserted-chat")
    assert living.item(receipt).row.state == "HOLD"


def test_another_node_answers_when_one_dies(living: Living, opened: Open, output: Path) -> None:
    """The route names the node that was tried before; in the chat a line stands where the node changed."""
    page = opened()
    enter(page, living.url)
    for _ in range(12):
        before = receipt_of(ask(page, QUESTION))
        node = living.item(before).row.node
        parties = {m["key"]: m for m in living.get("/v1/hallmark/network")["members"] if m["role"] == "node"}
        port = parties[node]["endpoint"].rsplit(":", 1)[1]
        status = living.network.status()
        name = next(n for n, s in status.items() if s["url"].endswith(f":{port}"))
        os.kill(status[name]["pid"], signal.SIGKILL)
        after = receipt_of(ask(page, QUESTION))
        found = living.item(after)
        assert found.row.node != node
        until(functools.partial(living.ready, name), "the node again")
        if any(left.tried for left in found.route.left):
            break
    else:
        raise AssertionError("the dead node was never tried first")
    assert page.locator(".c-break").count() >= 1
    assert "node" in page.locator(".c-break").last.inner_text()
    shot(page, output, "fallback-chat")
    assert living.overstated(page, f"/review/{after}", after) == []
    assert "tried" in page.inner_text("main")
    shot(page, output, "fallback-item")


def test_an_answer_comes_before_its_proof(living: Living, opened: Open, output: Path) -> None:
    """While full nodes stand still nothing moves past HOLD, nothing is green; then everything catches up."""
    page, desk = opened(), opened()
    enter(page, living.url)
    with living.frozen(*FULL_NODES):
        answer = ask(page, QUESTION, proved="absent")
        receipt = receipt_of(answer)
        until(lambda: living.knows(receipt), "the item")
        found = living.item(receipt)
        assert (found.row.state, found.row.index) == ("HOLD", -1)
        assert {mark.state for mark in found.row.marks} <= {"claimed", "absent", "not_required"}
        states = {mark.get_attribute("data-state") for mark in answer.locator(".c-proof .hm-mark").all()}
        assert not states & {"witnessed", "anchored"}
        assert answer.get_by_role("button", name="Copy (HOLD)").count() == 1
        with product.Client(home=living.network.home) as client:
            with pytest.raises(product.Held) as held:
                client.ask(QUESTION, model="pydoc", require="witnessed", timeout=3)
        assert "state_too_low" in str(held.value)
        for name, path in (("queue", "/review"), ("item", f"/review/{receipt}"), ("network", "/network")):
            assert living.overstated(desk, path, receipt if receipt in path else "") == [], path
            shot(desk, output, f"before-proof-{name}")
        shot(page, output, "before-proof-chat")
    answer.locator('.c-proof [data-question="proved"][data-state="witnessed"]').wait_for(timeout=180_000)
    until(lambda: cleared(living, receipt), "CLEAR", lambda: living.told(receipt))
    waiting = [item for item in living.items() if living.item(item).row.index < 0]
    assert waiting == []
    shot(page, output, "before-proof-chat-later")


def test_tuesday_and_thursday(living: Living, opened: Open, output: Path, tmp_path: Path) -> None:
    """The same label, a new artifact: queue, explorer, chat and API each show the break."""
    page = opened(allow=("Failed to load resource", "Failed to fetch"))
    enter(page, living.url)
    tuesday = receipt_of(ask(page, QUESTION))
    old = living.item(tuesday).row.artifact
    shutil.copytree(ROOT / "models" / "pydoc", tmp_path / "pydoc")
    (tmp_path / "pydoc" / "artifact" / "NOTE.txt").write_text("Made anew on Thursday.\n")
    assert living.network.run("down").returncode == 0
    again = living.network.run("up", "--detach", "--no-ask", "--model", f"pydoc={tmp_path / 'pydoc'}")
    assert again.returncode == 0, again.stdout + again.stderr + logs(living.network.home)
    thursday = receipt_of(ask(page, QUESTION))
    until(lambda: living.knows(thursday), "the item")
    new = living.item(thursday).row.artifact
    assert old != new
    line = page.locator(".c-break").last.inner_text()
    assert "artifact" in line
    shot(page, output, "tuesday-thursday-chat")

    row = living.item(tuesday).row
    assert (row.artifact, row.points_to) == (old, new)
    desk = opened()
    assert living.overstated(desk, "/review?state=CLEAR") == []
    moved = desk.locator(f'tr[data-item="{tuesday}"] .moved').inner_text()
    assert "the label names" in moved
    assert desk.locator(f'tr[data-item="{thursday}"] .moved').count() == 0
    shot(desk, output, "tuesday-thursday-queue")
    for name, path in (("item", f"/review/{tuesday}"), ("receipt", f"/explore/receipts/{tuesday}")):
        assert living.overstated(desk, path, tuesday) == [], path
        assert "new artifact under the same label" in desk.inner_text("main")
        shot(desk, output, f"tuesday-thursday-{name}")
    steps = living.get(f"/explore/receipts/{tuesday}.json")["lineage"]
    assert [(s["here"], s["then"], s["now"]) for s in steps][-2:] == [
        (True, True, False),
        (False, False, True),
    ]
    assert living.overstated(desk, "/models") == []
    shot(desk, output, "tuesday-thursday-models")
    desk.goto(living.url + "/models/pydoc")
    shot(desk, output, "tuesday-thursday-model")
    text = desk.inner_text("main")
    assert "new artifact under the same label" in text
    assert "may be asked" in text
    assert "takes nothing over from the artifact before" in text
    card = living.get("/models/pydoc.json")
    assert [(one["artifact"], one["now"]) for one in card["versions"]] == [(new, True), (old, False)]
    models = {m["id"]: m["hallmark"] for m in living.get("/v1/models")["data"]}
    assert (models["pydoc"]["artifact"], models["pydoc"]["version"]) == (new, "2")
    with product.Client(home=living.network.home) as client:
        named = client.receipt(tuesday).marks()[Question.MODEL]
    assert named.detail["artifact"] == old


def test_a_revoked_measurement_returns_items_to_hold(living: Living, opened: Open, output: Path) -> None:
    """What was cleared on a measurement that is revoked stands at HOLD again, and says why on every page."""
    receipt = asked(living)
    until(lambda: cleared(living, receipt), "CLEAR", lambda: living.told(receipt))
    rows = living.get("/explore/measurements.json")["rows"]
    for row in rows:
        done = living.network.run(
            "declare", "revoke-measurement", row["digest"], "--reason", "image_vulnerable", "--since", "0"
        )
        assert done.returncode == 0, done.stderr
    until(lambda: living.item(receipt).row.state == "HOLD", "HOLD again")
    found = living.item(receipt)
    assert [lack.reason for lack in found.lacks if lack.question == "ran"] == ["measurement_revoked"]
    ran = next(mark for mark in found.row.marks if mark.question == "ran")
    assert ran.state == State.REVOKED
    page = opened()
    for name, path in (
        ("queue", "/review"),
        ("item", f"/review/{receipt}"),
        ("receipt", f"/explore/receipts/{receipt}"),
        ("measurements", "/explore/measurements"),
    ):
        assert living.overstated(page, path, receipt if receipt in path else "") == [], path
        assert any(word in page.inner_text("main") for word in ("revoked", "image_vulnerable")), path
        shot(page, output, f"revoked-{name}")
    network = living.get("/network.json")
    idle = {slots["model"]: slots["idle"] for slots in network["slots"] if slots["model"] != "large"}
    assert set(idle.values()) == {0}
    assert all(
        slots["reasons"] for slots in network["slots"] if slots["model"] != "large" and slots["ineligible"]
    )
    refused = living.network.run("ask", QUESTION, "--json")
    assert refused.returncode != 0
    assert "measurement_revoked" in refused.stderr + refused.stdout
