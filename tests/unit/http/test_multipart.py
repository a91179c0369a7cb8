"""Forms that come in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.http.multipart import MOST_PART, MOST_PARTS, FormPart, Multipart, read_form, write_form

TYPE = b"multipart/form-data; boundary=xYz"


def read(body: bytes, cut: int = 1 << 20, content_type: bytes = TYPE) -> list[tuple[str, bytes]]:
    """The parts of a body that comes in pieces; it must be complete."""
    form, parts = Multipart(content_type), list[tuple[str, bytes]]()
    for at in range(0, len(body), cut):
        for event in form.feed(body[at : at + cut]):
            if isinstance(event, str):
                parts.append((event, b""))
            else:
                parts[-1] = (parts[-1][0], parts[-1][1] + event)
    if not form.done:
        raise InvalidInput("bad_multipart", "not done")
    return parts


def body_of(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A form's body."""
    return (
        b"".join(
            b'--xYz\r\nContent-Disposition: form-data; filename="f"; name="' + name + b'"\r\n'
            b"Content-Type: text/plain\r\n\r\n" + data + b"\r\n"
            for name, data in parts
        )
        + b"--xYz--\r\n"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b c", "ü".encode()]),
            st.lists(st.sampled_from([b"\r\n", b"--", b"xYz", b"\r\n--xY", b"\0", b"text"])).map(b"".join),
        ),
        max_size=4,
    ),
    st.integers(1, 60),
)
def test_pieces_do_not_matter(parts: list[tuple[bytes, bytes]], cut: int) -> None:
    """What looks like a delimiter and is none belongs to the part, wherever the pieces are cut."""
    parts = [(name, data.replace(b"\r\n--xYz", b"")) for name, data in parts]
    assert read(body_of(parts), cut) == [(name.decode(), data) for name, data in parts]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'content-disposition:form-data; name="a"', "a"),
        (b'Content-Disposition: form-data; name="a\\"b\\\\"', 'a"b\\'),
        (b'Content-Disposition: form-data; name="a%22b%0D%0A"', 'a"b\r\n'),
        (b"Content-Disposition: form-data; name*=utf-8''%C3%BC", "ü"),
        (b'X: y\r\nContent-Disposition: form-data;\r\n name="folded"', "folded"),
        (b'Content-Disposition: form-data; filename="name=x"; name="real"', "real"),
    ],
)
def test_names(head: bytes, name: str) -> None:
    """Names as curl, browsers and Python's libraries write them."""
    assert read(b"preamble\r\n--xYz  \r\n" + head + b"\r\n\r\nbody\r\n--xYz--") == [(name, b"body")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xYz\r\n",
        b'--xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf',
        b"--xYz\r\n\r\nno head\r\n--xYz--",
        b"--xYz\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--xYz--",
        b'--xYz\r\nContent-Disposition: attachment; name="a"\r\n\r\n\r\n--xYz--',
        b'--xYz\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\r\n--xYz--',
        b"--xYzz\r\n",
        b"--xYz\r\nX: " + b"y" * 100_000,
    ],
)
def test_what_is_no_form_has_a_reason(body: bytes) -> None:
    """A body that ends early, parts without a name, heads without end."""
    with pytest.raises(InvalidInput) as error:
        read(body)
    assert error.value.reason == "bad_multipart"


@pytest.mark.parametrize(
    "content_type", [b"", b"text/plain", b"multipart/form-data", b"multipart/mixed; boundary=x"]
)
def test_another_type_has_a_reason(content_type: bytes) -> None:
    """No form without a boundary."""
    with pytest.raises(InvalidInput) as error:
        Multipart(content_type)
    assert error.value.reason == "bad_multipart"


def form(*parts: tuple[str, bytes]) -> tuple[bytes, bytes]:
    """A written form of these parts."""
    return write_form([FormPart(name, data) for name, data in parts])


def test_what_is_written_is_read() -> None:
    """Parts and files come back as they were, also those that hold another form."""
    inner = form(("a", b"1"))[1]
    parts = [FormPart("a", b""), FormPart("b[]", inner), FormPart("c", b"\r\n--", "image/png", "c.png")]
    kind, body = write_form(parts)
    assert read_form(kind, body) == [(part.name, part.data) for part in parts]
    assert b'name="c"; filename="c.png"\r\nContent-Type: image/png\r\n\r\n' in body


def test_a_whole_form_is_bounded_complete_and_says_its_boundary_itself() -> None:
    """Too many parts, one too large, an end that comes too early, and bytes before the first boundary."""
    kind, body = form(("a", b"1"))
    many, large = form(*[("a", b"")] * (MOST_PARTS + 1)), form(("a", bytes(MOST_PART + 1)))
    most = form(("a", bytes(MOST_PART)), *[("b", b"")] * (MOST_PARTS - 1))
    assert len(read_form(*most)) == MOST_PARTS
    for reason, data in [
        ("too_many_parts", many),
        ("part_too_large", large),
        ("bad_multipart", (kind, body[:-4])),
        ("bad_multipart", (kind, b"\r\n" + body)),
        ("bad_multipart", (kind[:-1], body)),
        ("bad_multipart", (b"application/json", b"{}")),
    ]:
        with pytest.raises(InvalidInput) as error:
            read_form(*data)
        assert error.value.reason == reason
