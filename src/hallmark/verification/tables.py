"""Tables of what a fold keeps for every entry: in memory, or in an index that outlives the process.

What a replica knows grows in two ways. A small part grows with members, models and policies; it is held in
memory whole. The rest grows with the log: it lives in `Table`s, each a mapping from a position or a digest to
a value. Without an `Index` a table is a dictionary. With one, what was written since the last commit is held
in memory, and what was read lately in a bounded cache; the rest is looked up.

A commit has three steps, so that whoever keeps leaves writes both in one transaction: `prepare` gives rows,
somebody writes them, `committed` lets go of what is durable now. What was not written is in what `prepare`
gives the next time. A `Journal` takes back what was put since it was begun.

A row ends with the CRC-32 of its table, its key and its value (4 bytes, big-endian): one that the disk
changed, or that stands in another's place, is not believed. It is no seal: who can write into the index can
write that too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable

Key: TypeAlias = int | bytes
Rows: TypeAlias = dict[Key, bytes]
KeyT = TypeVar("KeyT", int, bytes)
T = TypeVar("T")
CACHED: Final = 4_096
CHECK: Final = 4
"""Bytes of a row's check."""
_NOTHING: Final = object()


class Changes(msgspec.Struct, frozen=True):
    """Rows to write in one transaction: by table, by key; they replace what is there. `size` is the position
    that they stand for; `anew` says that everything else must go first. `forget` are rows to delete before,
    by the beginnings of their keys.
    """

    size: int
    rows: Mapping[str, Rows]
    anew: bool = False
    forget: Mapping[str, tuple[bytes, ...]] = {}


class Index(Protocol):
    """Rows of named tables, each with keys of one kind: integers from 0 to 2^63, or bytes."""

    def get(self, table: str, key: Key) -> bytes | None:
        """The value of a row; None when there is none."""
        ...

    def many(self, table: str, keys: Sequence[Key]) -> Rows:
        """The rows with these keys, as far as there are any."""
        ...

    def rows(self, table: str) -> Iterator[tuple[Key, bytes]]:
        """All rows of a table, in the order of their keys."""
        ...

    def write(self, changes: Changes) -> None:
        """Make changes durable: all of them, or none when it raises."""
        ...

    def distrust(self) -> None:
        """Nothing is written any more, and whoever opens this index next must begin anew."""
        ...

    def damaged(self) -> None:
        """The same, because a row is not as it was written: whoever uses this index has to be told."""
        ...


class StateUnavailable(Unavailable):
    """A row cannot be looked up. That is no entry's fault and no bug: whoever folds stays where it was."""


def state_damaged(table: str = "") -> StateUnavailable:
    """A row of a table is not as it was written."""
    row = f"A row of {table} that was kept of the folded log" if table else "What was kept of the folded log"
    return StateUnavailable(
        "state_damaged",
        f"{row} is not as it was written.",
        "The service starts again by itself and folds the log anew.",
    )


class MemoryIndex:
    """An `Index` of dictionaries, for tests and for stores that live in memory."""

    def __init__(self) -> None:
        self.tables: dict[str, Rows] = {}

    def get(self, table: str, key: Key) -> bytes | None:
        """See `Index`."""
        return self.tables.get(table, {}).get(key)

    def many(self, table: str, keys: Sequence[Key]) -> Rows:
        """See `Index`."""
        held = self.tables.get(table, {})
        return {key: held[key] for key in keys if key in held}

    def rows(self, table: str) -> Iterator[tuple[Key, bytes]]:
        """See `Index`."""
        held = self.tables.get(table, {})
        return iter([(key, held[key]) for key in sorted(held, key=cast(Callable[[Key], Any], _itself))])

    def write(self, changes: Changes) -> None:
        """See `Index`."""
        if changes.anew:
            self.tables = {}
        for name, prefixes in changes.forget.items():
            held = self.tables.get(name, {})
            for key in [key for key in held if isinstance(key, bytes) and key.startswith(prefixes)]:
                del held[key]
        for name, rows in changes.rows.items():
            self.tables.setdefault(name, {}).update(rows)

    def distrust(self) -> None:
        """See `Index`."""
        self.tables["core"] = {}

    def damaged(self) -> None:
        """See `Index`."""
        self.distrust()


class Codec(msgspec.Struct, Generic[T], frozen=True):
    """How values of a table become bytes and come back. `kind` is the type that msgspec encodes, or the
    layout in words.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    kind: Any

    @classmethod
    def of(cls, kind: Any) -> Codec[T]:
        """MessagePack of a type that msgspec knows."""
        encoder = msgspec.msgpack.Encoder()
        return cls(encoder.encode, msgspec.msgpack.Decoder(kind).decode, kind)


class Journal:
    """Puts since `begin`, so that they can be taken back."""

    def __init__(self) -> None:
        self._puts: list[tuple[dict[Any, Any], Any, object]] = []

    def begin(self) -> None:
        """Forget what was put before."""
        self._puts.clear()

    def note(self, held: dict[Any, Any], key: Any) -> None:
        """`key` is about to be put into `held`."""
        self._puts.append((held, key, held.get(key, _NOTHING)))

    def undo(self) -> None:
        """Take back every put since `begin`."""
        for held, key, before in reversed(self._puts):
            if before is _NOTHING:
                held.pop(key, None)
            else:
                held[key] = before
        self._puts.clear()


class Table(MutableMapping[KeyT, T]):
    """One table; see the module docstring. Rows are put and replaced, never deleted but by `forget`; a value
    that was given out is not changed in place.

    `by_place`: a row's key is the position of the entry that wrote it, so that keys from the committed size
    on need not be looked up. `dense`: what `[]` asks for was put, so that a row that is not there is lost.
    `cached` rows that were read or committed lately are held in memory.
    """

    def __init__(
        self,
        name: str,
        codec: Codec[T],
        journal: Journal,
        *,
        by_place: bool = False,
        dense: bool = False,
        cached: int = CACHED,
    ) -> None:
        self.name, self.codec, self._journal = name, codec, journal
        self._by_place, self._dense, self._cached = by_place, dense, cached
        self._seed = zlib.crc32(name.encode())
        self._index: Index | None = None
        self._fresh: dict[KeyT, T] = {}
        self._writing: dict[KeyT, T] = {}
        self._cache: dict[KeyT, T | None] = {}
        self._size = 0
        self._forgotten: list[bytes] = []
        self._going = 0

    def attach(self, index: Index, size: int) -> None:
        """Look up in an index, which stands at `size`, what is not held here."""
        self._index, self._size = index, size

    def get(self, key: KeyT, default: Any = None) -> Any:
        """The value at `key`, else the default."""
        found = self._fresh.get(key)
        if found is None and (self._index is not None or self._writing):
            found = self._looked_up(key)
        return default if found is None else found

    def __getitem__(self, key: KeyT) -> T:
        found = self.get(key)
        if found is None:
            if self._dense and self._index is not None:
                raise self._damaged()
            raise KeyError(key)
        return cast(T, found)

    def __contains__(self, key: object) -> bool:
        return self.get(cast(KeyT, key)) is not None

    def __setitem__(self, key: KeyT, value: T) -> None:
        self._journal.note(self._fresh, key)
        self._fresh[key] = value

    def __delitem__(self, key: KeyT) -> None:
        raise TypeError("rows of a fold are never deleted")

    def __iter__(self) -> Iterator[KeyT]:
        """Keys in order."""
        held: set[Any] = {*self._fresh, *self._writing}
        if self._index is not None:
            held.update(key for key, _ in self._index.rows(self.name))
        return iter(sorted(held))

    def __len__(self) -> int:
        """How many rows there are; counted, which takes as long as reading them."""
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        if self._fresh or self._writing:
            return True
        return self._index is not None and next(self._index.rows(self.name), None) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return repr(dict(self))

    def forget(self, prefix: bytes) -> None:
        """Let all rows go whose keys begin so: nothing asks for them any more, or puts one. It is not taken
        back.
        """
        tables: tuple[dict[Any, Any], ...] = (self._fresh, self._writing, self._cache)
        for held in tables:
            for key in [key for key in held if key.startswith(prefix)]:
                del held[key]
        if self._index is not None:
            self._forgotten.append(prefix)

    def forgotten(self) -> tuple[bytes, ...]:
        """Beginnings of keys whose rows are to be deleted with the next commit."""
        self._going = len(self._forgotten)
        return tuple(self._forgotten)

    def prepare(self) -> Rows:
        """Rows put since the last commit."""
        self._writing = {**self._writing, **self._fresh}
        self._fresh = {}
        encode, sealed = self.codec.encode, self._sealed
        return {key: sealed(key, encode(value)) for key, value in self._writing.items()}

    def committed(self, size: int) -> None:
        """What `prepare` gave is durable at `size`."""
        self._size = size
        cache = self._cache
        for key, value in self._writing.items():
            cache.pop(key, None)
            cache[key] = value
        self._writing = {}
        del self._forgotten[: self._going]
        self._going = 0
        self._trim()

    def _looked_up(self, key: KeyT) -> T | None:
        found = self._writing.get(key)
        if found is not None or self._index is None:
            return found
        if self._by_place and int(cast(Any, key)) >= self._size:
            return None
        if key in self._cache:
            return self._cache[key]
        value = self._read(key)
        self._cache[key] = value
        if len(self._cache) > 2 * self._cached:
            self._trim()
        return value

    def _read(self, key: KeyT) -> T | None:
        assert self._index is not None
        try:
            data = self._index.get(self.name, key)
        except HallmarkError as error:
            raise StateUnavailable(error.reason, error.message, error.hint) from error
        if data is None:
            return None
        value = data[:-CHECK]
        if self._sealed(key, value) != data:
            raise self._damaged()
        try:
            return self.codec.decode(value)
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._damaged() from error

    def _sealed(self, key: KeyT, value: bytes) -> bytes:
        """The row of a value, with its check."""
        name = key if isinstance(key, bytes) else key.to_bytes(8, "big")
        return value + zlib.crc32(value, zlib.crc32(name, self._seed)).to_bytes(CHECK, "big")

    def _damaged(self) -> StateUnavailable:
        assert self._index is not None
        self._index.damaged()
        return state_damaged(self.name)

    def _trim(self) -> None:
        """The oldest go first."""
        cache = self._cache
        if len(cache) > self._cached:
            for key in list(cache)[: len(cache) - self._cached]:
                del cache[key]


def _itself(key: Key) -> Key:
    return key
