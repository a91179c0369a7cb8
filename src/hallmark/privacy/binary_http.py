"""Binary HTTP (RFC 9292): requests and responses as bytes, in both forms.

    known length            u8 0 | 1, then every part behind its length
    indeterminate length    u8 2 | 3, then fields and content in pieces, each list ended by a zero

A request is read whole, a response as it comes. Parts at the end that are empty may be left out (section
3.8); what follows the message must be zeros, and is padding. Fields keep their order, and those that repeat
stay several. Interim responses are read and passed over.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.privacy import varint

KNOWN_REQUEST, KNOWN_RESPONSE, REQUEST, RESPONSE = range(4)
MAX_FIELDS: Final = 256
MAX_HEAD: Final = 256 << 10
"""Bytes of one field section, as many as our servers take of a head."""
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TARGET: Final = re.compile(rb"[\x21-\x7e]*")
SCHEMES: Final = (b"https", b"http")

Fields = tuple[tuple[bytes, bytes], ...]


class Request(msgspec.Struct, frozen=True):
    """A request. `path` holds the query as well; field names are lower case."""

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    headers: Fields = ()
    content: bytes = b""
    trailers: Fields = ()


class Response(msgspec.Struct, frozen=True):
    """A whole response, the final one."""

    status: int
    headers: Fields = ()
    content: bytes = b""
    trailers: Fields = ()


def encode_request(request: Request) -> bytes:
    """The known-length form. Raises InvalidInput `bad_binary_http`."""
    control = b"".join(
        _sized(part) for part in (request.method, request.scheme, request.authority, request.path)
    )
    tail = _section(request.headers) + _sized(request.content) + _section(request.trailers)
    return bytes((KNOWN_REQUEST,)) + control + tail


def encode_response(response: Response) -> bytes:
    """The known-length form. Raises InvalidInput `bad_binary_http`."""
    tail = _section(response.headers) + _sized(response.content) + _section(response.trailers)
    return bytes((KNOWN_RESPONSE,)) + varint.encode(response.status) + tail


def decode_request(data: bytes) -> Request:
    """Read a request, of either form, that is all there. Raises InvalidInput `bad_binary_http`."""
    cursor = _Cursor(data)
    form = cursor.byte()
    if form not in (KNOWN_REQUEST, REQUEST):
        raise bad()
    method, scheme, authority, path = (cursor.sized() for _ in range(4))
    if not METHOD.fullmatch(method) or scheme not in SCHEMES:
        raise bad()
    if not TARGET.fullmatch(authority) or not TARGET.fullmatch(path) or path[:1] not in (b"/", b"*"):
        raise bad()
    known = form == KNOWN_REQUEST
    headers = cursor.fields(known=known)
    content = cursor.content(known=known)
    trailers = cursor.fields(known=known)
    cursor.padding()
    return Request(method, scheme, authority, path, headers, content, trailers)


def start_response(status: int, headers: Fields) -> bytes:
    """The beginning of a response of indeterminate length: `content_piece`s follow, then `END`."""
    if not 200 <= status < 600:
        raise bad()
    return bytes((RESPONSE,)) + varint.encode(status) + _lines(headers) + b"\0"


def content_piece(data: bytes) -> bytes:
    """A piece of content; nothing for no bytes, as a zero ends it."""
    return _sized(data) if data else b""


END: Final = b"\0\0"
"""The end of the content and of (no) trailers."""


class ResponseParser:
    """Reads a response as it comes. `status` is 0 until the head of the final response is there."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._form = -1
        self._stage = "head"
        self._left = 0
        self.status = 0
        self.headers: Fields = ()
        self.trailers: Fields = ()

    def feed(self, data: bytes) -> bytes:
        """The content that is there now. Raises InvalidInput `bad_binary_http`."""
        self._data += data
        out = bytearray()
        while self._step(out):
            pass
        return bytes(out)

    def end(self) -> None:
        """Nothing more comes. Raises InvalidInput `bad_binary_http` unless the response is whole."""
        if self._stage == "head" and not self._data:
            raise bad()
        if self._stage in ("content", "piece") and self._left:
            raise bad()
        if self._stage != "padding":
            self._finish()

    def _finish(self) -> None:
        """Read what is there as all that there is: empty parts at the end may be missing."""
        cursor = _Cursor(bytes(self._data))
        if self._stage == "head":
            self._head(cursor)
        known = self._form == KNOWN_RESPONSE
        if self._stage != "trailers" and cursor.content(known=known):
            raise bad()
        self.trailers = cursor.fields(known=known)
        cursor.padding()

    def _head(self, cursor: _Cursor) -> None:
        """Interim heads and the final one. Raises _Short when it is not all there."""
        form = cursor.byte()
        if form not in (KNOWN_RESPONSE, RESPONSE):
            raise bad()
        while True:
            status = cursor.number()
            if not 100 <= status < 600:
                raise bad()
            headers = cursor.fields(known=form == KNOWN_RESPONSE)
            if status >= 200:
                break
        self._form, self.status, self.headers = form, status, headers

    def _step(self, out: bytearray) -> bool:
        """Read one part more; False while it is not all there."""
        if self._stage == "padding":
            if self._data.strip(b"\0"):
                raise bad()
            self._data.clear()
            return False
        if self._stage == "content" and self._left:
            taken = self._data[: self._left]
            del self._data[: len(taken)]
            self._left -= len(taken)
            out += taken
            if not self._left and self._form == KNOWN_RESPONSE:
                self._stage = "trailers"
            return bool(taken)
        cursor = _Cursor(bytes(self._data), whole=False)
        try:
            self._part(cursor)
        except _Short:
            if len(self._data) > MAX_HEAD:
                raise bad() from None
            return False
        del self._data[: cursor.at]
        return True

    def _part(self, cursor: _Cursor) -> None:
        if self._stage == "head":
            self._head(cursor)
            self._stage = "content"
        elif self._stage == "content":
            self._left = cursor.number()
            if not self._left:
                self._stage = "trailers"
        else:
            self.trailers = cursor.fields(known=self._form == KNOWN_RESPONSE)
            self._stage = "padding"


def decode_response(data: bytes) -> Response:
    """Read a response, of either form, that is all there. Raises InvalidInput `bad_binary_http`."""
    parser = ResponseParser()
    content = parser.feed(data)
    parser.end()
    return Response(parser.status, parser.headers, content, parser.trailers)


def bad() -> HallmarkError:
    """Bytes that are no Binary HTTP."""
    return InvalidInput("bad_binary_http", "The message is not Binary HTTP (RFC 9292).")


class _Short(Exception):
    """More bytes are needed."""


class _Cursor:
    """Reads parts in order. At the end of a whole message what is missing is empty (section 3.8); of one that
    still comes it raises _Short.
    """

    def __init__(self, data: bytes, *, whole: bool = True) -> None:
        self._data, self._whole, self.at = data, whole, 0

    def byte(self) -> int:
        if self.at >= len(self._data):
            raise self._missing()
        self.at += 1
        return self._data[self.at - 1]

    def number(self) -> int:
        read = varint.decode(self._data, self.at)
        if read is None:
            raise self._missing()
        value, self.at = read
        return value

    def sized(self) -> bytes:
        size = self.number()
        end = self.at + size
        if end > len(self._data):
            raise self._missing()
        found = self._data[self.at : end]
        self.at = end
        return found

    def fields(self, *, known: bool) -> Fields:
        """A field section."""
        if self._whole and self.at == len(self._data):
            return ()
        if not known:
            return self._lines(None)
        size = self.number()
        if size > MAX_HEAD:
            raise bad()
        if self.at + size > len(self._data):
            raise self._missing()
        return self._lines(self.at + size)

    def content(self, *, known: bool) -> bytes:
        """The content of a whole message."""
        if self.at == len(self._data):
            return b""
        if known:
            return self.sized()
        pieces = []
        while piece := self.sized():
            pieces.append(piece)
        return b"".join(pieces)

    def padding(self) -> None:
        if self._data[self.at :].strip(b"\0"):
            raise bad()

    def _lines(self, end: int | None) -> Fields:
        found: list[tuple[bytes, bytes]] = []
        start = self.at
        while self.at != end:
            name = self.sized()
            if end is None and not name:
                break
            value = self.sized()
            if not TOKEN.fullmatch(name) or not VALUE.fullmatch(value) or value != value.strip(b" \t"):
                raise bad()
            found.append((name, value))
            if len(found) > MAX_FIELDS or self.at - start > MAX_HEAD or (end is not None and self.at > end):
                raise bad()
        return tuple(found)

    def _missing(self) -> Exception:
        return bad() if self._whole else _Short()


def _sized(data: bytes) -> bytes:
    return varint.encode(len(data)) + data


def _lines(fields: Fields) -> bytes:
    out = []
    for name, value in fields:
        if not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise bad()
        out.append(_sized(name) + _sized(value))
    return b"".join(out)


def _section(fields: Fields) -> bytes:
    return _sized(_lines(fields))
