"""EIP-712 structs with fixed-size fields only.

Every statement that a contract, a wallet or a browser may check is a `TypedStruct`. It has three forms:

- packed: the fields in order, big-endian, without padding; what the log stores;
- ABI: each field padded to 32 bytes; what EIP-712 hashes;
- JSON: an object of camelCase names, byte fields as 0x-hex, integers as integers.

Field types and packed sizes: bytes32 32, address 20, uint8 1, uint32 4, uint64 8, uint128 16.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Set
from typing import Annotated, ClassVar, NamedTuple, Self, get_type_hints

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256

SIZES = {"bytes32": 32, "address": 20, "uint8": 1, "uint32": 4, "uint64": 8, "uint128": 16}
FORMATS = {"uint8": "B", "uint32": "I", "uint64": "Q"}
"""How `struct` reads a field; others are read as bytes."""
DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId)"

Bytes32 = Annotated[bytes, "bytes32"]
Address = Annotated[bytes, "address"]
Uint8 = Annotated[int, "uint8"]
Uint32 = Annotated[int, "uint32"]
Uint64 = Annotated[int, "uint64"]
Uint128 = Annotated[int, "uint128"]


class Field(NamedTuple):
    """One field: Python name, EIP-712 name, EIP-712 type, packed size in bytes."""

    name: str
    wire: str
    kind: str
    size: int


def camel(name: str) -> str:
    """`tokens_in` -> `tokensIn`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@functools.cache
def _layout(cls: type[TypedStruct]) -> tuple[Field, ...]:
    hints = get_type_hints(cls, include_extras=True)
    fields = []
    for name in cls.__struct_fields__:
        kind = hints[name].__metadata__[0]
        fields.append(Field(name, camel(name), kind, SIZES[kind]))
    return tuple(fields)


class _Packing(NamedTuple):
    """How the packed form is read and both forms are written at once; which fields (by place) are then bytes
    that are a number; and the length that each byte field must have.
    """

    packed: struct.Struct
    padded: struct.Struct
    wide: tuple[int, ...]
    sized: tuple[tuple[int, int], ...]


@functools.cache
def _packing(cls: type[TypedStruct]) -> _Packing:
    layout = _layout(cls)
    formats = [FORMATS.get(field.kind) or f"{field.size}s" for field in layout]
    padded = [f"{32 - field.size}x{form}" for field, form in zip(layout, formats, strict=True)]
    return _Packing(
        struct.Struct(">" + "".join(formats)),
        struct.Struct(">" + "".join(padded)),
        tuple(at for at, field in enumerate(layout) if field.kind == "uint128"),
        tuple((at, field.size) for at, field in enumerate(layout) if not field.kind.startswith("uint")),
    )


@functools.cache
def _wires(cls: type[TypedStruct]) -> tuple[Set[str], tuple[tuple[str, int, Field], ...]]:
    """The names of the JSON form, and of each field the bytes that its text says (0: it is a number)."""
    rows = [(f.wire, 0 if f.kind.startswith("uint") else f.size, f) for f in _layout(cls)]
    return frozenset(wire for wire, _, _ in rows), tuple(rows)


@functools.cache
def _type_hash(cls: type[TypedStruct]) -> bytes:
    return keccak256(cls.type_string().encode())


@functools.lru_cache(maxsize=64)
def domain_separator(chain_id: int) -> bytes:
    """EIP-712 domain separator of `EIP712Domain(name="Hallmark", version="1", chainId)`; 32 bytes."""
    return keccak256(
        keccak256(DOMAIN_TYPE) + keccak256(b"Hallmark") + keccak256(b"1") + chain_id.to_bytes(32, "big")
    )


def signing_digest(hashed: bytes, chain_id: int) -> bytes:
    """What is signed, from a struct hash: keccak256(0x1901 || domain separator || hashStruct); 32 bytes."""
    return keccak256(b"\x19\x01" + domain_separator(chain_id) + hashed)


class TypedStruct(msgspec.Struct, frozen=True):
    """Base of all signed statements; see the module docstring for the three forms."""

    NAME: ClassVar[str] = ""

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """The fields in signing order."""
        return _layout(cls)

    @classmethod
    def packed_size(cls) -> int:
        """Length of the packed form in bytes."""
        return _packing(cls).packed.size

    @classmethod
    def type_string(cls) -> str:
        """EIP-712 `encodeType`, e.g. `Verdict(bytes32 network,...)`."""
        inner = ",".join(f"{field.kind} {field.wire}" for field in _layout(cls))
        return f"{cls.NAME or cls.__name__}({inner})"

    def pack(self) -> bytes:
        """The packed form. Raises InvalidInput `field_out_of_range` when a value does not fit its type."""
        return self._encoded(_packing(type(self)).packed, padded=False)

    def struct_hash(self) -> bytes:
        """EIP-712 `hashStruct`; 32 bytes."""
        padded = self._encoded(_packing(type(self)).padded, padded=True)
        return keccak256(_type_hash(type(self)) + padded)

    def signing_digest(self, chain_id: int) -> bytes:
        """The 32 bytes that are signed: keccak256(0x1901 || domain separator || hashStruct)."""
        return signing_digest(self.struct_hash(), chain_id)

    def to_json(self) -> dict[str, str | int]:
        """The JSON form."""
        values: dict[str, str | int] = {}
        for field in _layout(type(self)):
            value = getattr(self, field.name)
            values[field.wire] = "0x" + value.hex() if isinstance(value, bytes) else value
        return values

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the packed form. Raises InvalidInput `statement_length` unless exactly
        `packed_size()` bytes.
        """
        packing = _packing(cls)
        if len(data) != packing.packed.size:
            raise InvalidInput(
                "statement_length", f"{cls.__name__} takes {packing.packed.size} bytes, not {len(data)}."
            )
        values = list(packing.packed.unpack(data))
        for at in packing.wide:
            values[at] = int.from_bytes(values[at], "big")
        return cls(*values)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read the JSON form. Raises InvalidInput `statement_fields` on missing, unknown or
        ill-typed fields.
        """
        names, rows = _wires(cls)
        if value.keys() != names:
            raise InvalidInput("statement_fields", f"{cls.__name__} has missing or unknown fields.")
        values: list[bytes | int] = []
        for wire, size, field in rows:
            found = value[wire]
            if size == 0 and type(found) is int:
                values.append(found)
            else:
                values.append(_field_from_json(field, found))
        built = cls(*values)
        built.pack()
        return built

    def _encoded(self, form: struct.Struct, *, padded: bool) -> bytes:
        """The fields in one step; field by field where that does not work, to say which one is wrong."""
        packing = _packing(type(self))
        values = list(msgspec.structs.astuple(self))
        try:
            for at, size in packing.sized:
                if len(values[at]) != size:
                    break
            else:
                for at in packing.wide:
                    values[at] = values[at].to_bytes(16, "big")
                return form.pack(*values)
        except (struct.error, OverflowError, AttributeError, TypeError):
            pass
        return b"".join(self._values(padded=padded))

    def _values(self, *, padded: bool) -> list[bytes]:
        parts = []
        for field in _layout(type(self)):
            value = getattr(self, field.name)
            try:
                raw = value.to_bytes(field.size, "big") if field.kind.startswith("uint") else b"" + value
            except (OverflowError, AttributeError, TypeError) as error:
                raise InvalidInput("field_out_of_range", f"{field.wire} is not a {field.kind}.") from error
            if len(raw) != field.size:
                raise InvalidInput("field_out_of_range", f"{field.wire} is not a {field.kind}.")
            parts.append(raw.rjust(32, b"\0") if padded else raw)
        return parts


def _field_from_json(field: Field, value: object) -> bytes | int:
    if field.kind.startswith("uint"):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, str) and len(value) == 2 + 2 * field.size and value[:2] == "0x":
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise InvalidInput("statement_fields", f"{field.wire} is not a {field.kind}.")
