"""What an artifact says of its own files."""

from __future__ import annotations

import pytest

from hallmark.core.errors import InvalidInput
from hallmark.hub.publication import FileList, NamedFile, hub_secret, read_file_list


def test_a_list_is_read_again() -> None:
    """In whatever order it was made, its bytes are the same; what is none is refused."""
    a, b = NamedFile("x", "00", 1), NamedFile("y", "11", 2)
    made = FileList({"b": b, "a": a})
    assert made.encode() == FileList({"a": a, "b": b}).encode()
    assert read_file_list(made.encode()) == made
    for wrong in (b"", b"[" * 5_000, b"{}", b'{"files":{},"format":"other"}', b'{"files":{},"more":1}'):
        with pytest.raises(InvalidInput):
            read_file_list(wrong)


def test_an_owner_shows_hubs_another_secret() -> None:
    """The same for the same key, and not the key."""
    assert hub_secret(b"\1" * 32) == hub_secret(b"\1" * 32) != hub_secret(b"\2" * 32)
    assert (b"\1" * 32).hex() not in hub_secret(b"\1" * 32)
