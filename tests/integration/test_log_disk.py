"""The log's store on a file system that really runs out of space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.core.entries import leaf
from hallmark.core.errors import Unavailable
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.store.raw import RawDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KiB."""
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this account may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def fill(store: SQLLogStore) -> None:
    """Append until the store refuses."""
    for batch in range(1_000):
        await store.append([leaf(batch * 10 + n, os.urandom(1_000)) for n in range(10)])


async def test_no_space_left(tiny: Path) -> None:
    """The batch that does not fit is refused whole; the log stays readable and goes on with more room."""
    ballast = tiny / "ballast"
    ballast.write_bytes(bytes(100_000))
    database = RawDatabase(f"sqlite:///{tiny}/log.db")
    store = SQLLogStore(database)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await fill(store)
        assert caught.value.reason == "store_full"
    size, root = store.size, store.tree.root()
    assert size > 0
    assert size % 10 == 0
    again = RawDatabase(f"sqlite:///{tiny}/log.db")
    reopened = SQLLogStore(again)
    assert (reopened.size, reopened.tree.root()) == (size, root)
    assert len(await reopened.leaves(0, size)) == size
    ballast.unlink()
    assert await store.append([leaf(10**6, b"there is room again")]) == size
    assert store.tree.root(size) == root
    database.close()
    again.close()
