"""Licences are what the hub's cards say, asked for as far as something changed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec

from hallmark.core.errors import Unavailable
from hallmark.http.client import Pool
from hallmark.services.explorer.licences import PAGE, Licences, repository_of


class Hub:
    """A hub's list of models, newest change first; `down` is one that does not answer."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.down = False

    @contextlib.asynccontextmanager
    async def request(self, _method: str, url: str, **_: Any) -> AsyncIterator[Hub]:
        """One page."""
        if self.down:
            raise Unavailable("no_hub", "It does not answer.")
        self.asked.append(url)
        yield self

    status = 200

    async def read(self, _limit: int) -> bytes:
        """As the hub writes it."""
        if "?" not in self.asked[-1]:
            name = self.asked[-1].partition("/api/models/")[2]
            return msgspec.json.encode(next(one for one in self.listed if one["id"] == name))
        start = int(self.asked[-1].rpartition("=")[2])
        return msgspec.json.encode(self.listed[start : start + PAGE])


def model(name: str, sha: str, licence: str = "") -> dict[str, Any]:
    """A repository in the list."""
    return {
        "id": name,
        "sha": sha,
        "tags": ["onnx", *([f"license:{licence}"] if licence else [])],
        "likes": 0,
    }


async def test_a_label_has_its_repositorys_licence() -> None:
    """A shipped model's is that of the house; a card without one, or no repository, says nothing."""
    hub = Hub()
    hub.listed = [
        model("Me/Risk", "1", "MIT"),
        model("hallmark/digits", "1", "apache-2.0"),
        model("a/b", "1"),
    ]
    found = Licences(cast(Pool, hub), "http://hub")
    await found.ask()
    assert [found.of(one) for one in ("me/risk", "digits", "a/b", "nowhere")] == ["mit", "apache-2.0", "", ""]
    assert repository_of("Me/Risk") == "me/risk"


async def test_only_what_changed_is_asked_for_again() -> None:
    """All pages at first; then as many as hold something new."""
    hub = Hub()
    hub.listed = [model(f"me/{n}", "1", "mit") for n in range(2 * PAGE + 3)]
    found = Licences(cast(Pool, hub), "http://hub")
    await found.ask()
    assert len(hub.asked) == 3
    assert found.of(f"me/{2 * PAGE + 2}") == "mit"
    before = found.version
    await found.ask()
    assert (len(hub.asked), found.version) == (4, before)
    hub.listed.insert(0, model("me/7", "2", "gpl-3.0"))
    await found.ask()
    assert (found.of("me/7"), found.version) == ("gpl-3.0", before + 1)


async def test_a_hub_that_does_not_answer_changes_nothing() -> None:
    """What was known is known; that it does not answer is known as well."""
    hub = Hub()
    hub.listed = [model("me/risk", "1", "mit")]
    found = Licences(cast(Pool, hub), "http://hub")
    await found.ask()
    hub.down = True
    await found.ask()
    assert (found.answers, found.of("me/risk")) == (False, "mit")


async def test_a_models_page_asks_for_its_own() -> None:
    """So that what was just published has its licence at once."""
    hub = Hub()
    found = Licences(cast(Pool, hub), "http://hub")
    await found.ask()
    hub.listed = [model("me/risk", "1", "mit")]
    assert found.of("me/risk") == ""
    assert await found.look("me/risk") == "mit"
    hub.down = True
    assert await found.look("me/risk") == "mit"
    assert await Licences(cast(Pool, hub), "").look("me/risk") == ""
