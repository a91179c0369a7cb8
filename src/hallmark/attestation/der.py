"""Strict DER (ITU-T X.690), only what certificates need: definite, minimal lengths and one-byte tags.

`web/src/verify/der.ts` is the same reader; the rules of both stand in docs/attestation.md. Nothing here
calls a library: whatever bytes come in, the only error that goes out is `certificate_unreadable`.
"""

from __future__ import annotations

import datetime
import re
from typing import Final, NamedTuple

from hallmark.core.errors import VerificationFailed

BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, TIME, SEQUENCE = 0x17, 0x18, 0x30
_TIMES: Final = {
    UTC_TIME: re.compile(rb"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z"),
    TIME: re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z"),
}


class Element(NamedTuple):
    """One element: its tag byte, its content, and all its bytes."""

    tag: int
    content: bytes
    whole: bytes


def unreadable() -> VerificationFailed:
    """The error of every certificate that cannot be read."""
    return VerificationFailed("certificate_unreadable", "A certificate cannot be read.")


class Reader:
    """Reads elements one behind the other. Every method raises `certificate_unreadable`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    @property
    def next(self) -> int:
        """The tag of the element that comes next; -1 at the end."""
        return -1 if self.done else self._data[self._at]

    def take(self, tag: int | None = None) -> Element:
        """The next element, of this tag if one is given."""
        begin, found = self._at, self._byte()
        if found & 31 == 31 or (tag is not None and found != tag):
            raise unreadable()
        end = self._size() + self._at
        if end > len(self._data):
            raise unreadable()
        content, self._at = self._data[self._at : end], end
        return Element(found, content, self._data[begin:end])

    def maybe(self, tag: int) -> Element | None:
        """The next element if it has this tag."""
        return self.take(tag) if self.next == tag else None

    def into(self, tag: int) -> Reader:
        """The elements inside the next one, which has this tag."""
        return Reader(self.take(tag).content)

    def end(self) -> None:
        """Refuses anything that is left."""
        if not self.done:
            raise unreadable()

    def _byte(self) -> int:
        if self.done:
            raise unreadable()
        value, self._at = self._data[self._at], self._at + 1
        return value

    def _size(self) -> int:
        first = self._byte()
        if first < 0x80:
            return first
        count = first & 0x7F
        if not 1 <= count <= 4:
            raise unreadable()
        size = 0
        for _ in range(count):
            size = size << 8 | self._byte()
        if size < (0x80 if count == 1 else 1 << 8 * (count - 1)):
            raise unreadable()
        return size


def opened(data: bytes, tag: int) -> Reader:
    """The whole of `data` as one element of this tag, opened."""
    outer = Reader(data)
    inner = outer.into(tag)
    outer.end()
    return inner


def integer(element: Element) -> int:
    """The value of a minimal INTEGER."""
    content = element.content
    if not content:
        raise unreadable()
    if len(content) > 1 and (content[0], content[1] >> 7) in ((0, 0), (0xFF, 1)):
        raise unreadable()
    return int.from_bytes(content, "big", signed=True)


def default_false(reader: Reader) -> bool:
    """A BOOLEAN DEFAULT FALSE: absent, or TRUE with all bits set; DER writes no default down."""
    found = reader.maybe(BOOLEAN)
    if found is None:
        return False
    if found.content != b"\xff":
        raise unreadable()
    return True


def bits(element: Element) -> tuple[bytes, int]:
    """The bytes of a BIT STRING, and how many bits at its end are padding (all zero)."""
    if not element.content:
        raise unreadable()
    padding, data = element.content[0], element.content[1:]
    if padding > 7 or (padding and not data) or (padding and data[-1] & ((1 << padding) - 1)):
        raise unreadable()
    return data, padding


def whole_bytes(element: Element) -> bytes:
    """The bytes of a BIT STRING without padding."""
    data, padding = bits(element)
    if padding:
        raise unreadable()
    return data


def oid(element: Element) -> bytes:
    """The content of a well-formed OBJECT IDENTIFIER; identifiers are compared by these bytes."""
    content, fresh = element.content, True
    for byte in content:
        if fresh and byte == 0x80:
            raise unreadable()
        fresh = byte < 0x80
    if not content or not fresh:
        raise unreadable()
    return content


def time(element: Element) -> int:
    """Unix ms of a UTCTime or GeneralizedTime in the form that RFC 5280 asks for."""
    pattern = _TIMES.get(element.tag)
    found = pattern.fullmatch(element.content) if pattern else None
    if found is None:
        raise unreadable()
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    if element.tag == UTC_TIME:
        year += 1900 if year >= 50 else 2000
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError as error:
        raise unreadable() from error
    return int(moment.timestamp()) * 1000
