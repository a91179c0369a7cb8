"""Nodes that take on a model one after the other, and what stays when one does not come back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from hallmark.compose import serving
from hallmark.compose.home import Home
from hallmark.compose.plan import keep_plan, known_plan, make_plan
from hallmark.core.errors import Unavailable
from hallmark.services.node.settings import Listen, ModelFile, Settings

NAMES = ("node-1", "node-2")
LABEL = "me/model"


def away(*_: object) -> None:
    """A node that does not come back."""
    raise Unavailable("node_not_ready", "It did not become ready.", "See its log.")


@pytest.mark.parametrize(
    ("exchange_fails", "confirm_fails", "kept"),
    [("", "", NAMES), ("node-1", "", ()), ("node-2", "", NAMES[:1]), ("", "node-1", NAMES[:1])],
)
def test_the_plan_keeps_the_nodes_that_have_it(
    tmp_path: Path, exchange_fails: str, confirm_fails: str, kept: tuple[str, ...]
) -> None:
    """A node that is not asked yet has the model all the same; one that was never reached has it not."""
    home, plan = Home(tmp_path / "home"), make_plan(26_500)
    planned = partial(serving._planned, plan, LABEL, "stem")
    keep_plan(home, planned(set(NAMES)))
    counted = []

    def confirm(name: str, number: int) -> None:
        counted.append((name, number))
        if name == confirm_fails:
            away()

    def keep(done: set[str]) -> None:
        keep_plan(home, planned(done) if done else plan)

    def exchange(name: str) -> None:
        if name == exchange_fails:
            away()

    def turns() -> None:
        serving.one_after_another(NAMES, exchange, confirm, keep)

    if exchange_fails or confirm_fails:
        with pytest.raises(Unavailable):
            turns()
    else:
        turns()
    after = known_plan(home)
    assert after is not None
    assert tuple(node.name for node in after.nodes if LABEL in node.models) == kept
    assert after.published == ({LABEL: "stem"} if kept else {})
    assert counted == [(name, number) for number, name in enumerate(kept, start=1)]


def test_a_node_that_does_not_come_back_gets_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings of before, byte for byte, and another start."""
    home = Home(tmp_path / "home")
    old = ModelFile(LABEL, "/old.manifest", "/old.tar")
    settings = Settings(
        listen=Listen(port=1),
        health=Listen(port=2),
        endpoint="https://127.0.0.1:1",
        log_url="http://127.0.0.1:3",
        origin="log",
        chain_id=1,
        owner_key_file="/key",
        database="sqlite://",
        models=(ModelFile("other", "/other.manifest", "/other.tar"), old),
    )
    before = msgspec.json.encode(settings)
    path = home.write(before, "services", "node-1", "settings.json", mode=0o600)
    ended, seen = list[str](), list[tuple[str, ...]]()

    def started(_: Home, name: str) -> None:
        found = msgspec.json.decode(path.read_bytes(), type=Settings)
        seen.append(tuple(model.artifact for model in found.models))
        away()

    monkeypatch.setattr(serving, "_restart", started)
    monkeypatch.setattr(serving, "_end", lambda _, name: ended.append(name))
    with pytest.raises(Unavailable):
        serving._exchange(home, "node-1", ModelFile(LABEL, "/new.manifest", "/new.tar"))
    assert seen == [("/other.tar", "/new.tar")]
    assert path.read_bytes() == before
    assert ended == ["node-1"]
