"""The example of draft-ietf-ohai-chunked-ohttp-08, byte for byte, in any pieces."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.errors import VerificationFailed
from hallmark.crypto import hpke
from hallmark.privacy import binary_http, ohttp

FILE = Path(os.environ.get("HALLMARK_VECTORS", "../shared/vectors")) / "ohttp" / "chunked_draft_08.json"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The recorded example."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def test_the_request_is_the_drafts(example: dict[str, Any]) -> None:
    """Key configuration, header, three chunks, the last one bound to the word final."""
    assert _sealed(example)[1].hex() == example["encapsulated_request"]


@pytest.mark.parametrize("size", [1, 2, 13, 1000])
def test_the_request_is_read_in_any_pieces(example: dict[str, Any], size: int) -> None:
    """What was sealed is opened, and is the draft's Binary HTTP."""
    request = _server(example)
    pieces = _split(bytes.fromhex(example["encapsulated_request"]), size)
    opened = b"".join([*itertools.chain(*map(request.feed, pieces)), *request.end()])
    assert opened.hex() == example["request"]
    assert binary_http.decode_request(opened).authority == b"example.com"


@pytest.mark.parametrize("size", [1, 17, 1000])
def test_the_response_is_the_drafts(example: dict[str, Any], size: int) -> None:
    """The same nonce gives the same bytes; the client opens them in any pieces."""
    client, sealed = _sealed(example)
    server = _server(example)
    server.feed(sealed)
    server.end()
    writer = server.response(lambda _: bytes.fromhex(example["response_nonce"]))
    parts = _parts(bytes.fromhex(example["response"]), example["response_chunks"])
    out = writer.header + b"".join(writer.seal(part, final=last) for part, last in parts)
    assert out.hex() == example["encapsulated_response"]
    reader = client.response()
    opened = b"".join([*itertools.chain(*map(reader.feed, _split(out, size))), *reader.end()])
    assert opened.hex() == example["response"]


def test_what_is_cut_off_is_no_answer(example: dict[str, Any]) -> None:
    """However little is missing."""
    client, _ = _sealed(example)
    whole = bytes.fromhex(example["encapsulated_response"])
    for size in range(len(whole)):
        reader = client.response()
        with pytest.raises(VerificationFailed) as caught:
            _read(reader, whole[:size])
        assert caught.value.reason in ("sealed_truncated", "sealed_tampered")


def _read(reader: ohttp.ResponseReader, data: bytes) -> bytes:
    return b"".join([*reader.feed(data), *reader.end()])


def _sealed(example: dict[str, Any]) -> tuple[ohttp.ClientRequest, bytes]:
    configuration = ohttp.KeyConfiguration.decode(bytes.fromhex(example["key_config"]))
    assert configuration is not None
    ephemeral = bytes.fromhex(example["ephemeral_secret_key"])
    client = ohttp.ClientRequest(configuration, hpke.AEAD_AES128, ephemeral=ephemeral)
    parts = _parts(bytes.fromhex(example["request"]), example["request_chunks"])
    return client, client.header + b"".join(client.seal(part, final=last) for part, last in parts)


def _server(example: dict[str, Any]) -> ohttp.ServerRequest:
    return ohttp.ServerRequest({1: hpke.X25519Key(bytes.fromhex(example["gateway_secret_key"]))})


def _parts(message: bytes, sizes: list[int]) -> list[tuple[bytes, bool]]:
    ends = list(itertools.accumulate(sizes))
    starts = [0, *ends[:-1]]
    return [(message[a:b], at == len(ends) - 1) for at, (a, b) in enumerate(zip(starts, ends, strict=True))]


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
