"""Pages of models: the search, what is known of answers, and a list that splits where an artifact changes."""

from __future__ import annotations

import msgspec
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.services.explorer.model_filter import Filter
from hallmark.services.explorer.model_views import ModelCardPage, ModelList
from hallmark.services.explorer.views import Receipts
from hallmark.testing.scene import digest
from hallmark.testing.scene_explorer import SIZE, SceneExplorer
from hallmark.testing.scene_parts import LABEL, item_id
from hallmark.testing.surfaces import ORIGIN, Scene, surfaces


class Searched(SceneExplorer):
    """Notes what it is asked for, and gives it back as the pages' own view does."""

    asked = ""

    async def model_list(self, query: str, cursor: str, limit: int) -> ModelList:
        """The scene's list, under this filter."""
        type(self).asked = query
        found = await super().model_list(query, cursor, limit)
        return msgspec.structs.replace(found, asked=Filter(q='a "b"', task="chat", max_size=5))


class Moved(SceneExplorer):
    """Two receipts under one label, of which the older one is another artifact's."""

    async def receipts(self, query: str, cursor: str, limit: int) -> Receipts:
        """Newest first."""
        old = msgspec.structs.replace(self.row(1), artifact=digest("tuesday"))
        return Receipts(3, "", SIZE, (self.row(0), old, msgspec.structs.replace(old, id=item_id(2))))


class Untold(SceneExplorer):
    """The gateway does not answer."""

    async def model_card(self, label: str) -> ModelCardPage:
        """That label, of which nobody told a mode."""
        return msgspec.structs.replace(await super().model_card(label), modes=())


def client(explorer: SceneExplorer) -> TestClient:
    """Pages over one explorer."""
    app = create_app(msgspec.structs.replace(surfaces(explorer.scene), explorer=explorer))
    return TestClient(app, base_url=ORIGIN)


def test_a_search_is_an_address() -> None:
    """What is asked for stands in it, known names alone; the form shows it again; JSON has seed and place."""
    page = client(Searched(Scene())).get("/models?q=digits&task=chat&colour=red&max_size=")
    assert Searched.asked == "q=digits&task=chat"
    assert 'value="a &#34;b&#34;"' in page.text
    assert '<option value="chat" selected>' in page.text
    assert "new, drawn" in page.text
    twin = client(Searched(Scene())).get("/models.json").json()
    assert (twin["seed"], twin["rows"][0]["place"], twin["rows"][0]["drawn"]) == (digest("seed"), 3, True)


def test_unknown_is_neither_a_pass_nor_a_zero() -> None:
    """An artifact of which nobody said anything has no figure; one that has a record says where it begins."""
    page = client(SceneExplorer(Scene(relabelled=True))).get(f"/models/{LABEL}").text
    known, unknown = page.split("<h3>")[1:3]
    assert "in 1,000" in known
    assert "record begins at log position" in known
    assert "nobody has said anything of it" in unknown
    assert ">unknown<" in unknown
    assert "in 1,000" not in unknown


def test_a_model_says_in_which_mode_it_can_be_asked_for_now() -> None:
    """Free slots where a node can be asked, the reason where none can; nothing where nobody told."""
    page = client(SceneExplorer(Scene())).get(f"/models/{LABEL}").text
    modes = page.split('id="modes"')[1].split("</dl>")[0]
    assert "<dt>Mode tee</dt><dd>6 slots free now</dd>" in modes
    assert "<dt>Mode zkml</dt><dd>not now: Nothing makes zkml answers yet.</dd>" in modes
    assert 'id="modes"' not in client(Untold(Scene())).get(f"/models/{LABEL}").text


def test_what_was_said_of_a_receipt_names_its_speakers() -> None:
    """Who makes a record and who does not; what was replaced is shown as such."""
    page = client(SceneExplorer(Scene())).get(f"/explore/receipts/{item_id()}").text
    said = page.split('id="outcomes"')[1].split("<h2>")[0]
    assert "a registered reviewer" in said
    assert "makes no record" in said
    assert "replaced or withdrawn" in said


def test_a_list_splits_where_the_artifact_changes() -> None:
    """One label, two artifacts: a line between, once."""
    page = client(Moved(Scene())).get("/explore/receipts").text
    assert page.count("another artifact under the label") == 1
    assert client(SceneExplorer(Scene())).get("/explore/receipts").text.count("another artifact") == 0
