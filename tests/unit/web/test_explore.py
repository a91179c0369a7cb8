"""Explorer and network pages: every one answers, says one sentence, has its twin, needs no script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import msgspec
import pytest
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.core.errors import Unavailable
from hallmark.discovery.attribution import NOT_SHOWN, WITHIN
from hallmark.services.explorer.network_views import NetworkPage
from hallmark.services.explorer.views import Found, ReceiptPage, Results
from hallmark.services.sdk.pdf import attached_dossier
from hallmark.testing.scene_explorer import SIZE, SceneExplorer
from hallmark.testing.scene_parts import LABEL, artifact, item_id, node_key
from hallmark.testing.scene_payments import ENCLAVE, OFFER, PAYEE, PAYER, TRANSACTION
from hallmark.testing.surfaces import ORIGIN, Scene, surfaces

RECEIPT = f"/explore/receipts/{item_id()}"
PAGES = (
    "/explore",
    "/explore/receipts",
    RECEIPT,
    "/explore/checkpoints",
    "/explore/checkpoints/1088",
    "/explore/nodes",
    f"/explore/nodes/{node_key()}",
    "/explore/models",
    f"/explore/models/{LABEL}",
    "/explore/faults",
    "/explore/measurements",
    "/explore/offers",
    f"/explore/offers/{OFFER}",
    f"/explore/accounts/{PAYER}",
    f"/explore/accounts/{PAYEE}",
    "/explore/settlements",
    f"/explore/settlements/{TRANSACTION}",
    f"/explore/settlements/{ENCLAVE}/4",
    "/explore/entries/1042",
    "/explore/search?q=abcdef",
    "/explore/search",
    "/explore/figures",
    "/network",
    "/models",
    f"/models/{LABEL}",
    "/explore/exposure",
    "/explore/exposure/498000",
)
CLEAR = Scene(
    marks={"ran": "witnessed", "model": "witnessed", "route": "witnessed", "proved": "anchored"},
    state="CLEAR",
)
BAD = Scene(
    marks={"ran": "revoked", "route": "disputed", "proved": "witnessed"}, memory=True, relabelled=True
)


class Page(HTMLParser):
    """A page as elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        """Note what a reader sees."""
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All text in one line."""
        return " ".join(" ".join(self.words).split())


def client(scene: Scene | None = None, **replaced: object) -> TestClient:
    """The pages of a scene; `replaced` are other parts."""
    parts = msgspec.structs.replace(surfaces(scene or Scene()), **replaced)
    return TestClient(create_app(parts), base_url=ORIGIN)


@pytest.fixture(scope="module")
def held() -> TestClient:
    """The pages of a receipt that nobody but its node speaks for."""
    return client()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_what_it_is(held: TestClient, path: str) -> None:
    """One heading, one sentence under it, its limits at the foot, its twin and its permanent address."""
    answer = held.get(path)
    page = Page(answer.text)
    assert answer.status_code == 200
    assert len(page.of("h1")) == 1
    assert len([p for p in page.of("p") if p.get("class") == "lead"]) == 1
    limits = re.search(r'<p class="foot-limits">(.{40,}?)</p>', answer.text)
    assert limits is not None
    assert not limits[1].startswith("A mark answers one question"), "the frame's own sentence says too little"
    links = {a.get("href") for a in page.of("a")}
    assert any(link and link.split("?")[0].endswith(".json") for link in links)
    assert any(link and link.startswith(ORIGIN + path.split("?")[0]) for link in links)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_a_twin_of_the_same_struct(held: TestClient, path: str) -> None:
    """`.json` and `Accept: application/json` give the same bytes, which nobody may keep."""
    bare, _, query = path.partition("?")
    twin = held.get(f"{bare}.json" + (f"?{query}" if query else ""))
    asked = held.get(path, headers={"accept": "application/json"})
    assert twin.status_code == 200
    assert twin.content == asked.content
    assert twin.headers["cache-control"] == "no-store"
    assert isinstance(twin.json(), dict)


@pytest.mark.parametrize("scene", [Scene(), CLEAR, BAD, Scene(asserted_by="api.example", index=-1)])
def test_no_page_needs_script_or_carries_any(scene: Scene) -> None:
    """No inline script or style, no handler, no element that a content policy would refuse."""
    pages = client(scene)
    for path in PAGES:
        page = Page(pages.get(path).text)
        assert all(script.get("src", "").startswith("/assets/") for script in page.of("script"))
        assert not page.of("style")
        for _, attributes in page.elements:
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            link = attributes.get("href", "")
            assert link.startswith(ORIGIN) or not link.startswith(("javascript:", "http:", "https:", "//"))


def test_text_of_others_stays_text() -> None:
    """Markup in any text of any view is shown as text; template syntax is not run."""
    pages = client(Scene(poison="<script>alert(1)</script><img src=x onerror=alert(2)>{{1337*1337}}"))
    for path in PAGES:
        answer = pages.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        assert str(1337 * 1337) not in answer.text


def test_links_of_others_lead_nowhere_else() -> None:
    """A poisoned link in a view never becomes a link off this site."""
    page = Page(client(Scene(poison="javascript:alert(1)")).get(RECEIPT).text)
    assert not [a for a in page.of("a") if "javascript" in a.get("href", "").split("/")[0]]


@pytest.mark.parametrize(("scene", "word"), [(Scene(), "HOLD"), (BAD, "HOLD"), (CLEAR, "")])
def test_exports_bear_hold_unless_everything_is_met(scene: Scene, word: str) -> None:
    """Below witnessed, with any negative mark, or in HOLD at the desk: controls and file names say HOLD."""
    pages = client(scene)
    page = Page(pages.get(RECEIPT).text)
    labels = re.findall(r"Export( \((\w+)\))?: ", page.text)
    assert [label for _, label in labels] == [word, word]
    for suffix in (".hallmark.json", ".pdf"):
        name = pages.get(RECEIPT + suffix).headers["content-disposition"]
        assert name.startswith("attachment; ")
        assert ("HOLD-" in name) == bool(word)


@pytest.mark.parametrize(("state", "word"), [("HOLD", "HOLD"), ("REJECTED", "REJECTED"), ("FINAL", "")])
def test_the_desk_holds_an_export_too(state: str, word: str) -> None:
    """Good marks do not take an item out of HOLD."""
    scene = msgspec.structs.replace(CLEAR, state=state)
    assert [
        found for _, found in re.findall(r"Export( \((\w+)\))?: ", Page(client(scene).get(RECEIPT).text).text)
    ] == [
        word,
        word,
    ]


def test_an_export_of_what_the_desk_does_not_know_holds() -> None:
    """Unknown is never a pass."""
    parts = surfaces(msgspec.structs.replace(CLEAR, items=0))
    page = client(CLEAR, desk=parts.desk).get(RECEIPT).text
    assert "Export (HOLD): dossier" in Page(page).text


def test_the_files_are_the_same_dossier(held: TestClient) -> None:
    """The PDF's attachment is the file, byte for byte; both are sent as files."""
    file, pdf = held.get(RECEIPT + ".hallmark.json"), held.get(RECEIPT + ".pdf")
    assert file.headers["content-type"] == "application/json"
    assert pdf.headers["content-type"] == "application/pdf"
    assert attached_dossier(pdf.content) == file.content


def test_the_receipt_page_stands_without_its_dossier() -> None:
    """When the exact documents cannot be had, the marks and words still are."""

    class Broken(SceneExplorer):
        async def dossier(self, receipt: str) -> bytes:
            raise Unavailable("no_dossier", "Not now.", receipt)

    answer = client(explorer=Broken(Scene())).get(RECEIPT)
    assert answer.status_code == 200
    assert "They cannot be shown now" in answer.text


def test_marks_stand_in_words_beside_their_drawing(held: TestClient) -> None:
    """All seven in their order, each with both sentences; absent ones keep their place."""
    view = msgspec.json.decode(held.get(RECEIPT + ".json").content, type=ReceiptPage)
    page = held.get(RECEIPT).text
    text = Page(page).text
    for mark in view.row.marks:
        assert mark.shows in text
        assert mark.does_not_show in text
    rows = re.findall(r'id="mark-(\w+)"', page)
    assert rows == ["ran", "model", "route", "inputs", "paid", "proved", "reviewed"]


def test_tuesday_and_thursday_are_told_apart() -> None:
    """A label that moved: the break stands in the drawing and in the table, on receipt and model page."""
    for path in (RECEIPT, f"/explore/models/{LABEL}"):
        page = client(BAD).get(path).text
        assert 'class="hd-tear"' in page
        assert page.count("new artifact under the same label") >= 2
        assert "pointed to now" in page


class Lined(SceneExplorer):
    """An explorer that gives a label's lineage where a provider answered."""

    async def receipt(self, receipt: str) -> ReceiptPage:
        """The receipt with a lineage that is not its own."""
        steps = (await SceneExplorer(BAD).receipt(receipt)).lineage
        return msgspec.structs.replace(await super().receipt(receipt), lineage=steps)


def test_an_asserted_model_shows_no_artifact() -> None:
    """What a provider merely asserts stands with who asserts it, and never with an artifact of ours."""
    scene = Scene(asserted_by="api.example", marks={"model": "claimed", "proved": "witnessed"})
    pages = client(explorer=Lined(scene))
    for path in (RECEIPT, "/explore/receipts", "/explore"):
        text = pages.get(path).text
        assert "asserted by api.example" in text
        assert artifact()[:10] not in text
    assert "asserts" in pages.get(f"/explore/models/{LABEL}").text


def test_an_old_memory_row_has_its_age_beside_it() -> None:
    """Memory is never named without its age and that nobody validated it again."""
    rows = re.findall(r"<tr role=\"row\">(.*?)</tr>", client(BAD).get(RECEIPT).text, re.DOTALL)
    own = [Page(row).text for row in rows if "memory" in row and "Content" in row and "<td" in row]
    assert own
    assert all("not re-validated" in row and ("old" in row or "age unknown" in row) for row in own)


def test_what_no_quorum_covers_is_not_called_covered() -> None:
    """A receipt in the tail has no log link and no quorum time."""
    text = Page(client(Scene(index=-1)).get("/explore/receipts").text).text
    assert "not covered" in text
    assert "not yet" in text


def test_browsers_are_told_what_to_recompute(held: TestClient) -> None:
    """The sections that the browser's verifier reads, with addresses that answer, and its script."""
    receipt = next(s for s in Page(held.get(RECEIPT).text).of("section") if "data-recompute" in s)
    assert receipt["data-receipt"] == item_id()
    assert held.get(receipt["data-dossier"]).status_code == 200
    assert receipt["data-trust"] == "/v1/hallmark/trust.json"
    checkpoint = next(
        s
        for s in Page(held.get("/explore/checkpoints/1088").text).of("section")
        if "data-recompute-root" in s
    )
    assert checkpoint["data-size"] == "1088"
    assert checkpoint["data-root"].startswith("0x")
    figures = next(
        s for s in Page(held.get("/explore/figures").text).of("section") if "data-recompute-figures" in s
    )
    assert held.get(figures["data-src"]).json()["size"] == 1088
    assert held.get(figures["data-leaves"], params={"start": 0, "end": 1}).content == b"\x00\x02\x01\x08"
    for path in (RECEIPT, "/explore/checkpoints/1088", "/explore/figures"):
        assert {"type": "module", "src": "/assets/receipt.js"} in Page(held.get(path).text).of("script")


class One(SceneExplorer):
    """An explorer whose searches find one thing."""

    link = f"/explore/nodes/{node_key()}"

    async def search(self, query: str) -> Results:
        """That thing."""
        return Results(query, (Found("node", "node alpha", self.link, "A node."),))


def test_one_result_is_where_a_person_goes() -> None:
    """A single result is a redirect for people and a list for programs."""
    pages = client(explorer=One(Scene()))
    sent = pages.get("/explore/search", params={"q": "21db46"}, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, One.link)
    assert len(pages.get("/explore/search.json", params={"q": "21db46"}).json()["rows"]) == 1


def test_a_search_never_leaves_this_site() -> None:
    """A result whose link leads elsewhere is listed as text, not followed."""
    for link in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"):
        away = type("Away", (One,), {"link": link})(Scene())
        answer = client(explorer=away).get("/explore/search", params={"q": "x"}, follow_redirects=False)
        assert answer.status_code == 200
        assert f'href="{link}' not in answer.text


def test_the_query_is_shown_as_text(held: TestClient) -> None:
    """What was searched for stands in the box and in the sentence, escaped."""
    answer = held.get("/explore/search", params={"q": 'nothing"><script>'})
    assert "<script>" not in answer.text
    assert "Nothing here matches" in Page(held.get("/explore/search", params={"q": "nothing"}).text).text


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/explore/entries/abc", "bad_number"),
        ("/explore/entries/-1", "bad_number"),
        ("/explore/entries/9999999999999999999", "bad_number"),
        ("/explore/entries/\u0661", "bad_number"),
        ("/explore/checkpoints/0x10", "bad_number"),
        ("/explore/leaves", "bad_number"),
        ("/explore/leaves?start=0&end=x", "bad_number"),
        ("/explore/receipts?limit=x", "bad_number"),
        ("/explore/receipts?cursor=" + "1" * 300, "bad_cursor"),
        ("/explore/receipts?node=" + "1" * 300, "bad_filter"),
    ],
)
def test_addresses_that_ask_for_nothing_are_refused(held: TestClient, path: str, reason: str) -> None:
    """Numbers are whole and short, cursors and filters bounded."""
    refused = held.get(path, headers={"accept": "application/json"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == reason


@pytest.mark.parametrize(
    "path",
    [
        "/explore/receipts/0xabc",
        "/explore/receipts/0xabc.pdf",
        "/explore/receipts/0xabc.hallmark.json",
        "/explore/nodes/0xabc",
        "/explore/models/none",
        "/explore/entries/99999999",
        "/explore/checkpoints/99999999",
    ],
)
def test_what_is_not_there_is_a_page_with_its_reason(held: TestClient, path: str) -> None:
    """Unknown things are 404 with a sentence, for people and programs."""
    page = held.get(path, headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "unknown_" in page.text
    assert (
        held.get(path, headers={"accept": "application/json"}).json()["error"]["code"].startswith("unknown_")
    )


def test_lists_go_on_where_they_end() -> None:
    """The next page keeps the filter; the last page has no next one."""
    pages = client(Scene(items=12))
    first = Page(pages.get("/explore/receipts", params={"limit": 8, "node": node_key()}).text)
    onward = [a["href"] for a in first.of("a") if a.get("rel") == "next"]
    assert len(onward) == 1
    assert f"node={node_key()}" in onward[0]
    last = Page(pages.get(onward[0]).text)
    assert not [a for a in last.of("a") if a.get("rel") == "next"]


def test_the_network_page_leads_with_capacity_not_with_nodes() -> None:
    """The one sentence is about slots, ineligible ones have their reasons, nodes are not counted."""
    answer = client(CLEAR).get("/network")
    view = msgspec.json.decode(client(CLEAR).get("/network.json").content, type=NetworkPage)
    lead = re.search(r'<p class="lead"[^>]*>(.*?)</p>', answer.text, re.DOTALL)
    assert lead is not None
    assert view.sentence in lead[1]
    assert not re.search(r"\d+ nodes", lead[1])
    text = Page(answer.text).text
    for row in view.slots:
        assert all(reason in text for reason in row.reasons)
    assert "half within 18 ms" in text.replace("  ", " ")
    assert "99 of 100 within 74 ms" in text
    assert {"hd-bands", "hd-histogram", "hd-exposure"} <= set(
        re.findall(r"hd-(?:bands|histogram|exposure)", answer.text)
    )


def test_a_backlog_and_an_unknown_gap_are_said() -> None:
    """With full nodes stopped the page says how many entries wait, since when, and that no gap is known."""
    text = Page(client(Scene()).get("/network").text).text
    assert "No quorum covers 46 log entries ; the oldest has waited for 4 min" in text
    assert "no gap is known" in text


def tables(page: Page) -> Iterator[dict[str, str]]:
    """The ledgers that become blocks on a phone."""
    return (table for table in page.of("table") if "stacked" in table.get("class", ""))


@pytest.mark.parametrize("path", PAGES)
def test_tables_stay_tables_for_screen_readers(held: TestClient, path: str) -> None:
    """Where rows become blocks on a phone, roles in the markup keep table, rows, cells and headers."""
    text = held.get(path).text
    for table in tables(Page(text)):
        assert table["role"] == "table"
    for block in re.findall(r'<table role="table".*?</table>', text, re.DOTALL):
        page = Page(block)
        assert all(row.get("role") == "row" for row in page.of("tr"))
        assert all(cell.get("role") == "cell" for cell in page.of("td"))
        assert all(cell.get("role") in ("rowheader", "columnheader") for cell in page.of("th"))
        assert page.of("caption")


def test_the_network_page_says_who_was_heard_when_and_by_whom() -> None:
    """Who is not ready stands first, with reason and next step; each row says when it was heard, by whom."""
    text = Page(client(CLEAR).get("/network").text).text
    assert text.index("a.hallmark.test") < text.index("node-1")
    for said in (
        "log_time_ahead",
        "Set both clocks",
        "silent for 12 s",
        "no_answer",
        "14 s ago",
        "the gateway",
    ):
        assert said in text
    assert "never since its start" in text
    assert "not cosigned; 46 entries behind" in text
    assert "none seen since this explorer started" in text
    assert "degraded for 60 s" in text
    assert "just now" in text
    assert not re.search(r"since \S+ \S+ ago|\b0 ms ago", text)


def test_a_full_node_that_was_never_seen_is_no_data_and_not_behind() -> None:
    """Of whom nothing was seen nothing is said of how far behind it is."""
    rows = re.findall(r"<tr.*?</tr>", client(CLEAR).get("/network").text, re.DOTALL)
    texts = [" ".join(Page(row).text.split()) for row in rows]
    (unseen,) = [text for text in texts if "none seen since this explorer started" in text]
    assert "no data" in unseen
    assert "behind" not in unseen


def test_the_chosen_range_is_marked_by_shape() -> None:
    """By a line and by weight, as every other choice is: not by colour alone, and by one link only."""
    pages = client(CLEAR)
    text = pages.get("/network?hours=24").text
    assert re.findall(r'<a href="/network\?hours=(\d+)"[^>]* aria-current="true"', text) == ["24"]
    sheet = pages.get("/assets/explore.css").text
    (rule,) = re.findall(r"\.x-range a\[aria-current\] \{([^}]*)\}", sheet)
    assert "border-bottom-color" in rule
    assert "font-weight" in rule


def test_lists_of_receipts_call_nodes_as_their_operator_does() -> None:
    """The name stands before the address, and leads to the node."""
    text = client(CLEAR).get("/explore/receipts").text
    assert f'<a href="/explore/nodes/{node_key()}">node-1</a>' in text


def test_the_network_page_shows_no_data_as_no_data() -> None:
    """Parts that nobody observed are not zero, and rates are over what was observed."""
    answer = client(CLEAR).get("/network", params={"hours": "6"})
    assert "hd-history" in answer.text
    text = Page(answer.text).text
    assert "no data" in text
    assert "answered 412 requests, 1.37 per second, and 3 failed" in text
    view = msgspec.json.decode(client(CLEAR).get("/network.json?hours=6").content, type=NetworkPage)
    assert view.observed.hours == 6
    assert client(CLEAR).get("/network", params={"hours": "5"}).status_code == 400


def test_the_network_page_shows_itself_anew_unless_asked_not_to() -> None:
    """Without script the page asks to be loaded again; a link keeps it as it is, and then nothing moves."""
    moving = client(CLEAR).get("/network").text
    assert '<noscript><meta http-equiv="refresh" content="15"></noscript>' in moving
    assert "/assets/network.js" in moving
    assert "refresh=off" in moving
    still = client(CLEAR).get("/network", params={"refresh": "off"}).text
    assert "http-equiv" not in still
    assert "/assets/network.js" not in still


def test_only_who_is_ready_is_announced() -> None:
    """The one live line holds states and no number that changes at every look."""
    page = client(CLEAR).get("/network").text
    (line,) = re.findall(r'role="status"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert line == "Not ready: d.hallmark.test: silent, no_answer."
    assert "aria-live" not in page


def test_figures_have_units_and_headings_and_leaves_end_where_they_do() -> None:
    """The last leaf has the size less one; a gap has a unit; no column is called "What"."""
    text = " ".join(Page(client(CLEAR).get("/explore/figures").text).text.split())
    assert f"Leaves 0 to {SIZE - 1:,}" in text
    assert re.search(r"half \d+ ms 99 of 100 [\d.]+ m?s", text), text
    assert "p50" not in text
    assert "What Figure" not in text


def test_a_receipt_that_its_owner_declared_nothing_of_has_no_value() -> None:
    """Not declared is not zero: neither on the item's page nor in its row."""
    for klass, value, said in (
        ("", 0, "not declared"),
        ("payment", 0, "0 atomic units"),
        ("", 5, "5 atomic"),
    ):
        pages = client(Scene(klass=klass, value=value, items=1))
        text = " ".join(Page(pages.get(f"/review/{item_id()}").text).text.split())
        assert f"At risk {said}" in text
        assert ("not declared" in pages.get("/review").text) is (said == "not declared")


def test_exposure_says_whose_sums_these_are(held: TestClient) -> None:
    """Digests that chain one server's tables show that they were not changed later, and not that they are
    true: the page and its hour say that they are this server's own.
    """
    for path in ("/explore/exposure", "/explore/exposure/498000"):
        assert "this server's own sums" in Page(held.get(path).text).text.lower(), path


@pytest.mark.parametrize("path", [f"/models/{LABEL}", f"/explore/models/{LABEL}"])
def test_what_a_model_was_made_from_stands_with_whose_word_it_is(held: TestClient, path: str) -> None:
    """All of the sentence, on the page as in its twin; nothing of it where a provider asserts the label."""
    (origin,) = held.get(f"{path}.json").json()["origins"]
    assert origin["sentence"].count("the owner's word") == 2
    assert "No proof" in origin["sentence"]
    assert origin["sentence"] in Page(held.get(path).text).text
    asserted = client(Scene(asserted_by="example.com"))
    assert "the owner's word" not in Page(asserted.get(path).text).text


def test_modes_of_a_model_stand_with_whose_word_they_are_and_why_not(held: TestClient) -> None:
    """Slots are the gateway's word, and a mode that nobody keeps says so instead of a number."""
    text = Page(held.get(f"/models/{LABEL}").text).text
    assert "In which mode an answer can be asked for now, by the gateway's word." in text
    assert "Mode zkml not now: Nothing makes zkml answers yet." in text
    assert "Mode tee 6 slots free now" in text


def test_a_receipt_says_on_what_words_could_not_land(held: TestClient) -> None:
    """What is not known of it stands there with the reason, and is not left out."""
    text = Page(held.get(f"/explore/receipts/{item_id()}").text).text
    assert "It lands on nothing else, for what else had a part is not known from the log:" in text
    assert f"template: {WITHIN}" in text
    assert f"data: {NOT_SHOWN}" in text
