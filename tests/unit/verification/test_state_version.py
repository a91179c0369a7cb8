"""The version of a fold's state follows from its types and its rules."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import pytest

from hallmark.verification.fold_state import FoldState, state_version
from hallmark.verification.snapshot import Head, Stated
from hallmark.verification.state_version import RULES, form, version


class _Color(enum.Enum):
    RED = "red"


class _Part(msgspec.Struct):
    name: str
    next: _Part | None = None


def _kept(*fields: Any, **options: Any) -> Any:
    return msgspec.defstruct("Kept", [*fields], **options)


BASE = ("size", int), ("parts", dict[bytes, _Part])


@pytest.mark.parametrize(
    "other",
    [
        _kept(*BASE, ("more", int)),
        _kept(*reversed(BASE)),
        _kept(("length", int), BASE[1]),
        _kept(("size", int, 0), *[("parts", dict[bytes, _Part], msgspec.field(default_factory=dict))]),
        _kept(("size", str), BASE[1]),
        _kept(("size", int), ("parts", dict[bytes, tuple[_Part, ...]])),
        _kept(("size", int), ("parts", dict[bytes, _Color])),
        _kept(*BASE, array_like=True),
    ],
)
def test_another_form_is_another_version(other: Any) -> None:
    """A field more, in another order, of another name, optional, of another type; nested too."""
    assert version((("kept", _kept(*BASE)),)) == version((("kept", _kept(*BASE)),))
    assert version((("kept", other),)) != version((("kept", _kept(*BASE)),))


def test_other_rules_are_another_version() -> None:
    """With the same rows; and so is a row of another name or layout."""
    kinds = (("head", Head), ("links", "position | digest"))
    assert version(kinds, RULES + 1) != version(kinds)
    assert version((kinds[0], ("links", "digest | position"))) != version(kinds)
    assert version((kinds[0], ("chains", "position | digest"))) != version(kinds)


def test_types_are_told_with_what_is_nested_in_them() -> None:
    """Down to the last field; one that holds itself is told once."""
    assert form(_Part) == "_Part array=False tag=None=None {name: Str; next?: None | _Part}"
    assert form(_Color) == "Enum ['red']"
    told = form(Stated)
    assert "KeyBundle" in told
    assert "max_age: Int" in told


def test_every_row_of_a_fold_is_in_its_version() -> None:
    """Each table says what its rows are."""
    assert len(state_version()) == 32
    assert all(table.codec.kind for table in FoldState().tables)
