"""Repositories as a search finds them, against a search that looks at each."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from hallmark.services.hub.huggingface import names
from hallmark.services.hub.huggingface.names import Known, Names

TAGS = ("onnx", "chat", "license:mit", 'odd"\t\n')


def plain(ones: Sequence[Known], text: str, author: str, tags: Sequence[str]) -> list[str]:
    """Who fits, newest first."""
    latest: dict[str, Known] = {}
    for one in ones:
        if latest.get(one.key) != one:
            latest.pop(one.key, None)
            latest[one.key] = one
    return [
        one.key
        for one in reversed(latest.values())
        if text in one.key and (not author or one.key.startswith(f"{author}/")) and set(tags) <= one.tags
    ]


@pytest.mark.parametrize("few", [0, 5_000])
def test_whatever_is_asked_and_whatever_changed(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts, digits too, authors, tags and pages; what changed stands where it changed last,
    also after what is passed over was thrown away.
    """
    monkeypatch.setattr(names, "FEW", few)
    draw, found, put = random.Random(7), Names(), list[Known]()
    for at in range(4_000):
        key = f"{draw.choice(('me', 'you', 'me-too'))}/model-{draw.randrange(300)}"
        one = Known(key, at, frozenset(tag for tag in TAGS if draw.random() < 0.5))
        put.append(one)
        found.put([one, one])
    assert len(found) == len({one.key for one in put})
    for _ in range(300):
        text = draw.choice(("", "model-1", "1", "a", "too", "me/", "/", "no such", "you/model-2", "model-7"))
        author = draw.choice(("", "", "me", "you", "nobody"))
        tags = draw.sample((*TAGS, "none"), draw.randrange(3))
        wanted = plain(put, text, author, tags)
        offset = draw.randrange(5)
        assert (
            found.search(text=text, author=author, tags=tags, limit=7, offset=offset)
            == wanted[offset : offset + 7]
        )


def test_what_no_id_can_hold_is_not_found() -> None:
    """Neither the ends of lines, nor the capitals that numbers are written in."""
    found = Names()
    found.put([Known("me/a", 1, frozenset()), Known("me/b", 2, frozenset())])
    for text in ("\n", "\t", "A", "B", "a\t", "%", "_a"):
        assert found.search(text=text, author="", tags=(), limit=9, offset=0) == []
    assert found.search(text="", author="m", tags=(), limit=9, offset=0) == []
    assert found.search(text="", author="", tags=(), limit=9, offset=0) == ["me/b", "me/a"]
