"""The legend: every shape and state, drawn and named, with what it does not say; and the ways to it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pypdf
import pytest
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.apps.web.formatting import grouped
from hallmark.apps.web.legend import legend
from hallmark.apps.web.marks import spec
from hallmark.core.marks import Question, State
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import Scene
from hallmark.testing.scene_payments import OFFER, PAYEE, PAYER, TRANSACTION
from hallmark.testing.surfaces import surfaces

ITEM = parts.item_id(0)
PAGES = (
    "/", "/chat", "/marks", "/network", "/verify", "/sign-in",
    "/review", "/review/figures", "/review/appeals", f"/review/{ITEM}", f"/review/{ITEM}/as-seen?number=1",
    "/policies", "/policies/try", "/policies/witnessed",
    "/explore", "/explore/search", "/explore/search?q=tiny", "/explore/figures", "/explore/receipts",
    f"/explore/receipts/{ITEM}", "/explore/checkpoints", "/explore/checkpoints/1088", "/explore/nodes",
    f"/explore/nodes/{parts.node_key()}", "/explore/models", f"/explore/models/{parts.LABEL}",
    "/explore/faults", "/explore/measurements", "/explore/entries/1042",
    "/explore/offers", f"/explore/offers/{OFFER}", f"/explore/accounts/{PAYER}",
    f"/explore/accounts/{PAYEE}", "/explore/settlements", f"/explore/settlements/{TRANSACTION}",
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The pages."""
    return TestClient(create_app(surfaces(Scene(), tmp_path)))


def test_every_shape_in_every_state_is_drawn_and_named(client: TestClient) -> None:
    """Seven outlines times ten states, each with its word, its sentence and its counter-sentence."""
    page = client.get("/marks").text
    view = legend()
    assert [row.question for row in view.questions] == [question.value for question in Question]
    assert {row.state for row in view.states} == {state.value for state in State}
    for question in Question:
        own = spec()["questions"][question.value]
        assert own["question"] in page
        assert own["counter"] in page
        for state in State:
            assert f'data-question="{question.value}" data-state="{state.value}"' in page
    for row in view.states:
        assert row.struck.does_not_say.startswith("Does not say")
        assert row.struck.says in page.replace("&#39;", "'")
        assert row.struck.does_not_say in page.replace("&#39;", "'")
        assert row.paid_word in page
    assert 'data-assurance="simulated"' in page
    assert "asserted by provider.example" in page


def test_no_two_shapes_and_no_two_states_are_alike() -> None:
    """What the legend tells apart is apart: outlines, letters, layers, sentences."""
    view = legend()
    for rows in (
        [spec()["questions"][row.question]["path"] for row in view.questions],
        [row.cartouche for row in view.questions],
        [row.letter for row in view.questions],
        [tuple(spec()["states"][row.state]["layers"]) for row in view.states],
        [row.struck.how for row in view.states],
        [row.struck.says for row in view.states],
    ):
        assert len(set(rows)) == len(rows)


def test_the_twin_is_the_same_legend(client: TestClient) -> None:
    """The JSON twin holds the shapes, the states and the sentences."""
    twin = client.get("/marks.json").json()
    assert [row["state"] for row in twin["states"]] == [row.state for row in legend().states]
    assert len(twin["questions"]) == len(Question)
    assert all(len(row["marks"]) == len(Question) for row in twin["states"])


@pytest.mark.parametrize(
    "address",
    [
        "/review",
        f"/review/{ITEM}",
        f"/review/{ITEM}/as-seen?number=1",
        "/explore/receipts",
        f"/explore/receipts/{ITEM}",
    ],
)
def test_every_row_of_marks_leads_to_it(client: TestClient, address: str) -> None:
    """Beside each row of seven there is a link to the legend, without script."""
    page = client.get(address).text
    rows = page.split('aria-label="Seven marks"')[1:]
    assert rows
    for row in rows:
        after = row.partition("</td>")[0] if "hm-key" in row.partition("</tr>")[0] else row[:9_000]
        assert 'href="/marks"' in after


def test_every_page_leads_to_it(client: TestClient) -> None:
    """At the foot of every page, the chat's included."""
    for address in ("/", "/chat", "/network", "/policies", "/sign-in"):
        assert '<a href="/marks">What the marks mean</a>' in client.get(address).text


def test_the_pdf_names_its_address(client: TestClient) -> None:
    """A filed page says where its marks are explained."""
    data = client.get(f"/explore/receipts/{ITEM}.pdf").content
    first = pypdf.PdfReader(io.BytesIO(data)).pages[0].extract_text()
    assert surfaces(Scene()).public_url + "/marks" in first


def test_titles_tell_pages_apart_and_nothing_is_said_twice(tmp_path: Path) -> None:
    """No two pages have one title; no page says "reviewed: reviewed:"; numbers are grouped in one way."""
    stage = TestClient(create_app(surfaces(Scene(marks={"reviewed": "absent"}), tmp_path)))
    titles: dict[str, str] = {}
    for address in PAGES:
        page = stage.get(address).text
        title = page.partition("<title>")[2].partition("</title>")[0]
        assert title not in titles, f"{address} and {titles[title]}: {title}"
        titles[title] = address
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
        assert not re.search(r"\b(\w+): \1:", text), address
        assert "\u202f" not in page, address
    assert grouped(1813) == "1,813"
