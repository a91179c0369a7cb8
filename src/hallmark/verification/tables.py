"""Tables of what a fold keeps for every entry: in memory, or in an index that outlives the process.

What a replica knows grows in two ways. A small part grows with members, models and policies; it is held in
memory whole. The rest grows with the log: it lives in `Table`s, each a mapping from a position or a digest to
a value. Without an `Index` a table is a dictionary. With one, what was written since the last commit is held
in memory, and what was read lately in a bounded cache; the rest is looked up.

A commit has three steps, so that whoever keeps leaves writes both in one transaction: `prepare` gives rows,
somebody writes them, `committed` lets go of what is durable now. What was not written is in what `prepare`
gives the next time. A `Journal` takes back what was put since it was begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable

Key: TypeAlias = int | bytes
Rows: TypeAlias = dict[Key, bytes]
KeyT = TypeVar("KeyT", int, bytes)
T = TypeVar("T")
CACHED: Final = 4_096
_NOTHING: Final = object()


class Changes(msgspec.Struct, frozen=True):
    """Rows to write in one transaction: by table, by key; they replace what is there. `size` is the position
    that they stand for; `anew` says that everything else must go first.
    """

    size: int
    rows: Mapping[str, Rows]
    anew: bool = False


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


class StateUnavailable(Unavailable):
    """A row cannot be looked up. That is no entry's fault and no bug: whoever folds stays where it was."""


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
        for name, rows in changes.rows.items():
            self.tables.setdefault(name, {}).update(rows)

    def distrust(self) -> None:
        """See `Index`."""
        self.tables["core"] = {}


class Codec(msgspec.Struct, Generic[T], frozen=True):
    """How values of a table become bytes and come back."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]

    @classmethod
    def of(cls, kind: Any) -> Codec[T]:
        """MessagePack of a type that msgspec knows."""
        encoder = msgspec.msgpack.Encoder()
        return cls(encoder.encode, msgspec.msgpack.Decoder(kind).decode)


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
    """One table; see the module docstring. Rows are put and replaced, never deleted; a value that was given
    out is not changed in place.

    `by_place`: a row's key is the position of the entry that wrote it, so that keys from the committed size
    on need not be looked up. `cached` rows that were read or committed lately are held in memory.
    """

    def __init__(
        self,
        name: str,
        codec: Codec[T],
        journal: Journal,
        *,
        by_place: bool = False,
        cached: int = CACHED,
    ) -> None:
        self.name, self._codec, self._journal, self._by_place = name, codec, journal, by_place
        self._cached = cached
        self._index: Index | None = None
        self._fresh: dict[KeyT, T] = {}
        self._writing: dict[KeyT, T] = {}
        self._cache: dict[KeyT, T | None] = {}
        self._size = 0

    def attach(self, index: Index, size: int) -> None:
        """Look up in an index, which stands at `size`, what is not held here."""
        self._index, self._size = index, size

    def get(self, key: KeyT, default: Any = None) -> Any:
        """The value at `key`, else the default."""
        found = self._fresh.get(key)
        if found is None and self._index is not None:
            found = self._looked_up(key)
        return default if found is None else found

    def __getitem__(self, key: KeyT) -> T:
        found = self.get(key)
        if found is None:
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

    def prepare(self) -> Rows:
        """Rows put since the last commit."""
        self._writing = {**self._writing, **self._fresh}
        self._fresh = {}
        encode = self._codec.encode
        return {key: encode(value) for key, value in self._writing.items()}

    def committed(self, size: int) -> None:
        """What `prepare` gave is durable at `size`."""
        self._size = size
        cache = self._cache
        for key, value in self._writing.items():
            cache.pop(key, None)
            cache[key] = value
        self._writing = {}
        self._trim()

    def _looked_up(self, key: KeyT) -> T | None:
        found = self._writing.get(key)
        if found is not None:
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
        try:
            return None if data is None else self._codec.decode(data)
        except (msgspec.MsgspecError, ValueError) as error:
            self._index.distrust()
            raise StateUnavailable(
                "state_damaged",
                f"A row of {self.name} that was kept of the folded log cannot be read.",
                "Start the service again: it folds the log anew.",
            ) from error

    def _trim(self) -> None:
        """The oldest go first."""
        cache = self._cache
        if len(cache) > self._cached:
            for key in list(cache)[: len(cache) - self._cached]:
                del cache[key]


def _itself(key: Key) -> Key:
    return key
