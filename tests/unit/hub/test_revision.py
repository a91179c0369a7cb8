"""Names, paths, revisions."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from hallmark.hub import revision
from hallmark.hub.revision import (
    LARGE,
    Change,
    FileEntry,
    Revision,
    apply,
    check_path,
    check_repository,
    check_title,
    entry_oid,
)

ONE = FileEntry("b", "a" * 64, 1, "c" * 40)
TWO = FileEntry("d", "e" * 64, 2, "f" * 40)


def test_a_commit_fixes_everything() -> None:
    """Whatever differs gives another commit; the same gives the same, in any order of files."""
    made = Revision("a/b", "", "t", 1, "me", {"x": ONE, "y": TWO})
    assert made.commit == Revision("a/b", "", "t", 1, "me", {"y": TWO, "x": ONE}).commit
    assert len(made.commit) == 40
    others = (
        Revision("a/c", "", "t", 1, "me", made.files),
        Revision("a/b", made.commit, "t", 1, "me", made.files),
        Revision("a/b", "", "u", 1, "me", made.files),
        Revision("a/b", "", "t", 2, "me", made.files),
        Revision("a/b", "", "t", 1, "you", made.files),
        Revision("a/b", "", "t", 1, "me", {"x": ONE}),
        Revision("a/b", "", "t", 1, "me", {"x": TWO, "y": ONE}),
    )
    assert len({made.commit, *(one.commit for one in others)}) == 8
    assert Revision.decode(made.encode()) == made


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", ".git/config", "a/.GIT/x", "a\nb", "a\0",
     "x" * 513, "e\u0301", "a\u202eb", "\ud800"],
)  # fmt: skip
def test_paths_that_leave_the_tree(path: str) -> None:
    """Such a path names no file of a repository."""
    with pytest.raises(InvalidInput) as refused:
        check_path(path)
    assert refused.value.reason == "bad_repository_path"


@given(st.text(max_size=40))
def test_any_path_is_below_or_refused(path: str) -> None:
    """What is taken has no part that goes up, and stays as it is."""
    try:
        assert check_path(path) == path
    except InvalidInput:
        return
    assert not {"", ".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("namespace", "name"), [("api", "x"), ("V1", "x"), ("a", "b.git"), ("a", ".."), ("", "b"), ("a", "-b"),
                            ("a b", "c"), ("a", "b--c"), ("a", "x" * 97), ("ä", "b"), ("a\n", "b")],
)  # fmt: skip
def test_names_that_are_none(namespace: str, name: str) -> None:
    """Names that would be paths of the server, or no names at all."""
    with pytest.raises(InvalidInput) as refused:
        check_repository(namespace, name)
    assert refused.value.reason == "bad_repository_name"
    assert check_repository("Me", "first-1.0_b") == "Me/first-1.0_b"


def test_changes() -> None:
    """Files come, go alone or with their folder, in order; what is not there cannot go."""
    files = apply({}, [Change("a/x", ONE), Change("a/y", ONE), Change("b", TWO), Change("a/x", TWO)])
    assert files == {"a/x": TWO, "a/y": ONE, "b": TWO}
    assert apply(files, [Change("a", folder=True)]) == {"b": TWO}
    assert apply(files, [Change("a", folder=True), Change("a", ONE)]) == {"b": TWO, "a": ONE}
    for gone in (Change("c"), Change("a"), Change("c", folder=True), Change("b", folder=True)):
        with pytest.raises(NotFound):
            apply(files, [gone])
    with pytest.raises(Conflict) as both:
        apply(files, [Change("b/c", ONE)])
    assert both.value.reason == "path_is_folder"


def test_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound."""
    monkeypatch.setattr(revision, "MOST_FILES", 3)
    with pytest.raises(TooLarge) as many:
        apply({}, [Change(str(n), ONE) for n in range(4)])
    assert many.value.reason == "too_many_files"


def test_what_git_calls_a_file() -> None:
    """Small files by their bytes, large ones by their pointer."""
    assert entry_oid("", 6, b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    digest = hashlib.sha256(b"x").hexdigest()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {LARGE + 1}\n".encode()
    assert entry_oid(digest, LARGE + 1, b"") == revision.git_oid(text)


@given(st.text(max_size=700))
def test_a_title_is_one_line(title: str) -> None:
    """Whatever somebody writes becomes a line that can be stored and shown."""
    line = check_title(title)
    assert line.isprintable()
    assert len(line) <= 500
    assert Revision("a/b", "", line, 1, "me", {}).encode()
