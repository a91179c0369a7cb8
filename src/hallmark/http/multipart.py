"""multipart/form-data (RFC 7578): read as it comes, where nothing is kept but what may be part of a
delimiter; read whole, within bounds; and written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias
from urllib.parse import unquote

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256

MOST_HEAD: Final = 80 * 1024
MOST_PARTS: Final = 32
MOST_PART: Final = 8 << 20
PIECE: Final = 64 * 1024
TYPE: Final = re.compile(r'multipart/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.I)
NAME: Final = re.compile(r';\s*name="((?:[^"\\]|\\.)*)"', re.I | re.S)
NAME_EXTENDED: Final = re.compile(r";\s*name\*=utf-8'[^';]*'([^;\s]+)", re.I)
DISPOSITION: Final = re.compile(r"content-disposition\s*:\s*form-data\s*(;.*)", re.I | re.S)
ESCAPED: Final = re.compile(r'\\(["\\])|%(22|0D|0A)', re.I)

Event: TypeAlias = str | bytes
"""A part's name where it begins, then its bytes."""


class Multipart:
    """A body that is fed in pieces; `done` is whether its last delimiter has come."""

    def __init__(self, content_type: bytes) -> None:
        """Raises InvalidInput `bad_multipart` for another media type, or one without a boundary."""
        found = TYPE.match(content_type.decode("latin-1"))
        if found is None:
            raise malformed("The body is multipart/form-data with a boundary.")
        self._delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
        self._rest, self._state = b"\r\n", "preamble"

    @property
    def opening(self) -> bytes:
        """How a body begins that has nothing before its first part."""
        return self._delimiter[2:] + b"\r\n"

    @property
    def done(self) -> bool:
        """Whether the body was complete."""
        return self._state == "epilogue"

    def feed(self, data: bytes) -> Iterator[Event]:
        """What the next bytes bring. Raises InvalidInput `bad_multipart`."""
        self._rest += data
        while True:
            before = (self._state, len(self._rest))
            if self._state in ("preamble", "part"):
                body = self._until_delimiter()
                if body and self._state != "preamble":
                    yield body
            if self._state == "delimiter":
                self._after_delimiter()
            if self._state == "head":
                name = self._head()
                if name is not None:
                    yield name
            if self._state == "epilogue":
                self._rest = b""
            if before == (self._state, len(self._rest)):
                return

    def _until_delimiter(self) -> bytes:
        at = self._rest.find(self._delimiter)
        if at >= 0:
            body, self._rest = self._rest[:at], self._rest[at + len(self._delimiter) :]
            ended, self._state = self._state, "delimiter"
            return b"" if ended == "preamble" else body
        keep = max(len(self._rest) - len(self._delimiter) + 1, 0)
        body, self._rest = self._rest[:keep], self._rest[keep:]
        return body

    def _after_delimiter(self) -> None:
        if self._rest.startswith(b"--"):
            self._state = "epilogue"
            return
        padding = self._rest.lstrip(b" \t")
        if padding.startswith(b"\r\n"):
            self._rest, self._state = padding, "head"
        elif len(padding) >= 2 or len(self._rest) > MOST_HEAD:
            raise malformed("A boundary is followed by something else than a part.")

    def _head(self) -> str | None:
        """The name of the part whose head has come. The line break behind the delimiter begins it."""
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            if len(self._rest) > MOST_HEAD:
                raise malformed("The head of a part is too long.")
            return None
        head, self._rest = self._rest[:end], self._rest[end + 4 :]
        self._state = "part"
        return _name(head)


def _name(head: bytes) -> str:
    try:
        lines = re.sub(r"\r\n[ \t]+", " ", head.decode()).split("\r\n")
        found = next((match for line in lines if (match := DISPOSITION.fullmatch(line))), None)
        if found is None:
            raise malformed("A part has no Content-Disposition: form-data.")
        extended = NAME_EXTENDED.search(found[1])
        if extended is not None:
            return unquote(extended[1], errors="strict")
        quoted = NAME.search(found[1])
    except UnicodeDecodeError as error:
        raise malformed("The name of a part is not UTF-8.") from error
    if quoted is None:
        raise malformed("A part has no name.")
    return ESCAPED.sub(lambda match: match[1] or chr(int(match[2], 16)), quoted[1])


class FormPart(msgspec.Struct, frozen=True):
    """One part of a form that is written; with `kind`, its media type, it is a file of the name `file`."""

    name: str
    data: bytes
    kind: str = ""
    file: str = ""


def read_form(content_type: bytes, body: bytes) -> list[tuple[str, bytes]]:
    """The parts of a whole form, name and bytes, in order.

    The body begins with its boundary, so that its bytes say by themselves what they mean, whatever the header
    that came with them said. Raises InvalidInput `bad_multipart`, `too_many_parts`, `part_too_large`.
    """
    form = Multipart(content_type)
    if not body.startswith(form.opening):
        raise malformed("The form does not begin with the boundary that its Content-Type names.")
    parts: list[tuple[str, bytearray]] = []
    for at in range(0, len(body), PIECE):
        for event in form.feed(body[at : at + PIECE]):
            if isinstance(event, str):
                parts.append((event, bytearray()))
            else:
                parts[-1][1].extend(event)
            if len(parts) > MOST_PARTS:
                raise InvalidInput("too_many_parts", f"A form here has at most {MOST_PARTS} parts.")
            if len(parts[-1][1]) > MOST_PART:
                raise InvalidInput("part_too_large", f"A part of a form has at most {MOST_PART >> 20} MiB.")
    if not form.done:
        raise malformed("The form ends before its last boundary.")
    return [(name, bytes(data)) for name, data in parts]


def write_form(parts: Sequence[FormPart]) -> tuple[bytes, bytes]:
    """Content-Type and body of a form. Its boundary is a digest of the parts, so no part can hold it. Names
    are the program's own: they are written as they are.
    """
    boundary = b"hallmark-" + sha256(*(sha256(part.data) for part in parts))[:16].hex().encode()
    pieces = []
    for part in parts:
        head = f'Content-Disposition: form-data; name="{part.name}"'
        head += f'; filename="{part.file}"\r\nContent-Type: {part.kind}' if part.kind else ""
        pieces.append(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head.encode(), part.data))
    return b"multipart/form-data; boundary=" + boundary, b"".join(pieces) + b"--%b--\r\n" % boundary


def malformed(message: str) -> InvalidInput:
    """The error for a body that is no form."""
    return InvalidInput("bad_multipart", message, "Send it as curl -F or any HTTP library does.")
