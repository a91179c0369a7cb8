"""Under which rules and in which form the state of a fold was kept: state of another version is not read.

Two things make the version. The form is derived from the types of what is kept, whatever is nested in them:
names, order and types of fields, and the layouts of rows that no type describes. The rules are a number:
whenever a check or a transition finds something else than before for the same log, it has to be raised.

`CODE` is the digest of the source that defines the fold (comments and docstrings left out), as it was when
the number was last thought about; a test fails when the source is another. `python -m
hallmark.testing.fold_rules` writes both: it raises `RULES`, or with `--same` leaves it, which says that every
log gives the state that it gave before.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from hallmark.core.hashing import sha256

RULES: Final = 19
CODE: Final = "454d83b86c3558c6a5a9f6e10cee65224638626167078153064ce2256e71a3a3"


def version(kinds: Iterable[tuple[str, Any]], rules: int = RULES) -> bytes:
    """The version of a state whose rows are of these types, by name; 32 bytes. A type may be a layout in
    words.
    """
    described = [f"{name}: {kind if isinstance(kind, str) else form(kind)}" for name, kind in kinds]
    return sha256("\n".join((f"rules {rules}", *described)).encode())


def form(kind: Any) -> str:
    """A type in words, with all that is nested in it."""
    return _form(msgspec.inspect.type_info(kind), ())


def _form(info: msgspec.inspect.Type, within: tuple[type, ...]) -> str:
    name = type(info).__name__.removesuffix("Type")
    match info:
        case msgspec.inspect.StructType(cls=cls):
            return cls.__name__ if cls in within else _struct(info, (*within, cls))
        case msgspec.inspect.EnumType(cls=found):
            return f"{name} {[member.value for member in found if isinstance(member, enum.Enum)]}"
        case msgspec.inspect.UnionType(types=types):
            return " | ".join(sorted(_form(one, within) for one in types))
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return f"{name}[{_form(key, within)}, {_form(value, within)}]"
        case msgspec.inspect.TupleType(item_types=items):
            return f"{name}[{', '.join(_form(one, within) for one in items)}]"
        case msgspec.inspect.CollectionType(item_type=item):
            return f"{name}[{_form(item, within)}]"
    return name


def _struct(info: msgspec.inspect.StructType, within: tuple[type, ...]) -> str:
    head = f"{info.cls.__name__} array={info.array_like} tag={info.tag_field}={info.tag}"
    fields = [
        f"{field.encode_name}{'' if field.required else '?'}: {_form(field.type, within)}"
        for field in info.fields
    ]
    return f"{head} {{{'; '.join(fields)}}}"
