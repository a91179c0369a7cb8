"""Vectors of Binary HTTP: requests and responses of both forms, and such as are refused."""

from __future__ import annotations

from typing import Any

from hallmark.privacy import binary_http, varint

REQUEST = binary_http.Request(
    b"POST",
    b"https",
    b"node.example",
    b"/v1/chat/completions?a=b",
    ((b"content-type", b"application/json"), (b"x-twice", b"1"), (b"x-twice", b"2")),
    b'{"model":"tiny"}',
    ((b"x-after", b""),),
)


def request_vectors() -> dict[str, Any]:
    """Binary HTTP requests of both forms, padded and cut short; and such as are refused."""
    known = binary_http.encode_request(REQUEST)
    control = b"".join(map(_sized, (b"POST", b"https", b"node.example", b"/v1/chat/completions?a=b")))
    indeterminate = b"\2" + control + _lines(REQUEST.headers) + b"\0"
    indeterminate += _sized(REQUEST.content[:5]) + _sized(REQUEST.content[5:]) + b"\0"
    indeterminate += _lines(REQUEST.trailers) + b"\0"
    bare = binary_http.Request(b"GET", b"https", b"", b"/")
    start = b"\0\3GET\5https\0\1/"
    valid = [
        ("known length", known, REQUEST),
        ("known length, padded", known + bytes(40), REQUEST),
        ("indeterminate length", indeterminate, REQUEST),
        ("indeterminate length, padded", indeterminate + bytes(3), REQUEST),
        ("empty parts left out", start, bare),
        ("empty parts", start + b"\0\0\0", bare),
        ("indeterminate, empty parts left out", b"\2" + start[1:], bare),
        ("numbers in longer forms than they need", b"\x40\0\x40\3GET\x80\0\0\5https\0\1/", bare),
    ]

    def request(
        method: bytes = b"GET", scheme: bytes = b"https", path: bytes = b"/", rest: bytes = b""
    ) -> bytes:
        return b"\0" + _sized(method) + _sized(scheme) + _sized(b"node.example") + _sized(path) + rest

    def field(name: bytes, value: bytes) -> bytes:
        return request(rest=_sized(_sized(name) + _sized(value)))

    invalid = [
        ("nothing", b""),
        ("a response", binary_http.encode_response(binary_http.Response(200))),
        ("another form", b"\4" + known[1:]),
        ("cut off in the path", known[:30]),
        ("cut off in the content", known[: known.index(b"tiny")]),
        ("no zero behind the pieces", indeterminate[: indeterminate.index(b"tiny") + 6]),
        ("no zero behind the headers", b"\2" + control + _lines(REQUEST.headers)),
        ("no zero behind the trailers", indeterminate[:-1]),
        ("padding that is not zero", known + b"\0\0\1"),
        ("a method with a space", request(method=b"G T")),
        ("no method", request(method=b"")),
        ("CONNECT", request(method=b"CONNECT")),
        ("a foreign scheme", request(scheme=b"ftp")),
        ("a path that does not begin with a slash", request(path=b"*abc")),
        ("no path", request(path=b"")),
        ("a star for another method than OPTIONS", request(path=b"*")),
        ("a space in the path", request(path=b"/a b")),
        ("a name in capitals", field(b"Host", b"x")),
        ("no name", field(b"", b"x")),
        ("a pseudo-field", field(b":path", b"/x")),
        ("a value with a line end", field(b"a", b"x\r\ny")),
        ("a value with a space before it", field(b"a", b" x")),
        ("a value with a tab behind it", field(b"a", b"x\t")),
        ("a section that ends within a field", request(rest=b"\3\1a\5x")),
        ("257 fields", request(rest=_sized((_sized(b"a") + _sized(b"b")) * 257))),
    ]
    return {
        "valid": [
            {
                "why": why,
                "bytes": data.hex(),
                "method": wanted.method.decode(),
                "scheme": wanted.scheme.decode(),
                "authority": wanted.authority.decode(),
                "path": wanted.path.decode(),
                "headers": _shown(wanted.headers),
                "content": wanted.content.hex(),
                "trailers": _shown(wanted.trailers),
                "encoded": why == "known length",
            }
            for why, data, wanted in valid
        ],
        "invalid": [{"why": why, "bytes": data.hex(), "reason": "bad_binary_http"} for why, data in invalid],
    }


def response_vectors() -> dict[str, Any]:
    """Binary HTTP responses likewise. `content` of a refused one is what is read before that."""
    headers = ((b"content-type", b"text/plain"), (b"x", b""))
    whole = binary_http.Response(200, headers, b"an answer", ((b"x-after", b"1"),))
    known = binary_http.encode_response(whole)
    start = b"\3\x40\xc8" + _lines(headers) + b"\0"
    pieces = start + _sized(b"an ") + _sized(b"answer") + b"\0"
    indeterminate = pieces + _lines(whole.trailers) + b"\0"
    interim = b"\3\x40\x67" + _lines(((b"link", b"</a>"),)) + b"\0\x40\x64\0" + indeterminate[1:]
    empty = binary_http.Response(204, headers)
    valid = [
        ("known length", known, whole),
        ("indeterminate length", indeterminate, whole),
        ("interim responses before it", interim, whole),
        ("interim responses before it, known length", b"\1\x40\x64\0" + known[1:], whole),
        ("padded", indeterminate + bytes(9), whole),
        ("204", binary_http.encode_response(empty), empty),
        ("304 of indeterminate length", b"\3\x41\x30\0\0\0", binary_http.Response(304)),
        ("empty parts left out", b"\1\x40\xc8", binary_http.Response(200)),
        ("indeterminate, empty parts left out", start, binary_http.Response(200, headers)),
        ("no trailers", pieces, binary_http.Response(200, headers, b"an answer")),
    ]
    invalid = [
        ("nothing", b"", b""),
        ("a request", binary_http.encode_request(REQUEST), b""),
        ("only an interim response", b"\1\x40\x64\0", b""),
        ("a status of 99", b"\1\x40\x63\0", b""),
        ("a status of 600", b"\1\x42\x58\0", b""),
        ("33 interim responses", b"\1" + b"\x40\x64\0" * 33 + known[1:], b""),
        ("no zero behind a piece", start + _sized(b"an "), b"an "),
        ("a piece cut off", start + b"\4an ", b"an "),
        ("content cut off", known[: known.index(b"answer") + 3], b"an ans"),
        ("no zero behind the trailers", pieces + _lines(whole.trailers), b"an answer"),
        ("padding that is not zero", indeterminate + b"\1", b"an answer"),
        ("204 with content", b"\1\x40\xcc\0\1x", b""),
        ("304 with a piece", b"\3\x41\x30\0\1x\0\0", b""),
        ("a name in capitals", b"\1\x40\xc8\5\1A\1bc", b""),
        ("a value with a space behind it", b"\3\x40\xc8\1a\2b \0\0\0", b""),
    ]
    return {
        "valid": [
            {
                "why": why,
                "bytes": data.hex(),
                "status": wanted.status,
                "headers": _shown(wanted.headers),
                "content": wanted.content.hex(),
                "trailers": _shown(wanted.trailers),
                "encoded": why == "known length",
            }
            for why, data, wanted in valid
        ],
        "invalid": [
            {"why": why, "bytes": data.hex(), "content": content.hex(), "reason": "bad_binary_http"}
            for why, data, content in invalid
        ],
    }


def _sized(data: bytes) -> bytes:
    return varint.encode(len(data)) + data


def _lines(fields: binary_http.Fields) -> bytes:
    return b"".join(_sized(name) + _sized(value) for name, value in fields)


def _shown(fields: binary_http.Fields) -> list[list[str]]:
    return [[name.decode(), value.decode()] for name, value in fields]
