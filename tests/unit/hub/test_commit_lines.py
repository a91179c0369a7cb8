"""Commits as lines of JSON."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.hub.commit_lines import Deleted, Header, Large, Small, read_line
from hallmark.hub.revision import LARGE

DIGEST = "a" * 64


def line(key: str, **value: object) -> bytes:
    """A line."""
    return msgspec.json.encode({"key": key, "value": value})


def test_lines() -> None:
    """Each kind of line is what the tools mean by it."""
    assert read_line(line("header", summary="s", description="")) == Header("s")
    content = base64.b64encode(b"\0x").decode()
    assert read_line(line("file", path="a", content=content, encoding="base64")) == Small("a", b"\0x")
    assert read_line(line("lfsFile", path="a", algo="sha256", oid=DIGEST, size=3)) == Large("a", DIGEST, 3)
    assert read_line(line("deletedFile", path="a")) == Deleted("a", False)
    assert read_line(line("deletedFolder", path="a/b/")) == Deleted("a/b", True)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b'{"key":"symlink","value":{"path":"a","target":"/etc/passwd"}}',
        line("file", path="a", content="!!", encoding="base64"),
        line("file", path="a", content="eA", encoding="base64"),
        line("file", path="a", content="x", encoding="rot13"),
        line("file", path="a", content="x" * (LARGE + 1)),
        line("lfsFile", path="a", oid="A" * 64),
        line("lfsFile", path="a", oid=DIGEST, algo="md5"),
        line("lfsFile", path="a", oid=DIGEST, size=-1),
        line("file", path="../a", content=""),
        line("deletedFile", path=""),
        b'{"key":"header","value":' + b"[" * 100_000,
    ],
)
def test_lines_that_are_refused(text: bytes) -> None:
    """Each with a reason of ours."""
    with pytest.raises(InvalidInput) as refused:
        read_line(text)
    assert refused.value.reason in ("bad_commit", "bad_repository_path")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(("header", "file", "lfsFile", "deletedFile", "deletedFolder", "other"))
NAMES = st.sampled_from(("path", "content", "encoding", "oid", "algo", "size", "summary", "parentCommit"))


@given(st.binary(max_size=60) | st.builds(lambda k, v: msgspec.json.encode({"key": k, "value": v}), KEYS,
                                          st.dictionaries(NAMES, JSON, max_size=5)))  # fmt: skip
def test_any_line_is_read_or_refused(text: bytes) -> None:
    """No other library's error comes out of a line."""
    reason = "bad_commit"
    try:
        read_line(text)
    except InvalidInput as error:
        reason = error.reason
    assert reason in ("bad_commit", "bad_repository_path")
