"""Whatever is done to sealed bytes on their way: whole chunks that came first, then the right error; never a
wrong chunk, never a short answer that looks whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.crypto import hpke
from hallmark.privacy import binary_http, ohttp, padding, varint

KEY = hpke.X25519Key(bytes(range(32)))
CONFIGURATION = ohttp.KeyConfiguration(5, hpke.KEM_X25519, KEY.public, ((hpke.KDF_SHA256, hpke.AEAD_AES128),))
EPHEMERAL = bytes(range(32, 64))
NONCE = bytes(range(16))
QUICK = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
PARTS = st.lists(st.binary(min_size=1, max_size=90), min_size=1, max_size=6)


def exchange(parts: list[bytes], *, nonce: bytes = NONCE) -> tuple[list[bytes], ohttp.ResponseReader]:
    """A response as pieces (nonce, chunks, final chunk), and what opens it."""
    client = ohttp.ClientRequest(CONFIGURATION, ephemeral=EPHEMERAL)
    server = ohttp.ServerRequest({5: KEY})
    server.feed(client.header + client.seal(b"?", final=True))
    server.end()
    writer = server.response(lambda size: nonce[:size])
    pieces = [writer.header, *map(writer.seal, parts[:-1]), writer.seal(parts[-1], final=True)]
    return pieces, client.response()


def opened(reader: Any, data: bytes, chance: random.Random) -> tuple[list[bytes], str]:
    """What comes out of bytes that are split anywhere, and the reason of the error that ends them, or ""."""
    found: list[bytes] = []
    try:
        at = 0
        while at < len(data):
            size = chance.choice((1, 3, 20, 200, 5000))
            found += reader.feed(data[at : at + size])
            at += size
        found += reader.end()
    except VerificationFailed as error:
        return found, error.reason
    return found, ""


@QUICK
@given(parts=PARTS, seed=st.integers(0, 2**32))
def test_splits(parts: list[bytes], seed: int) -> None:
    """Any split gives the same chunks."""
    pieces, reader = exchange(parts)
    assert opened(reader, b"".join(pieces), random.Random(seed)) == (parts, "")


def outcome(reader: ohttp.ResponseReader, pieces: list[bytes]) -> tuple[list[bytes], str, str]:
    """What comes out of pieces as they are, the reason of the error that ends them, and of the one after."""
    found: list[bytes] = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
        found += reader.end()
    except VerificationFailed as error:
        with pytest.raises(VerificationFailed) as again:
            reader.feed(b"\x40\x50" + bytes(80))
        return found, error.reason, again.value.reason
    return found, "", ""


@QUICK
@given(
    parts=st.lists(st.binary(min_size=40, max_size=90), min_size=3, max_size=5),
    place=st.integers(1, 3),
    change=st.sampled_from(("none", "bit", "length", "twice", "left out", "cut", "long", "two")),
)
def test_a_piece_that_is_one_chunk_fares_as_its_bytes_do(parts: list[bytes], place: int, change: str) -> None:
    """Streams bring chunks whole, and those are read in a shorter way: the same comes of them."""
    pieces, whole = exchange(parts)
    _, single = exchange(parts)
    at = min(place, len(pieces) - 2)
    piece = pieces[at]
    pieces[at : at + 1] = {
        "none": [piece],
        "bit": [piece[:-1] + bytes([piece[-1] ^ 1])],
        "length": [piece[:1] + bytes([piece[1] ^ 1]) + piece[2:]],
        "twice": [piece, piece],
        "left out": [],
        "cut": [piece[:-1]],
        "long": [piece + b"\0"],
        "two": [piece + pieces[at + 1]],
    }[change]
    if change == "two":
        del pieces[at + 1]
    bytewise = [bytes([byte]) for byte in b"".join(pieces)]
    assert outcome(whole, pieces) == outcome(single, bytewise)


@QUICK
@given(parts=PARTS, cut=st.integers(1, 10_000), seed=st.integers(0, 2**32))
def test_truncation(parts: list[bytes], cut: int, seed: int) -> None:
    """However much is missing at the end: whole chunks, then an error."""
    pieces, reader = exchange(parts)
    whole = b"".join(pieces)
    found, reason = opened(reader, whole[: max(0, len(whole) - cut)], random.Random(seed))
    assert reason in ("sealed_truncated", "sealed_tampered")
    assert found == parts[: len(found)]
    assert len(found) < len(parts)


def _swap(pieces: list[bytes], at: int, to: int) -> list[bytes]:
    changed = list(pieces)
    changed[at], changed[to] = changed[to], changed[at]
    return changed


CHANGES: dict[str, Callable[[list[bytes], int, int], list[bytes]]] = {
    "another order": _swap,
    "twice": lambda pieces, at, to: [*pieces[: at + 1], *pieces[at:]],
    "left out": lambda pieces, at, to: [*pieces[:at], *pieces[at + 1 :]],
    "moved to the end": lambda pieces, at, to: [*pieces[:at], *pieces[at + 1 :], pieces[at]],
    "a wrong final mark": lambda pieces, at, to: [
        *pieces[:at],
        b"\0" + pieces[at][varint_size(pieces[at]) :],
    ],
    "no final mark": lambda pieces, at, to: [
        *pieces[:-1],
        varint.encode(len(pieces[-1]) - 1) + pieces[-1][1:],
    ],
    "followed by more": lambda pieces, at, to: [*pieces, b"\0" * (to + 1)],
}


def varint_size(piece: bytes) -> int:
    """Bytes of a chunk's length."""
    read = varint.decode(piece, 0)
    assert read is not None
    return read[1]


@pytest.mark.parametrize("change", CHANGES)
@QUICK
@given(
    parts=st.lists(st.binary(min_size=1, max_size=90), min_size=3, max_size=6, unique=True),
    places=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    seed=st.integers(0, 2**32),
)
def test_chunks_moved(change: str, parts: list[bytes], places: tuple[int, int], seed: int) -> None:
    """Chunks before the change open; nothing after it does, and the end is an error."""
    pieces, reader = exchange(parts)
    at, to = (1 + place % (len(parts) - 1) for place in places)
    changed = CHANGES[change](pieces, at, to)
    if changed == pieces:
        return
    found, reason = opened(reader, b"".join(changed), random.Random(seed))
    assert reason in ("sealed_truncated", "sealed_tampered")
    assert found == parts[: len(found)]


@QUICK
@given(parts=PARTS, bit=st.integers(0, 100_000), seed=st.integers(0, 2**32))
def test_bits(parts: list[bytes], bit: int, seed: int) -> None:
    """One bit anywhere."""
    pieces, reader = exchange(parts)
    data = bytearray(b"".join(pieces))
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    found, reason = opened(reader, bytes(data), random.Random(seed))
    assert reason in ("sealed_truncated", "sealed_tampered")
    assert found == parts[: len(found)]


@QUICK
@given(parts=PARTS, seed=st.integers(0, 2**32))
def test_swapped_nonces(parts: list[bytes], seed: int) -> None:
    """Another response's nonce, with this one's chunks."""
    pieces, _ = exchange(parts)
    others, reader = exchange(parts, nonce=bytes(16))
    assert opened(reader, b"".join([others[0], *pieces[1:]]), random.Random(seed)) == ([], "sealed_tampered")


@QUICK
@given(size=st.integers(101, 1 << 30), last=st.booleans())
def test_oversize(size: int, last: bool) -> None:
    """A chunk that says to be, or is, longer than allowed is refused as soon as that shows."""
    client = ohttp.ClientRequest(CONFIGURATION, ephemeral=EPHEMERAL)
    reader = client.response(most=100)
    data = NONCE + (b"\0" + bytes(117) if last else varint.encode(size + hpke.TAG))
    with pytest.raises(VerificationFailed) as caught:
        reader.feed(data)
    assert caught.value.reason == "sealed_tampered"


def test_an_answers_chunk_is_a_frame_at_most() -> None:
    """By default a client holds no more than the largest frame for an answer in chunks."""
    reader = ohttp.ClientRequest(CONFIGURATION, ephemeral=EPHEMERAL).response()
    largest = binary_http.content_piece(padding.frame(bytes(padding.LARGEST_FRAME - padding.LENGTH)))
    assert len(largest) <= ohttp.RESPONSE_CHUNK
    assert reader.feed(NONCE + varint.encode(len(largest) + hpke.TAG)) == []
    with pytest.raises(VerificationFailed):
        ohttp.ClientRequest(CONFIGURATION, ephemeral=EPHEMERAL).response().feed(
            NONCE + varint.encode(ohttp.RESPONSE_CHUNK + hpke.TAG + 1)
        )


def test_good_chunks_before_a_bad_one_come_out_in_one_feed_as_in_many() -> None:
    """What is given out does not depend on how the relay cuts the bytes."""
    pieces, reader = exchange([b"one", b"two", b"three"])
    bad = bytearray(pieces[2])
    bad[-1] ^= 1
    assert reader.feed(pieces[0] + pieces[1] + bytes(bad)) == [b"one"]
    for attempt in (lambda: reader.feed(pieces[2]), reader.end, reader.end):
        with pytest.raises(VerificationFailed) as caught:
            attempt()
        assert caught.value.reason == "sealed_tampered"


def test_nothing_opens_after_an_end() -> None:
    """Neither more bytes nor another end."""
    pieces, reader = exchange([b"one", b"two"])
    assert [*reader.feed(b"".join(pieces)), *reader.end()] == [b"one", b"two"]
    with pytest.raises(VerificationFailed):
        reader.feed(b"more")
    with pytest.raises(VerificationFailed):
        reader.end()


def test_slow_bytes_are_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come one by one cost a client as much as there are, not as much as their square."""
    looked = 0
    decode = varint.decode

    def counting(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
        nonlocal looked
        looked += 1
        return decode(data, at)

    monkeypatch.setattr(varint, "decode", counting)
    fields = tuple((b"name-%d" % number, b"x" * 300) for number in range(200))
    data = binary_http.start_response(200, fields) + binary_http.content_piece(bytes(5000)) + binary_http.END
    parser = binary_http.ResponseParser()
    for at in range(len(data)):
        parser.feed(data[at : at + 1])
    parser.end()
    assert looked < 2000
    pieces, reader = exchange([bytes(20_000)] * 3)
    looked = 0
    sealed = b"".join(pieces)
    for at in range(len(sealed)):
        reader.feed(sealed[at : at + 1])
    assert len(reader.end()) == 1
    assert looked < 20


@pytest.mark.parametrize("status", [-1, 99, 199, 600, 1 << 62])
def test_statuses_that_are_none(status: int) -> None:
    """Are not written, and end in our own error."""
    with pytest.raises(InvalidInput):
        binary_http.encode_response(binary_http.Response(status))
    with pytest.raises(InvalidInput):
        binary_http.start_response(status, ())


@pytest.mark.parametrize(
    "change",
    [
        {"method": b"G T"},
        {"method": b""},
        {"scheme": b"ftp"},
        {"authority": b"a b"},
        {"path": b"*abc"},
        {"path": b""},
        {"headers": ((b"a", b" x"),)},
        {"headers": ((b"A", b"x"),)},
        {"headers": ((b":path", b"x"),)},
        {"trailers": ((b"a", b"x\n"),)},
        {"headers": ((b"a", b"b"),) * 257},
    ],
    ids=str,
)
def test_what_would_be_refused_is_not_written(change: dict[str, Any]) -> None:
    """Both ends know the same messages."""
    plain: dict[str, Any] = {"method": b"GET", "scheme": b"https", "authority": b"a", "path": b"/"}
    with pytest.raises(InvalidInput):
        binary_http.encode_request(binary_http.Request(**{**plain, **change}))


def test_responses_without_content_have_none() -> None:
    """204 and 304 are neither written nor read with content."""
    for status in (204, 304):
        with pytest.raises(InvalidInput):
            binary_http.encode_response(binary_http.Response(status, (), b"x"))
        parser = binary_http.ResponseParser()
        with pytest.raises(InvalidInput):
            parser.feed(binary_http.start_response(status, ()) + binary_http.content_piece(b"x"))


@QUICK
@given(
    method=st.sampled_from((b"GET", b"POST", b"M-SEARCH")),
    path=st.from_regex(rb"/[!-~]{0,40}", fullmatch=True),
    fields=st.lists(
        st.tuples(
            st.from_regex(rb"[a-z0-9-]{1,20}", fullmatch=True), st.from_regex(rb"[!-~]{0,50}", fullmatch=True)
        ),
        max_size=8,
    ),
    content=st.binary(max_size=3000),
)
def test_requests_there_and_back(method: bytes, path: bytes, fields: Any, content: bytes) -> None:
    """What is written is read as it was, padded too."""
    request = binary_http.Request(method, b"https", b"node", path, tuple(fields), content, tuple(fields[:2]))
    padded = padding.pad_request(binary_http.encode_request(request))
    assert binary_http.decode_request(padded) == request
    assert len(padded) == padding.request_class(len(padded))


@QUICK
@given(
    pieces=st.lists(st.binary(max_size=3000), max_size=5),
    seed=st.integers(0, 2**32),
    bit=st.integers(-1, 9999),
)
def test_frames(pieces: list[bytes], seed: int, bit: int) -> None:
    """Frames in any split give their data; changed ones give a beginning of something, or an error."""
    data = bytearray(b"".join(map(padding.frame, pieces)))
    if bit >= 0 and data:
        data[bit // 8 % len(data)] ^= 1 << bit % 8
    reader, reason = padding.FrameReader(), ""
    found: list[bytes] = []
    try:
        drip(reader, bytes(data), random.Random(seed), found)
    except HallmarkError as error:
        reason = error.reason
    if bit < 0 or not data:
        assert (b"".join(found), reason) == (b"".join(pieces), "")
    else:
        assert reason in ("", "bad_padding")


def drip(reader: padding.FrameReader, data: bytes, chance: random.Random, found: list[bytes]) -> None:
    """Read it all in pieces of any size."""
    at = 0
    while at < len(data):
        size = chance.choice((1, 7, 300, 5000))
        found.append(reader.feed(data[at : at + size]))
        at += size
    reader.end()
