"""Vectors of sealed requests: HPKE contexts, Oblivious HTTP with and without chunks, Binary HTTP, padding,
the schedule of keys, and nodes as a gateway shows them; `make.py` writes them to sealing.json.

Bytes are hexadecimal. What is sealed is made here from the contexts and from HKDF alone, piece by piece, so
that the file is no copy of the writers that it checks. X-Wing draws at random when it encapsulates, so one
encapsulated key is recorded: whoever has the secret key comes to the same context.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.vectors.sealing_http import request_vectors, response_vectors
from tests.vectors.sealing_nodes import node_vectors

from hallmark.core.sealing import GRACE_MS
from hallmark.crypto import hpke
from hallmark.crypto.hpke import AEAD_AES128, AEAD_CHACHA20, KEM_X25519, KEM_XWING, Context, PrivateKey
from hallmark.privacy import key_configurations, ohttp, padding, varint

SECRET: Final = bytes(range(32))
"""Both keys are made from it."""
EPHEMERAL: Final = bytes(range(32, 64))
SEED: Final = bytes(range(64, 96))
SINCE: Final = 1_800_000_000_000
EVERY: Final = 3_600_000
XWING_ENCAPSULATED: Final = base64.b64decode(
    "1iZ0Y9W8pqPq5a9SBTaCZwC3e8BxLXCL4AFiWmlbzhcf3moJlfassD++8aqOBuZLzqeyIrWa4HHF+MynDxMjGmBDnfbPSk7liB98"
    "exmbz16TCaop3DeX+0LVcTYQJnnbNpLS0hFEx2cFDE5JpgeRToY6N8zRgJrWZ7sZdTQwdft+IcaeZr/qeReDvYea37ESmQpaEbpx"
    "z9LLn/s5pqDkmnFG0pSOoV8fNj7DIfDvqyCEYGiw3ahv/ktBVUUxhH2ABukjae9X709p8yawLu+7DxYeFuaWvqh8Lrt7bIyWCJ62"
    "Bdg33yXUsz7IX1oNqzd10XhTAnztHsItoDnFQy6FH2eHfYbGP6HJXVMlEETsZfbCnfCka8huzDfK4Ehlfg2734haREX9rWSrIdQn"
    "QkpDWQS/rSjnCqX8TaJ4viEs7B9TqtmOD7Syz6yP+X7ATVWqP7SGqBnCiAUnpRdDMXXj2X/vHXLwLTL2kFzQAPIzHYdkDH6/NQ2u"
    "dFMpie1ajKt6WUbN94K6XgOGVTuRU3FoRE/cN9eklIEJAzLP00fHe7kpDcWMjodnAyAlQGx9E6CoT6VhnZzj1UI5gjmGMk27aMfM"
    "jR60uqHQsdGNM8NfWSHWQS09HO2insTLXiq4uv8/sAKGr6s3DFn+qs5GtA6bIUrlBDbQKW1C5XY1P+7zrnkTiw72gCgTbe63jFFS"
    "EBxYoY2TKtSyG9CCzy9//mN9oMb6o0EaZDsMwS3AsUITG6bVurbPbJOckZE3ZQHaIqJAJsYNL9V8idts+h035L8WXQ8xq+8XMjLJ"
    "FlIJ24lJtQwo1m4Qmhrn+VxiL5OVuaEHvlac3Ej7eWLO41ROa7CB+y20GTFwBDdiLMcP7m2Ly+cuL8i+JwvtOHNwVPgK02gP6jJU"
    "YN4mcUiJgJxWZrJAe2k3qEzPwSncqNrJsxBfysBfW2hYjcMjEAKaOeu5nJl5XRTlTwc+gI414EJei41uv37a0tWEtPSvA2UId6A9"
    "47J/LzqArQlPrK+ofqDmfbWf5TPcFqiC66G//FatfrNZjOLJtIC63KQSWT51fQPZQDPhYItj1ZUOlnU/QQGJdyLoIdENSYY634+Y"
    "HQTskfT7I9hFSE+RKvrUhXNuxuPQI7crlXSvOanNdzSy7MvBM11N6Upp9aN5zexoCpX0K7Q9Krz9fQfeGGS4TShqJMTfW+BJ3urT"
    "XI2KoRxUEew8hjmFvEVfcfNiayJKFaR+0x42C/DJVR8VsGpWS7hESHliQUemVnWF2wfPg1kkdjDweff5xKVsMPZ+tGXu4Z2409Ae"
    "S+7b596LVcmIKdiXKB2k3+CfMEOCne6nheK/+YCp++WdfY121vj5o1V0UbroVygcBtb6hN/YbuwxkbHy8Dofz3rDn8vBnhYAEAi8"
    "6RZfLfWUMFmJQC1+4hSSw6YEH5tGt9ZJywVcE4nId8NR3K1eqyYikX4fLxKwrlE0O0B51bYMr+AMUJ/qRARSwx3ycro3Eg=="
)
"""To the public key of SECRET."""


def sealing_vectors() -> dict[str, Any]:
    """See the module docstring."""
    return {
        "secret_key": SECRET.hex(),
        "hpke": [
            _context(kem, aead) for kem in (KEM_X25519, KEM_XWING) for aead in (AEAD_AES128, AEAD_CHACHA20)
        ],
        "configurations": _configurations(),
        "ohttp": [
            _exchange(kem, aead, chunked=chunked)
            for kem in (KEM_X25519, KEM_XWING)
            for aead in (AEAD_AES128, AEAD_CHACHA20)
            for chunked in (True, False)
        ],
        "ohttp_refused": _refused(),
        "binary_http": {"requests": request_vectors(), "responses": response_vectors()},
        "padding": _padding(),
        "schedule": _schedule(),
        "nodes": node_vectors(),
    }


def _encapsulated(kem: int) -> bytes:
    if kem == KEM_XWING:
        return XWING_ENCAPSULATED
    return X25519PrivateKey.from_private_bytes(EPHEMERAL).public_key().public_bytes_raw()


def _key(kem: int) -> PrivateKey:
    return hpke.make_key(kem, SECRET)


def _contexts(kem: int, aead: int, info: bytes) -> Context:
    return hpke.setup_receiver(_key(kem), _encapsulated(kem), aead, info)


def _context(kem: int, aead: int) -> dict[str, Any]:
    """A context: messages in order, secrets; and what does not open."""
    context = _contexts(kem, aead, b"some info")
    messages = [(b"", b""), (b"first", b"aad"), (b"second", b""), (b"x" * 300, b"final")]
    found = {
        "kem": kem,
        "kdf": hpke.KDF_SHA256,
        "aead": aead,
        "public_key": _key(kem).public.hex(),
        "ephemeral_secret_key": EPHEMERAL.hex() if kem == KEM_X25519 else None,
        "encapsulated_key": _encapsulated(kem).hex(),
        "info": b"some info".hex(),
        "messages": [
            {"message": message.hex(), "aad": aad.hex(), "sealed": context.seal(message, aad).hex()}
            for message, aad in messages
        ],
        "exports": [
            {"context": label.hex(), "size": size, "value": context.export(label, size).hex()}
            for label, size in ((b"", 32), (b"message/bhttp response", 16), (b"long", 100))
        ],
    }
    return found


def _configurations() -> dict[str, Any]:
    """Lists of key configurations: `application/ohttp-keys`."""
    ours = [
        ohttp.KeyConfiguration(7 + at, kem, _key(kem).public, key_configurations.SYMMETRIC)
        for at, kem in enumerate((KEM_X25519, KEM_XWING))
    ]
    good = ohttp.encode_list(tuple(ours))
    first = ours[0].encode()
    foreign = b"\x09\x00\x10" + b"\x04" * 65 + b"\x00\x04\x00\x01\x00\x01"
    foreign = len(foreign).to_bytes(2, "big") + foreign
    sized = len(first).to_bytes(2, "big")
    bad = {
        "cut off": good[:-1],
        "a byte behind the end": good + b"\0",
        "two of one key id": sized + first + sized + first,
        "a length of zero": b"\0\0",
        "no algorithms": (len(first) - 8).to_bytes(2, "big") + first[:35] + b"\0\0",
        "half an algorithm": (len(first) - 2).to_bytes(2, "big") + first[:35] + b"\0\6" + first[37:-2],
        "a short key": (10).to_bytes(2, "big") + first[:10],
    }
    shown = [
        {
            "key_id": one.key_id,
            "kem": one.kem,
            "public_key": one.public_key.hex(),
            "symmetric": [list(pair) for pair in one.symmetric],
        }
        for one in ours
    ]
    return {
        "valid": [
            {"why": "both of ours", "bytes": good.hex(), "known": shown},
            {"why": "a foreign KEM is passed over", "bytes": (foreign + good).hex(), "known": shown},
            {"why": "none", "bytes": "", "known": []},
        ],
        "invalid": [
            {"why": why, "bytes": data.hex(), "reason": "bad_key_configuration"} for why, data in bad.items()
        ],
    }


def _exchange(kem: int, aead: int, *, chunked: bool) -> dict[str, Any]:
    """A request and its response. Without chunks there is one piece of each."""
    parts = [b"a sealed ", b"", b"request", b"."] if chunked else [b"a sealed request."]
    configuration = ohttp.KeyConfiguration(1, kem, _key(kem).public, key_configurations.SYMMETRIC)
    header = b"\1" + kem.to_bytes(2, "big") + b"\0\1" + aead.to_bytes(2, "big")
    label = ohttp.CHUNKED_REQUEST_LABEL if chunked else ohttp.REQUEST_LABEL
    context = _contexts(kem, aead, label + b"\0" + header)
    sealed = header + _encapsulated(kem) + _pieces(context.seal, parts, chunked=chunked)
    answers = [b"piece %d " % number for number in range(3)] + [b""] if chunked else [b"a sealed response."]
    nonce = bytes(range(100, 100 + max(12, hpke.AEADS[aead].key)))
    seal = _response_seal(context, kem, aead, nonce, chunked=chunked)
    return {
        "chunked": chunked,
        "configuration": configuration.encode().hex(),
        "aead": aead,
        "ephemeral_secret_key": EPHEMERAL.hex() if kem == KEM_X25519 else None,
        "encapsulated_key": _encapsulated(kem).hex(),
        "request": [part.hex() for part in parts],
        "sealed_request": sealed.hex(),
        "response_nonce": nonce.hex(),
        "response": [part.hex() for part in answers],
        "sealed_response": (nonce + _pieces(seal, answers, chunked=chunked)).hex(),
    }


def _response_seal(context: Context, kem: int, aead: int, nonce: bytes, *, chunked: bool) -> Any:
    label = ohttp.CHUNKED_RESPONSE_LABEL if chunked else ohttp.RESPONSE_LABEL
    size = hpke.AEADS[aead].key
    secret = hpke.hkdf_extract(_encapsulated(kem) + nonce, context.export(label, max(12, size)))
    cipher = hpke.AEADS[aead].cipher(hpke.hkdf_expand(secret, b"key", size))
    base = int.from_bytes(hpke.hkdf_expand(secret, b"nonce", 12), "big")
    numbers = iter(range(1 << 20))
    return lambda message, aad: cipher.encrypt((base ^ next(numbers)).to_bytes(12, "big"), message, aad)


def _pieces(seal: Any, parts: list[bytes], *, chunked: bool) -> bytes:
    """All parts, the last one as the final chunk; an empty one before it is not sent."""
    if not chunked:
        return bytes(seal(parts[0], b""))
    out = b""
    for part in parts[:-1]:
        out += varint.encode(len(part) + 16) + seal(part, b"") if part else b""
    return out + b"\0" + bytes(seal(parts[-1], b"final"))


def _refused() -> dict[str, Any]:
    """Requests and responses that are refused. `opened` is what comes before that, however they are split."""
    header = b"\1\0\x20\0\1\0\1"
    info = ohttp.CHUNKED_REQUEST_LABEL + b"\0" + header
    start = header + _encapsulated(KEM_X25519)

    def chunks(*parts: tuple[bytes, bytes]) -> list[bytes]:
        context = _contexts(KEM_X25519, AEAD_AES128, info)
        return [context.seal(*part) for part in parts]

    one, two, last = chunks((b"one", b""), (b"two", b""), (b"", b"final"))
    wrong_last = chunks((b"one", b""), (b"two", b""), (b"", b""))[2]
    sized = lambda sealed: varint.encode(len(sealed)) + sealed  # noqa: E731
    unreadable = "sealed_unreadable"
    requests = [
        ("nothing", b"", [], unreadable),
        ("another key id", b"\2" + start[1:] + sized(one) + b"\0" + last, [], "key_configuration_stale"),
        ("another KEM", b"\1\x64\x7a" + start[3:] + sized(one) + sized(two) + b"\0" + last, [], unreadable),
        ("another KDF", start[:4] + b"\2" + start[5:] + sized(one) + b"\0" + last, [], unreadable),
        ("another AEAD", start[:6] + b"\3" + start[7:] + sized(one) + b"\0" + last, [], unreadable),
        ("an encapsulated key of order one", header + bytes(32) + sized(one), [], unreadable),
        ("no final chunk", start + sized(one) + sized(two), [b"one", b"two"], unreadable),
        ("a final chunk cut off", start + sized(one) + b"\0" + last[:-1], [b"one"], unreadable),
        ("chunks in another order", start + sized(two) + sized(one) + b"\0" + last, [], unreadable),
        ("a chunk twice", start + sized(one) + sized(one) + b"\0" + last, [b"one"], unreadable),
        ("a chunk left out", start + sized(one) + b"\0" + last, [b"one"], unreadable),
        (
            "a final chunk that is not bound to final",
            start + sized(one) + sized(two) + b"\0" + wrong_last,
            [b"one", b"two"],
            unreadable,
        ),
        ("a chunk in place of the final one", start + b"\0" + one, [], unreadable),
        (
            "bytes behind the end",
            start + sized(one) + sized(two) + b"\0" + last + b"\0",
            [b"one", b"two"],
            unreadable,
        ),
        ("an empty chunk", start + sized(chunks((b"", b""))[0]) + b"\0" + last, [], unreadable),
    ]
    context = _contexts(KEM_X25519, AEAD_AES128, info)
    nonce = bytes(range(100, 116))

    def answers(*parts: tuple[bytes, bytes], under: bytes = nonce) -> list[bytes]:
        seal = _response_seal(context, KEM_X25519, AEAD_AES128, under, chunked=True)
        return [seal(*part) for part in parts]

    one, two, last = answers((b"one", b""), (b"two", b""), (b"three", b"final"))
    other = answers((b"one", b""), under=bytes(16))[0]
    truncated, tampered = "sealed_truncated", "sealed_tampered"
    responses = [
        ("nothing", b"", [], truncated),
        ("a nonce cut off", nonce[:-1], [], truncated),
        ("no chunk", nonce, [], truncated),
        ("no final chunk", nonce + sized(one), [b"one"], truncated),
        ("a final chunk cut off within its tag", nonce + sized(one) + b"\0" + last[:15], [b"one"], truncated),
        (
            "a final chunk cut off",
            nonce + sized(one) + sized(two) + b"\0" + last[:-1],
            [b"one", b"two"],
            tampered,
        ),
        ("chunks in another order", nonce + sized(two) + sized(one), [], tampered),
        ("a chunk twice", nonce + sized(one) + sized(one), [b"one"], tampered),
        ("a chunk left out", nonce + sized(one) + b"\0" + last, [b"one"], tampered),
        ("another nonce", bytes(16) + sized(one), [], tampered),
        ("a chunk of another response", nonce + sized(other), [], tampered),
        ("a chunk as the final one", nonce + b"\0" + one, [], tampered),
        (
            "bytes behind the end",
            nonce + sized(one) + sized(two) + b"\0" + last + b"\0",
            [b"one", b"two"],
            tampered,
        ),
        ("an empty chunk", nonce + sized(answers((b"", b""))[0]), [], tampered),
    ]
    shown = {
        "configuration": ohttp.KeyConfiguration(
            1, KEM_X25519, _key(KEM_X25519).public, key_configurations.SYMMETRIC
        )
        .encode()
        .hex(),
        "aead": AEAD_AES128,
        "ephemeral_secret_key": EPHEMERAL.hex(),
    }
    for name, cases in (("requests", requests), ("responses", responses)):
        shown[name] = [
            {"why": why, "sealed": data.hex(), "opened": [part.hex() for part in opened], "reason": reason}
            for why, data, opened, reason in cases
        ]
    return shown


def _padding() -> dict[str, Any]:
    """Classes of requests; frames of answers, and such as are refused."""
    sizes = (0, 1, 1023, 1024, 1025, 2048, 2049, 40_000, 1 << 20, (1 << 20) + 1)
    pieces = (b"", b"token", b"x" * 252, b"x" * 253, b"y" * 1020, b"z" * 5000)
    good = padding.frame(b"token")
    invalid = [
        ("cut off", good[:-1], b""),
        ("filled with another byte", good[:-1] + b"\1", b""),
        ("a good frame before it", good + good[:-1] + b"\1", b"token"),
        ("longer than a frame may be", ((1 << 20) - 3).to_bytes(4, "big"), b""),
        ("half a length", good + b"\0\0", b"token"),
    ]
    return {
        "request_classes": [[size, padding.request_class(size)] for size in sizes],
        "frames": [{"data": piece.hex(), "frame": padding.frame(piece).hex()} for piece in pieces],
        "invalid": [
            {"why": why, "bytes": data.hex(), "data": read.hex(), "reason": "bad_padding"}
            for why, data, read in invalid
        ],
    }


def _schedule() -> dict[str, Any]:
    """Five windows under one root; and proofs that are refused."""
    ratchet = key_configurations.Ratchet(SEED, since=SINCE, every=EVERY, count=5)
    begins = SINCE + 3 * EVERY
    blob, path = ratchet.blob(3), ratchet.path(3)
    changed = blob[:40] + bytes((blob[40] ^ 1,)) + blob[41:]
    over, unproven = "key_window_over", "key_configuration_unproven"
    refused = [
        ("too early", 3, blob, path, begins - GRACE_MS - 1, over),
        ("over", 3, blob, path, begins + EVERY + GRACE_MS, over),
        ("a window that is none", 5, blob, path, SINCE + 5 * EVERY, over),
        ("another window's keys", 3, ratchet.blob(2), path, begins, unproven),
        ("named as another window", 4, blob, path, begins + EVERY, unproven),
        ("another path", 3, blob, ratchet.path(2), begins, unproven),
        ("a shorter path", 3, blob, path[1:], begins, unproven),
        ("a longer path", 3, blob, (*path, bytes(32)), begins, unproven),
        ("one bit of a key", 3, changed, path, begins, unproven),
        ("nothing", 3, b"", path, begins, unproven),
    ]
    taken = [
        (3, begins - GRACE_MS),
        (3, begins),
        (3, begins + EVERY + GRACE_MS - 1),
        (0, SINCE),
        (4, SINCE + 4 * EVERY),
    ]
    return {
        "seed": SEED.hex(),
        "since": SINCE,
        "every": EVERY,
        "count": 5,
        "grace": GRACE_MS,
        "root": ratchet.sealing.root,
        "windows": [
            {
                "window": window,
                "at": at,
                "blob": ratchet.blob(window).hex(),
                "path": [node.hex() for node in ratchet.path(window)],
                "key_ids": list(key_configurations.key_ids(window)),
            }
            for window, at in taken
        ],
        "refused": [
            {
                "why": why,
                "window": window,
                "blob": data.hex(),
                "path": [node.hex() for node in nodes],
                "at": at,
                "reason": reason,
            }
            for why, window, data, nodes, at, reason in refused
        ],
    }
