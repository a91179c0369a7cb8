"""Sealed requests and answers between our own two ends: suites, padding, windows."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.crypto import hpke
from hallmark.privacy import binary_http, key_configurations, ohttp, padding

NOW = 1_800_000_000_000
HOUR = 3_600_000


@pytest.fixture(scope="module")
def ratchet() -> key_configurations.Ratchet:
    """Keys of five windows of an hour."""
    return key_configurations.Ratchet(bytes(range(32)), since=NOW, every=HOUR, count=5)


@pytest.mark.parametrize("aead", [hpke.AEAD_AES128, hpke.AEAD_CHACHA20])
@pytest.mark.parametrize("suite", [0, 1])
@pytest.mark.parametrize("chunked", [True, False])
def test_there_and_back(ratchet: key_configurations.Ratchet, suite: int, aead: int, *, chunked: bool) -> None:
    """Both KEMs, both AEADs, with and without chunks."""
    configuration = ohttp.decode_list(ratchet.blob(2))[suite]
    client = ohttp.ClientRequest(configuration, aead, chunked=chunked)
    server = ohttp.ServerRequest(ratchet.keys(2), chunked=chunked)
    opened = [*server.feed(client.header + client.seal(b"question", final=True)), *server.end()]
    assert opened == [b"question"]
    writer = server.response()
    reader = client.response()
    out = writer.header + b"".join([writer.seal(b"an"), writer.seal(b"swer")] if chunked else [])
    out += writer.seal(b"." if chunked else b"answer.", final=True)
    assert b"".join([*reader.feed(out), *reader.end()]) == b"answer."


def test_cryptography_opens_what_we_seal_and_the_other_way() -> None:
    """Single messages under X25519, by the implementation of the library whose primitives these are."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    theirs = X25519PrivateKey.generate()
    sealed = hpke.seal(b"m", theirs.public_key().public_bytes_raw(), b"info")
    assert suite.decrypt(sealed, theirs, b"info") == b"m"
    ours = hpke.HPKEPrivateKey(bytes(32))
    assert (
        ours.open(suite.encrypt(b"m", X25519PublicKey.from_public_bytes(ours.public), b"info"), b"info")
        == b"m"
    )


def test_a_window_is_proven_under_the_root(ratchet: key_configurations.Ratchet) -> None:
    """In its own time, with its own blob and path; nothing else is."""
    begins = NOW + 3 * HOUR
    blob, path, sealing = ratchet.blob(3), ratchet.path(3), ratchet.sealing
    found = key_configurations.verify_window(sealing, 3, blob, path, begins)
    assert [one.key_id for one in found] == [6, 7]
    for arguments in (
        (4, blob, path, begins + HOUR),
        (3, ratchet.blob(2), path, begins),
        (3, blob, ratchet.path(2), begins),
        (3, blob, path[1:], begins),
        (3, blob, path, begins - HOUR),
        (3, blob, path, begins + 2 * HOUR),
        (5, blob, path, begins + 2 * HOUR),
        (-1, blob, path, NOW - HOUR),
    ):
        with pytest.raises(VerificationFailed) as caught:
            key_configurations.verify_window(sealing, *arguments)
        assert caught.value.reason in ("key_window_over", "key_configuration_unproven")


def test_what_is_forgotten_opens_nothing() -> None:
    """Earlier windows' keys cannot be made again; later ones can, and are the same."""
    ratchet = key_configurations.Ratchet(bytes(32), since=NOW, every=HOUR, count=4)
    before = ratchet.blob(3)
    ratchet.forget(2)
    with pytest.raises(HallmarkError) as caught:
        ratchet.keys(1)
    assert caught.value.reason == "no_window"
    assert ratchet.blob(3) == before
    assert not any(bytes(32) == value for value in vars(ratchet).values())


def test_a_key_that_is_not_in_force_is_told_apart(ratchet: key_configurations.Ratchet) -> None:
    """Its id stands in clear; what does not open under a known id says nothing."""
    configuration = ohttp.decode_list(ratchet.blob(1))[0]
    client = ohttp.ClientRequest(configuration)
    sealed = client.header + client.seal(b"question", final=True)
    with pytest.raises(VerificationFailed) as caught:
        ohttp.ServerRequest(ratchet.keys(2)).feed(sealed)
    assert caught.value.reason == "key_configuration_stale"
    for at in range(1, len(sealed)):
        server = ohttp.ServerRequest(ratchet.keys(1))
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(VerificationFailed) as caught:
            [*server.feed(bytes(broken)), *server.end()]
        assert caught.value.reason == "sealed_unreadable"


def test_sizes_are_classes() -> None:
    """Of requests and of pieces of answers."""
    assert [padding.request_class(size) for size in (1, 1024, 1025, 40_000)] == [1024, 1024, 2048, 65_536]
    request = binary_http.Request(b"POST", b"https", b"node", b"/v1?a", ((b"a", b"1"), (b"a", b"2")), b"{}")
    padded = padding.pad_request(binary_http.encode_request(request))
    assert len(padded) == 1024
    assert binary_http.decode_request(padded) == request
    reader = padding.FrameReader()
    frames = padding.frame(b"a" * 252) + padding.frame(b"") + padding.frame(b"b" * 253)
    assert len(frames) == 256 + 256 + 512
    assert b"".join(reader.feed(frames[at : at + 1]) for at in range(len(frames))) == b"a" * 252 + b"b" * 253
    reader.end()


def test_a_response_is_read_as_it_comes() -> None:
    """Head, pieces, end; interim responses are passed over."""
    interim = bytes((binary_http.RESPONSE,)) + b"\x40\x64" + b"\0"
    final = binary_http.start_response(200, ((b"a", b"b"),))[1:]
    message = interim + final + binary_http.content_piece(b"x" * 300) + binary_http.END + bytes(7)
    parser = binary_http.ResponseParser()
    content = b"".join(parser.feed(message[at : at + 1]) for at in range(len(message)))
    parser.end()
    assert (parser.status, parser.headers, content) == (200, ((b"a", b"b"),), b"x" * 300)
