"""Binary HTTP (RFC 9292): requests and responses as bytes, in both forms.

    known length            varint 0 | 1, then every part behind its length
    indeterminate length    varint 2 | 3, then fields and content in pieces, each list ended by a zero

A request is read whole, a response as it comes. Parts at the end that are empty may be left out (section
3.8), but no list of pieces may stop before its zero; what follows the message must be zeros, and is padding.
Fields keep their order, and those that repeat stay several. Interim responses are read and passed over.

What is read is what can be written: both ends refuse the same methods, targets, statuses and fields. That is
less than the RFC lets through (no pseudo-fields, no CONNECT, no content with 204 and 304), and nothing that
an HTTP server would take as something else.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Final, TypeVar

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.privacy import varint

KNOWN_REQUEST, KNOWN_RESPONSE, REQUEST, RESPONSE = range(4)
MAX_FIELDS: Final = 256
MAX_INTERIM: Final = 32
MAX_HEAD: Final = 256 << 10
"""Bytes of one field section, as many as our servers take of a head."""
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE: Final = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
"""Without white space around it."""
METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
AUTHORITY: Final = re.compile(rb"[\x21-\x7e]*")
PATH: Final = re.compile(rb"/[\x21-\x7e]*")
SCHEMES: Final = (b"https", b"http")
WITHOUT_CONTENT: Final = (204, 304)

Fields = tuple[tuple[bytes, bytes], ...]
_T = TypeVar("_T")
_Steps = Generator[None, None, _T]
"""Reads something; yields while it is not all there."""


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
    control = (request.method, request.scheme, request.authority, request.path)
    _check_control(*control)
    tail = _section(request.headers) + _sized(request.content) + _section(request.trailers)
    return bytes((KNOWN_REQUEST,)) + b"".join(map(_sized, control)) + tail


def decode_request(data: bytes) -> Request:
    """Read a request, of either form, that is all there. Raises InvalidInput `bad_binary_http`."""
    source = _Source(data, ended=True)
    return _now(_request(source))


def encode_response(response: Response) -> bytes:
    """The known-length form. Raises InvalidInput `bad_binary_http`."""
    _check_status(response.status, content=bool(response.content))
    tail = _section(response.headers) + _sized(response.content) + _section(response.trailers)
    return bytes((KNOWN_RESPONSE,)) + varint.encode(response.status) + tail


def decode_response(data: bytes) -> Response:
    """Read a response, of either form, that is all there. Raises InvalidInput `bad_binary_http`."""
    parser = ResponseParser()
    content = parser.feed(data)
    parser.end()
    return Response(parser.status, parser.headers, content, parser.trailers)


def start_response(status: int, headers: Fields) -> bytes:
    """The beginning of a response of indeterminate length: `content_piece`s follow, then `END`.

    Raises InvalidInput `bad_binary_http`.
    """
    _check_status(status, content=False)
    return bytes((RESPONSE,)) + varint.encode(status) + _lines(headers) + b"\0"


def content_piece(data: bytes) -> bytes:
    """A piece of content; nothing for no bytes, as a zero ends it."""
    return _sized(data) if data else b""


END: Final = b"\0\0"
"""The end of the content and of (no) trailers."""


class ResponseParser:
    """Reads a response as it comes, each byte once. `status` is 0 until the head of the final response is
    there.

    How much content is given out does not depend on how the bytes were split: content that stands before
    bytes that cannot be read is still given out, and the next call raises.
    """

    def __init__(self) -> None:
        self._source = _Source(b"")
        self._steps = self._read()
        self._content = bytearray()
        self._failure: HallmarkError | None = None
        self.status = 0
        self.headers: Fields = ()
        self.trailers: Fields = ()

    def feed(self, data: bytes) -> bytes:
        """The content that is there now. Raises InvalidInput `bad_binary_http`."""
        self._source.feed(data)
        self._run()
        content = bytes(self._content)
        self._content.clear()
        if self._failure is not None and not content:
            raise self._failure
        return content

    def end(self) -> None:
        """Nothing more comes. Raises InvalidInput `bad_binary_http` unless the response is whole."""
        self._source.ended = True
        self._run()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        if self._failure is None:
            try:
                next(self._steps, None)
            except HallmarkError as error:
                self._failure = error

    def _read(self) -> _Steps[None]:
        source = self._source
        form = yield from source.number()
        if form not in (KNOWN_RESPONSE, RESPONSE):
            raise bad()
        known = form == KNOWN_RESPONSE
        for _ in range(MAX_INTERIM + 1):
            status = yield from source.number()
            if not 100 <= status < 600:
                raise bad()
            headers = yield from source.fields(known=known)
            if status >= 200:
                break
        else:
            raise bad()
        self.status, self.headers = status, headers
        yield from source.content(self._content, known=known, most=0 if status in WITHOUT_CONTENT else None)
        self.trailers = yield from source.fields(known=known)
        yield from source.padding()


def bad() -> HallmarkError:
    """Bytes that are no Binary HTTP."""
    return InvalidInput("bad_binary_http", "The message is not Binary HTTP (RFC 9292).")


class _Source:
    """Bytes that come in any pieces. Whoever needs more than there are yields, and is refused once they have
    ended; what was read is dropped.
    """

    def __init__(self, data: bytes, *, ended: bool = False) -> None:
        self._data, self._at, self.ended = bytearray(data), 0, ended

    def feed(self, data: bytes) -> None:
        del self._data[: self._at]
        self._at = 0
        self._data += data

    def number(self) -> _Steps[int]:
        while (read := varint.decode(self._data, self._at)) is None:
            yield from self._wait()
        value, self._at = read
        return value

    def sized(self, most: int) -> _Steps[bytes]:
        """Bytes behind their length."""
        size = yield from self.number()
        if size > most:
            raise bad()
        while len(self._data) - self._at < size:
            yield from self._wait()
        return self._taken(size)

    def fields(self, *, known: bool) -> _Steps[Fields]:
        """A field section; none where the message is over."""
        if (yield from self._over()):
            return ()
        if not known:
            return (yield from self._lines(zero=True))
        section = _Source((yield from self.sized(MAX_HEAD)), ended=True)
        return (yield from section._lines(zero=False))

    def content(self, out: bytearray, *, known: bool, most: int | None = None) -> _Steps[None]:
        """Put the content into `out`, as it comes; none where the message is over."""
        if (yield from self._over()):
            return
        while size := (yield from self.number()):
            if most is not None and size > most:
                raise bad()
            while size:
                while self._at == len(self._data):
                    yield from self._wait()
                piece = self._taken(min(size, len(self._data) - self._at))
                out += piece
                size -= len(piece)
            if known:
                return

    def padding(self) -> _Steps[None]:
        """Zeros to the end."""
        while True:
            if self._data.count(0, self._at) != len(self._data) - self._at:
                raise bad()
            self._at = len(self._data)
            if self.ended:
                return
            yield

    def _lines(self, *, zero: bool) -> _Steps[Fields]:
        """Fields up to a zero in place of a name, or up to the end."""
        found: list[tuple[bytes, bytes]] = []
        size = 0
        while zero or not (yield from self._over()):
            name = yield from self.sized(MAX_HEAD)
            if zero and not name:
                break
            found.append((name, (yield from self.sized(MAX_HEAD))))
            size += len(name) + len(found[-1][1])
            if len(found) > MAX_FIELDS or size > MAX_HEAD:
                raise bad()
        _check_fields(found)
        return tuple(found)

    def _over(self) -> _Steps[bool]:
        while self._at == len(self._data):
            if self.ended:
                return True
            yield
        return False

    def _wait(self) -> _Steps[None]:
        if self.ended:
            raise bad()
        yield

    def _taken(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        return bytes(memoryview(self._data)[start : self._at])


def _request(source: _Source) -> _Steps[Request]:
    form = yield from source.number()
    if form not in (KNOWN_REQUEST, REQUEST):
        raise bad()
    known = form == KNOWN_REQUEST
    method = yield from source.sized(MAX_HEAD)
    scheme = yield from source.sized(MAX_HEAD)
    authority = yield from source.sized(MAX_HEAD)
    path = yield from source.sized(MAX_HEAD)
    _check_control(method, scheme, authority, path)
    headers = yield from source.fields(known=known)
    content = bytearray()
    yield from source.content(content, known=known)
    trailers = yield from source.fields(known=known)
    yield from source.padding()
    return Request(method, scheme, authority, path, headers, bytes(content), trailers)


def _now(steps: _Steps[_T]) -> _T:
    """What steps come to that never wait."""
    try:
        next(steps)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    raise AssertionError("the source has ended")


def _check_control(method: bytes, scheme: bytes, authority: bytes, path: bytes) -> None:
    if not METHOD.fullmatch(method) or method == b"CONNECT" or scheme not in SCHEMES:
        raise bad()
    everything = method == b"OPTIONS" and path == b"*"
    if not AUTHORITY.fullmatch(authority) or not (everything or PATH.fullmatch(path)):
        raise bad()


def _check_status(status: int, *, content: bool) -> None:
    if not 200 <= status < 600 or (content and status in WITHOUT_CONTENT):
        raise bad()


def _check_fields(fields: Fields | list[tuple[bytes, bytes]]) -> None:
    if len(fields) > MAX_FIELDS or sum(len(name) + len(value) for name, value in fields) > MAX_HEAD:
        raise bad()
    for name, value in fields:
        if not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise bad()


def _sized(data: bytes) -> bytes:
    return varint.encode(len(data)) + data


def _lines(fields: Fields) -> bytes:
    _check_fields(fields)
    return b"".join([_sized(name) + _sized(value) for name, value in fields])


def _section(fields: Fields) -> bytes:
    return _sized(_lines(fields))
