"""The example transport keeps each byte once, however it is read: whole, in pieces, stopped and resumed."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

PIECES = (b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n")


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that gives each piece once, as a connection does: who comes again gets what is left."""

    def __init__(self) -> None:
        self.left = list(PIECES)

    def __iter__(self) -> Iterator[bytes]:
        while self.left:
            yield self.left.pop(0)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            yield self.left.pop(0)


@pytest.fixture
def example() -> ModuleType:
    """The example as a module."""
    path = Path(__file__).parents[3] / "examples" / "keep_answers.py"
    spec = importlib.util.spec_from_file_location("keep_answers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_reader_that_drains_what_is_left_loses_nothing(example: ModuleType, tmp_path: Path) -> None:
    """The OpenAI SDK reads an asynchronous stream up to [DONE], and then iterates over the body again."""
    tee = example.Tee(Body(), tmp_path / "a.answer")
    async for _ in tee:
        break
    async for _ in tee:
        pass
    async for _ in tee:
        pass
    await tee.aclose()
    assert (tmp_path / "a.answer").read_bytes() == b"".join(PIECES)
    assert (tmp_path / "a.answer").stat().st_mode & 0o077 == 0


def test_a_reader_that_stops_leaves_what_it_read(example: ModuleType, tmp_path: Path) -> None:
    """Synchronous, stopped after the first piece, and never closed: that piece is on disk."""
    tee = example.Tee(Body(), tmp_path / "a.answer")
    assert next(iter(tee)) == PIECES[0]
    assert (tmp_path / "a.answer").read_bytes() == PIECES[0]
    list(tee)
    tee.close()
    assert (tmp_path / "a.answer").read_bytes() == b"".join(PIECES)
