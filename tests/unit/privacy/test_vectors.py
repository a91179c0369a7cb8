"""The shared vectors of sealed requests: what is taken is what they say, however it is split; what is refused
is refused with their reason, after as much as they say.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.documents import Sealing
from hallmark.core.errors import HallmarkError
from hallmark.crypto import hpke
from hallmark.privacy import binary_http, key_configurations, ohttp, padding

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "sealing.json").read_text(encoding="utf-8")
)
SECRET = bytes.fromhex(VECTORS["secret_key"])
SPLITS = (1, 2, 7, 50, 1 << 20)


def named(case: dict[str, Any]) -> str:
    """What a case is about."""
    return str(case["why"])


def read(feed: Callable[[bytes], list[bytes]], data: bytes, size: int) -> list[bytes]:
    """What comes out of pieces of a size."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return list(itertools.chain.from_iterable(map(feed, pieces)))


def drain(data: bytes, reader: Any, size: int, found: list[bytes]) -> None:
    """Read it all, and that nothing more comes."""
    for at in range(0, len(data), size):
        out = reader.feed(data[at : at + size])
        found += out if isinstance(out, list) else [out]
    reader.end()


def refused(case: dict[str, Any], data: bytes, reader: Any, size: int) -> list[bytes]:
    """What comes out until it is refused, with the case's reason."""
    found: list[bytes] = []
    with pytest.raises(HallmarkError) as caught:
        drain(data, reader, size, found)
    assert caught.value.reason == case["reason"]
    return found


@pytest.mark.parametrize("case", VECTORS["hpke"], ids=lambda case: f"{case['kem']:#x}-{case['aead']}")
def test_contexts(case: dict[str, Any]) -> None:
    """Messages in order and exported secrets, on both sides where the encapsulation can be fixed."""
    key, info = hpke.make_key(case["kem"], SECRET), bytes.fromhex(case["info"])
    enc = bytes.fromhex(case["encapsulated_key"])
    assert key.public.hex() == case["public_key"]
    opening = hpke.setup_receiver(key, enc, case["aead"], info)
    sealing = hpke.setup_receiver(key, enc, case["aead"], info)
    if case["ephemeral_secret_key"]:
        ephemeral = bytes.fromhex(case["ephemeral_secret_key"])
        found, sealing = hpke.setup_sender(case["kem"], key.public, case["aead"], info, ephemeral=ephemeral)
        assert found == enc
    for each in case["messages"]:
        message, aad, sealed = (bytes.fromhex(each[name]) for name in ("message", "aad", "sealed"))
        assert opening.open(sealed, aad) == message
        assert sealing.seal(message, aad) == sealed
    for each in case["exports"]:
        assert opening.export(bytes.fromhex(each["context"]), each["size"]).hex() == each["value"]


@pytest.mark.parametrize("case", VECTORS["configurations"]["valid"], ids=named)
def test_configurations(case: dict[str, Any]) -> None:
    """Lists of them."""
    found = ohttp.decode_list(bytes.fromhex(case["bytes"]))
    assert [
        {
            "key_id": one.key_id,
            "kem": one.kem,
            "public_key": one.public_key.hex(),
            "symmetric": [list(pair) for pair in one.symmetric],
        }
        for one in found
    ] == case["known"]


@pytest.mark.parametrize("case", VECTORS["configurations"]["invalid"], ids=named)
def test_configurations_refused(case: dict[str, Any]) -> None:
    """Lists that nobody may seal to."""
    with pytest.raises(HallmarkError) as caught:
        ohttp.decode_list(bytes.fromhex(case["bytes"]))
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("case", VECTORS["ohttp"])
def test_sealed(case: dict[str, Any], size: int) -> None:
    """Requests and responses: X25519's are made anew byte for byte, all are opened in any pieces."""
    configuration = ohttp.KeyConfiguration.decode(bytes.fromhex(case["configuration"]))
    assert configuration is not None
    key = hpke.make_key(configuration.kem, SECRET)
    sealed, chunked = bytes.fromhex(case["sealed_request"]), case["chunked"]
    server = ohttp.ServerRequest({configuration.key_id: key}, chunked=chunked)
    asked = read(server.feed, sealed, size) + server.end()
    assert b"".join(asked) == bytes.fromhex("".join(case["request"]))
    assert server.enc.hex() == case["encapsulated_key"]
    writer = server.response(lambda _: bytes.fromhex(case["response_nonce"]))
    parts = [bytes.fromhex(part) for part in case["response"]]
    out = writer.header + b"".join(map(writer.seal, parts[:-1])) + writer.seal(parts[-1], final=True)
    assert out.hex() == case["sealed_response"]
    if not case["ephemeral_secret_key"]:
        return
    ephemeral = bytes.fromhex(case["ephemeral_secret_key"])
    client = ohttp.ClientRequest(configuration, case["aead"], chunked=chunked, ephemeral=ephemeral)
    parts = [bytes.fromhex(part) for part in case["request"]]
    again = client.header + b"".join(map(client.seal, parts[:-1])) + client.seal(parts[-1], final=True)
    assert again == sealed
    reader = client.response()
    assert b"".join(read(reader.feed, out, size) + reader.end()).hex() == "".join(case["response"])


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("case", VECTORS["ohttp_refused"]["requests"], ids=named)
def test_requests_refused(case: dict[str, Any], size: int) -> None:
    """On the enclave's side: as many chunks as the vector says, however they are split."""
    server = ohttp.ServerRequest({1: hpke.X25519Key(SECRET)})
    found = refused(case, bytes.fromhex(case["sealed"]), server, size)
    assert [part.hex() for part in found] == case["opened"]


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("case", VECTORS["ohttp_refused"]["responses"], ids=named)
def test_responses_refused(case: dict[str, Any], size: int) -> None:
    """On the client's side, likewise."""
    told = VECTORS["ohttp_refused"]
    configuration = ohttp.KeyConfiguration.decode(bytes.fromhex(told["configuration"]))
    assert configuration is not None
    ephemeral = bytes.fromhex(told["ephemeral_secret_key"])
    reader = ohttp.ClientRequest(configuration, told["aead"], ephemeral=ephemeral).response()
    found = refused(case, bytes.fromhex(case["sealed"]), reader, size)
    assert [part.hex() for part in found] == case["opened"]


@pytest.mark.parametrize("case", VECTORS["binary_http"]["requests"]["valid"], ids=named)
def test_binary_requests(case: dict[str, Any]) -> None:
    """Read, and written where the vector is what we write."""
    data = bytes.fromhex(case["bytes"])
    found = binary_http.decode_request(data)
    text = [case[name].encode() for name in ("method", "scheme", "authority", "path")]
    headers, trailers = _fields(case["headers"]), _fields(case["trailers"])
    assert found == binary_http.Request(*text, headers, bytes.fromhex(case["content"]), trailers)
    assert not case["encoded"] or binary_http.encode_request(found) == data


@pytest.mark.parametrize("case", VECTORS["binary_http"]["requests"]["invalid"], ids=named)
def test_binary_requests_refused(case: dict[str, Any]) -> None:
    """What is no request."""
    with pytest.raises(HallmarkError) as caught:
        binary_http.decode_request(bytes.fromhex(case["bytes"]))
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("case", VECTORS["binary_http"]["responses"]["valid"], ids=named)
def test_binary_responses(case: dict[str, Any], size: int) -> None:
    """Read in any pieces, and written where the vector is what we write."""
    data, parser = bytes.fromhex(case["bytes"]), binary_http.ResponseParser()
    content = b"".join(read(lambda piece: [parser.feed(piece)], data, size))
    parser.end()
    found = binary_http.Response(parser.status, parser.headers, content, parser.trailers)
    headers, trailers = _fields(case["headers"]), _fields(case["trailers"])
    assert found == binary_http.Response(case["status"], headers, bytes.fromhex(case["content"]), trailers)
    assert not case["encoded"] or binary_http.encode_response(found) == data


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("case", VECTORS["binary_http"]["responses"]["invalid"], ids=named)
def test_binary_responses_refused(case: dict[str, Any], size: int) -> None:
    """What is no response: as much content as the vector says, however it is split."""
    found = refused(case, bytes.fromhex(case["bytes"]), binary_http.ResponseParser(), size)
    assert b"".join(found).hex() == case["content"]


def test_classes_and_frames() -> None:
    """Sizes of requests, frames of answers."""
    for size, whole in VECTORS["padding"]["request_classes"]:
        assert padding.request_class(size) == whole
        assert size > 50_000 or len(padding.pad_request(bytes(size))) == whole
    for case in VECTORS["padding"]["frames"]:
        framed = padding.frame(bytes.fromhex(case["data"]))
        assert framed.hex() == case["frame"]
        for size in SPLITS:
            reader = padding.FrameReader()
            assert (
                b"".join(read(lambda piece, to=reader: [to.feed(piece)], framed, size)).hex() == case["data"]
            )
            reader.end()


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("case", VECTORS["padding"]["invalid"], ids=named)
def test_frames_refused(case: dict[str, Any], size: int) -> None:
    """What is no frame; data of good ones before it comes out however they are split."""
    found = refused(case, bytes.fromhex(case["bytes"]), padding.FrameReader(), size)
    assert b"".join(found).hex() == case["data"]


def test_schedule() -> None:
    """The root over all windows, each window's blob and path, and what is refused."""
    told = VECTORS["schedule"]
    times = {name: told[name] for name in ("since", "every", "count")}
    ratchet = key_configurations.Ratchet(bytes.fromhex(told["seed"]), **times)
    sealing = Sealing(told["root"], told["since"], told["every"], told["count"])
    assert ratchet.sealing == sealing
    for case in told["windows"]:
        window, path = case["window"], tuple(bytes.fromhex(node) for node in case["path"])
        blob = bytes.fromhex(case["blob"])
        assert (ratchet.blob(window), ratchet.path(window)) == (blob, path)
        found = key_configurations.verify_window(sealing, window, blob, path, case["at"])
        assert [one.key_id for one in found] == case["key_ids"] == list(ratchet.keys(window))
    for case in told["refused"]:
        path = tuple(bytes.fromhex(node) for node in case["path"])
        with pytest.raises(HallmarkError) as caught:
            key_configurations.verify_window(
                sealing, case["window"], bytes.fromhex(case["blob"]), path, case["at"]
            )
        assert caught.value.reason == case["reason"], case["why"]


def _fields(shown: list[list[str]]) -> binary_http.Fields:
    return tuple((name.encode(), value.encode()) for name, value in shown)
