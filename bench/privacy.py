"""What sealing costs: processor time and bytes, both ends in one process, peers in the same run.

    python bench/privacy.py [--rounds 40] [--json FILE]

A request is a question of 2 KiB as Binary HTTP, padded to its class and sealed as one chunk; the enclave
opens and reads it and seals an answer of a head and one chunk; the client opens and reads that. X25519 and
X-Wing take turns with pyhpke's context (X25519; seal, open and export are its own, the rest is ours) and with
`cryptography`'s own HPKE, which has single messages alone: no secret for a response comes out of it. A chunk
is 64 bytes of text, sealed and opened; the bare AEAD beside it is what no code around it can go below.
Processor time by round, least and median of the rounds. Bytes are counted, not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyhpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from hallmark.crypto import hpke
from hallmark.crypto.hpke import AEAD_AES128, AEADS, KEM_X25519, KEM_XWING
from hallmark.privacy import binary_http, key_configurations, ohttp, padding

SECRET = bytes(range(32))
NAMES = {KEM_X25519: "X25519", KEM_XWING: "X-Wing"}
HEADERS = ((b"content-type", b"application/json"), (b"accept-encoding", b"hallmark-padded"))
CONTENT = 2048
CHUNK = 64
REQUESTS, CHUNKS = 20, 2000


def message(size: int) -> bytes:
    """A question as Binary HTTP."""
    content = b'{"messages":"%s"}' % (b"x" * (size - 15))
    return binary_http.encode_request(
        binary_http.Request(b"POST", b"https", b"hallmark.invalid", b"/v1/chat/completions", HEADERS, content)
    )


class Exchange:
    """One request and its answer, end by end; processor time of each is added up."""

    def __init__(self, kem: int) -> None:
        self.name = f"request, {NAMES[kem]}"
        self._key = hpke.make_key(kem, SECRET)
        self._configuration = ohttp.KeyConfiguration(1, kem, self._key.public, key_configurations.SYMMETRIC)

    def __call__(self) -> tuple[float, float]:
        """Seconds of the client and of the enclave."""
        begun = time.process_time()
        client = ohttp.ClientRequest(self._configuration)
        capsule = client.header + client.seal(padding.pad_request(message(CONTENT)), final=True)
        asked = time.process_time()
        server = ohttp.ServerRequest({1: self._key})
        opened = b"".join([*server.feed(capsule), *server.end()])
        assert len(binary_http.decode_request(opened).content) == CONTENT
        writer = server.response()
        answer = writer.header + writer.seal(binary_http.start_response(200, HEADERS))
        answer += writer.seal(binary_http.content_piece(b"y" * CHUNK) + binary_http.END, final=True)
        answered = time.process_time()
        reader, parser = client.response(), binary_http.ResponseParser()
        content = b"".join(map(parser.feed, [*reader.feed(answer), *reader.end()]))
        parser.end()
        assert len(content) == CHUNK
        return asked - begun + time.process_time() - answered, answered - asked


class Pyhpke:
    """The same by pyhpke's contexts."""

    name = "request, X25519, pyhpke"

    def __init__(self) -> None:
        self._suite = pyhpke.CipherSuite.new(
            pyhpke.KEMId.DHKEM_X25519_HKDF_SHA256, pyhpke.KDFId.HKDF_SHA256, pyhpke.AEADId.AES128_GCM
        )
        private = X25519PrivateKey.from_private_bytes(SECRET)
        self._private = pyhpke.KEMKey.from_pyca_cryptography_key(private)
        self._public = pyhpke.KEMKey.from_pyca_cryptography_key(private.public_key())

    def __call__(self) -> tuple[float, float]:
        """Seconds of the client and of the enclave."""
        begun = time.process_time()
        enc, sender = self._suite.create_sender_context(self._public, b"info")
        sealed = sender.seal(padding.pad_request(message(CONTENT)), b"final")
        asked = time.process_time()
        receiver = self._suite.create_recipient_context(enc, self._private, b"info")
        assert len(binary_http.decode_request(receiver.open(sealed, b"final")).content) == CONTENT
        nonce = os.urandom(16)
        seals = sequence(enc, nonce, receiver.export(ohttp.CHUNKED_RESPONSE_LABEL, 16))
        head = seals.seal(binary_http.start_response(200, HEADERS))
        last = seals.seal(binary_http.content_piece(b"y" * CHUNK) + binary_http.END, b"final")
        answered = time.process_time()
        opens = sequence(enc, nonce, sender.export(ohttp.CHUNKED_RESPONSE_LABEL, 16))
        parser = binary_http.ResponseParser()
        content = parser.feed(opens.open(head)) + parser.feed(opens.open(last, b"final"))
        parser.end()
        assert len(content) == CHUNK
        return asked - begun + time.process_time() - answered, answered - asked


def sequence(enc: bytes, nonce: bytes, exported: bytes) -> hpke.Sequence:
    """The keys of a response (RFC 9458, section 4.4)."""
    secret = hpke.hkdf_extract(enc + nonce, exported)
    key, base = hpke.hkdf_expand(secret, b"key", 16), hpke.hkdf_expand(secret, b"nonce", 12)
    return hpke.Sequence(AEADS[AEAD_AES128], key, base)


class SingleMessage:
    """A padded question sealed and opened by cryptography's own HPKE; no answer."""

    def __init__(self, kem: int) -> None:
        self.name = f"request alone, {NAMES[kem]}, cryptography"
        key = hpke.make_key(kem, SECRET)
        self._suite = Suite(
            KEM.X25519 if kem == KEM_X25519 else KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM
        )
        x25519 = X25519PublicKey.from_public_bytes(key.public[-32:])
        self._key, self._public = (
            key,
            x25519
            if kem == KEM_X25519
            else MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(key.public[:-32]), x25519),
        )

    def __call__(self) -> tuple[float, float]:
        """Seconds of the client and of the enclave, which opens by our context."""
        begun = time.process_time()
        sealed = self._suite.encrypt(padding.pad_request(message(CONTENT)), self._public, b"info")
        asked = time.process_time()
        size = self._key.kem.encapsulated
        context = hpke.setup_receiver(self._key, sealed[:size], AEAD_AES128, b"info")
        assert len(binary_http.decode_request(context.open(sealed[size:])).content) == CONTENT
        return asked - begun, time.process_time() - asked


def chunk_calls(aead: int) -> dict[str, Callable[[], object]]:
    """One streamed chunk, sealed and opened: ours, the sequence alone, the AEAD alone."""
    key = hpke.X25519Key(SECRET)
    client = ohttp.ClientRequest(
        ohttp.KeyConfiguration(1, KEM_X25519, key.public, key_configurations.SYMMETRIC), aead
    )
    server = ohttp.ServerRequest({1: key})
    server.feed(client.header + client.seal(b"?", final=True))
    server.end()
    writer, reader = server.response(), client.response()
    reader.feed(writer.header)
    secret, text, nonce = bytes(AEADS[aead].key), os.urandom(CHUNK), bytes(12)
    first, second = (hpke.Sequence(AEADS[aead], secret, nonce) for _ in range(2))
    cipher = AEADS[aead].cipher(secret)
    name = "AES-128-GCM" if aead == AEAD_AES128 else "ChaCha20-Poly1305"
    return {
        f"chunk, {name}": lambda: reader.feed(writer.seal(text)),
        f"chunk without framing, {name}": lambda: second.open(first.seal(text)),
        f"the AEAD alone, {name}": lambda: cipher.decrypt(nonce, cipher.encrypt(nonce, text, None), None),
    }


def pyhpke_chunk() -> Callable[[], object]:
    """The same by pyhpke's contexts, without framing."""
    suite = pyhpke.CipherSuite.new(
        pyhpke.KEMId.DHKEM_X25519_HKDF_SHA256, pyhpke.KDFId.HKDF_SHA256, pyhpke.AEADId.AES128_GCM
    )
    private = X25519PrivateKey.from_private_bytes(SECRET)
    enc, sender = suite.create_sender_context(
        pyhpke.KEMKey.from_pyca_cryptography_key(private.public_key()), b"info"
    )
    receiver = suite.create_recipient_context(enc, pyhpke.KEMKey.from_pyca_cryptography_key(private), b"info")
    text = os.urandom(CHUNK)
    return lambda: receiver.open(sender.seal(text))


def timed(rounds: int) -> dict[str, Any]:
    """Microseconds of processor time of everything, in turns."""
    exchanges: list[Any] = [
        Exchange(KEM_X25519),
        Exchange(KEM_XWING),
        Pyhpke(),
        SingleMessage(KEM_X25519),
        SingleMessage(KEM_XWING),
    ]
    chunks = {
        **chunk_calls(AEAD_AES128),
        "chunk without framing, AES-128-GCM, pyhpke": pyhpke_chunk(),
        **chunk_calls(hpke.AEAD_CHACHA20),
    }
    seen: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for each in exchanges:
            ends = [each() for _ in range(REQUESTS)]
            both = [sum(end) * 1e6 / REQUESTS for end in zip(*ends, strict=True)]
            seen.setdefault(each.name, []).append((both[0], both[1]))
        for name, call in chunks.items():
            begun = time.process_time()
            for _ in range(CHUNKS):
                call()
            seen.setdefault(name, []).append(((time.process_time() - begun) * 1e6 / CHUNKS, 0.0))
    found: dict[str, Any] = {}
    for name, times in seen.items():
        totals = [sum(pair) for pair in times]
        found[name] = {"least_us": round(min(totals), 2), "median_us": round(statistics.median(totals), 2)}
        if name.startswith("request"):
            found[name]["client_us"] = round(min(one for one, _ in times), 1)
            found[name]["enclave_us"] = round(min(two for _, two in times), 1)
    return found


def schedules(rounds: int) -> dict[str, float]:
    """Milliseconds to make the keys of so many windows: the least."""
    found = {}
    for count in (56, 120, 240):
        times = []
        for _ in range(max(2, rounds // 10)):
            begun = time.process_time()
            key_configurations.Ratchet(SECRET, since=0, every=1, count=count)
            times.append((time.process_time() - begun) * 1e3)
        found[str(count)] = round(min(times), 1)
    return found


def overhead() -> dict[str, list[dict[str, int]]]:
    """Bytes of a question and its capsule, of text and its sealed chunk."""
    requests = []
    for size in (100, 700, 2048, 8000, 30_000, 100_000):
        plain = message(size)
        row = {"content": size, "binary_http": len(plain), "class": padding.request_class(len(plain))}
        for kem, name in NAMES.items():
            key = hpke.make_key(kem, SECRET)
            client = ohttp.ClientRequest(
                ohttp.KeyConfiguration(1, kem, key.public, key_configurations.SYMMETRIC)
            )
            capsule = client.header + client.seal(padding.pad_request(plain), final=True)
            row[name] = len(capsule)
        requests.append(row)
    frames = []
    for size in (1, 20, 250, 500, 1000, 4000):
        framed = padding.frame(b"x" * size)
        sealed = len(binary_http.content_piece(framed)) + hpke.TAG
        frames.append({"text": size, "frame": len(framed), "sealed": sealed + 2 + 2 * (sealed >= 16_384)})
    return {"requests": requests, "frames": frames}


def main() -> None:
    """Measure, print tables, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    begun = os.getloadavg()[0]
    result = {"timed": timed(asked.rounds), "schedule_ms": schedules(asked.rounds), "bytes": overhead()}
    result["load_average"] = [begun, os.getloadavg()[0]]
    print(f"{'':<48} {'least':>8} {'median':>8} {'client':>8} {'enclave':>8}   us")
    for name, row in result["timed"].items():
        ends = f"{row.get('client_us', ''):>8} {row.get('enclave_us', ''):>8}"
        print(f"{name:<48} {row['least_us']:>8} {row['median_us']:>8} {ends}")
    for count, milliseconds in result["schedule_ms"].items():
        print(f"keys of {count} windows: {milliseconds} ms")
    for rows in result["bytes"].values():
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
