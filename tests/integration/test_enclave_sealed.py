"""Sealed requests to one enclave in the real sandbox, on the product's image: answered, refused, gone."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import KeyBundle, Manifest, RouteRecord, Sealing
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.core.receipt import Receipt, request_digest, response_digest
from hallmark.crypto.hpke import AEAD_CHACHA20, KEM_X25519, KEM_XWING
from hallmark.hub.artifact import pack_artifact
from hallmark.privacy.key_configurations import verify_window
from hallmark.privacy.ohttp import KeyConfiguration
from hallmark.services.enclave import control
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node import machine, measure
from hallmark.services.node.enclave_start import EnclaveInputs, Running, Starter
from hallmark.services.node.launch import Launcher
from hallmark.testing import enclaves
from hallmark.testing.sealing import Opened, Sealed, get, of_kem, post, ratchet

pytestmark = pytest.mark.integration
MODELS = Path(__file__).parents[2] / "models"
FORMATS = {"digits": ("onnx", "tensor"), "pydoc": ("onnxruntime-genai", "chat")}
WORD = "ultramarine"
CHAT = "/v1/chat/completions"
QUESTION = {"model": "pydoc", "messages": [{"role": "user", "content": f"{WORD}: what does os.mkfifo do?"}]}
RELAY = (b"hallmark-relay", b"https://relay.test")


class Box:
    """The image, and the enclaves that a test starts from it, with everything that they told their host."""

    def __init__(self) -> None:
        self.launcher = Launcher(measure.seal(enclaves.usual_image()), machine.detect(), enclaves.cache())
        self.root = enclaves.root()
        self.told: list[control.FromEnclave] = []
        self.started: list[Running] = []

    async def start(self, *models: str, **limits: int) -> Running:
        """A serving enclave with these models."""
        artifacts, manifests, named = {}, [], {}
        for label in models:
            data = pack_artifact(MODELS / label / "artifact")
            form, task = FORMATS[label]
            manifest = Manifest(
                label=label, version="1", artifact=hex0x(sha256(label.encode())), sha256=hex0x(sha256(data)),
                size=len(data), format=form, task=task, card=enclaves.ZERO,
            )  # fmt: skip
            artifacts[label], named[label] = data, hex0x(manifest.digest())
            manifests.append(manifest.encode())
        configuration = enclaves.configuration(models=named, limits=limits, endpoint="https://127.0.0.1:7")
        cargo = EnclaveInputs(configuration.encode(), tuple(manifests), artifacts)
        running: Running = await Starter(self.launcher, self.root, 120).start(
            cargo,
            epoch=1,
            beacon=Beacon(0, bytes(32)),
            on_message=lambda message: self._heard(running, message),
            on_ended=lambda: None,
        )
        self.started.append(running)
        return running

    def _heard(self, running: Running, message: control.FromEnclave) -> None:
        self.told.append(message)
        if isinstance(message, control.Signed):
            running.link.send(control.Stored(message.sequence))


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    """Enclaves from the product's image."""
    made = Box()
    yield made
    for running in made.started:
        await running.link.close()
    made.launcher.close()


async def http(
    running: Running, method: str, path: str, body: bytes = b"", kind: bytes = b""
) -> tuple[int, bytes]:
    """One request over TLS; status, and the body to the connection's end (HTTP/1.0 has no chunks)."""
    ours, theirs = socket.socketpair()
    running.link.send(control.Connection(), owned=theirs)
    reader, writer = await asyncio.open_connection(
        sock=ours, ssl=enclaves.blind_context(), server_hostname="enclave"
    )
    head = f"{method} {path} HTTP/1.0\r\nhost: x\r\ncontent-length: {len(body)}\r\n".encode()
    writer.write(head + (b"content-type: " + kind + b"\r\n" if kind else b"") + b"\r\n" + body)
    await writer.drain()
    async with asyncio.timeout(300):
        answer = await reader.read()
    writer.close()
    status, _, rest = answer.partition(b" ")[2].partition(b" ")
    return int(status), rest.partition(b"\r\n\r\n")[2]


async def send(running: Running, sealed: Sealed, capsule: bytes | None = None) -> tuple[int, bytes]:
    """A sealed request; the outer status and body."""
    data = sealed.capsule if capsule is None else capsule
    return await http(running, "POST", "/v1/hallmark/sealed", data, sealed.media_type)


async def ask(running: Running, sealed: Sealed) -> Opened:
    """A sealed request and its opened answer."""
    status, body = await send(running, sealed)
    assert status == 200, body
    assert WORD.encode() not in sealed.capsule + body
    return sealed.open(body)


async def keys(running: Running, at: int = 0) -> tuple[KeyConfiguration, ...]:
    """The present window's configurations (or the next one's), checked against the attested bundle."""
    told = json.loads((await http(running, "GET", "/v1/hallmark/keys"))[1])
    window = told["windows"][at]
    named = KeyBundle.decode(running.attested.bundle).sealing
    assert isinstance(named, Sealing)
    assert msgspec.to_builtins(named) == told["sealing"]
    path = tuple(unhex(node) for node in window["path"])
    blob = base64.b64decode(window["configurations"])
    return verify_window(named, window["window"], blob, path, window["begins"])


def reason(answer: tuple[int, bytes]) -> tuple[int, str]:
    """Status and reason of an outer error."""
    return answer[0], json.loads(answer[1])["error"]["code"]


def chat(**changes: Any) -> bytes:
    """The question."""
    return json.dumps(QUESTION | changes).encode()


async def test_a_real_enclave_answers_what_is_sealed_to_its_attested_key(box: Box) -> None:
    """Whole and streamed, by every KEM, in both forms; each receipt is over the exact bytes, and neither
    the host nor the log's entry holds the question.
    """
    running = await box.start("digits", "pydoc")
    offered = await keys(running)
    bundle = KeyBundle.decode(running.attested.bundle)
    for kem, changes, chunked in (
        (KEM_XWING, {}, True),
        (KEM_XWING, {"stream": True}, True),
        (KEM_X25519, {"stream": True}, True),
        (KEM_X25519, {}, False),
    ):
        body = chat(**changes)
        sealed = Sealed(of_kem(offered, kem), post(CHAT, body, (RELAY,)), chunked=chunked)
        opened = await ask(running, sealed)
        assert opened.status == 200
        split = split_hallmark_stream if changes else split_hallmark
        content, raw = split(opened.content)
        owned = json.loads(raw)
        receipt = Receipt.from_json(owned["receipt"])
        salts = {name: unhex(salt) for name, salt in owned["salts"].items()}
        assert receipt.request == request_digest(salts["request"], CHAT, body)
        assert receipt.response == response_digest(salts["response"], content)
        assert receipt.bundle == digest_of(KeyBundle, running.attested.bundle)
        text = owned["documents"]["route"].encode()
        route = RouteRecord.decode(text)
        assert digest_of(RouteRecord, text) == receipt.route
        assert (route.path, route.saw_prompt) == ("sealed", ("enclave",))
        assert not isinstance(route.sealed, msgspec.UnsetType)
        assert (route.sealed.window, route.sealed.relay) == (0, RELAY[1].decode())
        assert route.sealed.suite.startswith("x-wing" if kem == KEM_XWING else "x25519")
        if changes:
            frames = [len(chunk) for chunk in opened.chunks[1:-1]]
            assert len(frames) > 1
    assert not isinstance(bundle.sealing, msgspec.UnsetType)
    entries = b"".join(message.entry for message in box.told if isinstance(message, control.Signed))
    assert len([each for each in box.told if isinstance(each, control.Signed)]) == 4
    assert WORD.encode() not in entries
    assert WORD not in repr(box.told)


async def test_a_tensor_model_and_the_reads_answer_sealed(box: Box) -> None:
    """The other endpoints, by ChaCha20-Poly1305; an unknown model is an error under the seal."""
    running = await box.start("digits")
    key = of_kem(await keys(running), KEM_X25519)
    example = json.loads((MODELS / "digits" / "example.json").read_text())
    request = example if "model" in example else {"model": "digits", "inputs": example.get("inputs", example)}
    sealed = Sealed(key, post("/v1/hallmark/infer", json.dumps(request).encode()), aead=AEAD_CHACHA20)
    answer = await ask(running, sealed)
    assert json.loads(split_hallmark(answer.content)[0])["outputs"]
    for path in ("/v1/models", "/v1/hallmark/clock", "/v1/hallmark/identity", "/v1/hallmark/keys"):
        assert (await ask(running, Sealed(key, get(path)))).status == 200
    unknown = await ask(running, Sealed(key, post(CHAT, chat(model="none"))))
    assert (unknown.status, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_what_is_not_sound_is_refused_without_detail(box: Box) -> None:
    """Tampered, cut off, replayed, to a foreign key, too large: one error, and no work. What is announced to
    be beyond the limit as well.
    """
    running = await box.start(body_bytes=100_000)
    key = of_kem(await keys(running), KEM_X25519)
    sealed = Sealed(key, get("/v1/models"))
    for damaged in (
        sealed.capsule[:-1],
        sealed.capsule[:-1] + bytes((sealed.capsule[-1] ^ 1,)),
        sealed.capsule + b"\0",
        sealed.capsule[:30],
        b"",
    ):
        assert reason(await send(running, sealed, damaged)) == (400, "sealed_unreadable")
    assert (await ask(running, sealed)).status == 200
    assert reason(await send(running, sealed)) == (400, "sealed_unreadable")
    foreign = msgspec.structs.replace(key, public_key=ratchet().keys(0)[0].public)
    assert reason(await send(running, Sealed(foreign, get("/v1/models")))) == (400, "sealed_unreadable")
    large = Sealed(key, post(CHAT, b"x" * 1_200_000))
    assert reason(await send(running, large)) == (400, "sealed_unreadable")
    other = msgspec.structs.replace(key, key_id=200)
    assert reason(await send(running, Sealed(other, get("/v1/models")))) == (400, "key_configuration_stale")
    wrong = Sealed(key, post(CHAT, chat(), authority=b"elsewhere.test"))
    assert (await ask(running, wrong)).json()["error"]["code"] == "sealed_foreign_authority"
    inner = await ask(running, Sealed(key, post(CHAT, b"x" * 150_000)))
    assert (inner.status, inner.json()["error"]["code"]) == (413, "body_too_large")


async def _until(holds: Callable[[], Any]) -> Any:
    """The first result that is not false."""
    async with asyncio.timeout(180):
        while not (found := await holds()):  # noqa: ASYNC110 - the enclave's clock has no event here
            await asyncio.sleep(0.02)
        return found


async def test_a_window_that_is_over_opens_nothing(box: Box) -> None:
    """Keys turn by the enclave's clock: the old key is stale, the new one opens, and after the last there are
    none; a replay of the old window is stale as well.
    """
    running = await box.start(sealing_every_ms=4_000, sealing_windows=2, sealing_grace_ms=0)
    first, second = [of_kem(await keys(running, at), KEM_X25519) for at in (0, 1)]
    taken = Sealed(first, get("/v1/models"))
    assert (await ask(running, taken)).status == 200
    early = await send(running, Sealed(second, get("/v1/models")))
    assert reason(early) == (400, "key_configuration_stale")

    async def turned() -> bool:
        return (await send(running, Sealed(second, get("/v1/models"))))[0] == 200

    await _until(turned)
    assert reason(await send(running, Sealed(first, get("/v1/models")))) == (400, "key_configuration_stale")
    assert reason(await send(running, taken)) == (400, "key_configuration_stale")

    async def over() -> bool:
        return (await send(running, Sealed(second, get("/v1/models"))))[0] == 400

    await _until(over)
    assert json.loads((await http(running, "GET", "/v1/hallmark/keys"))[1])["windows"] == []
    assert (await http(running, "GET", "/v1/models"))[0] == 200


async def test_a_new_enclave_opens_nothing_of_the_one_before(box: Box) -> None:
    """Another start, other keys: what was sealed to the first cannot be read by the second."""
    running = await box.start()
    key = of_kem(await keys(running), KEM_XWING)
    sealed = Sealed(key, post(CHAT, chat()))
    await running.link.close()
    again = await box.start()
    assert reason(await send(again, sealed)) == (400, "sealed_unreadable")
    offered = of_kem(await keys(again), KEM_XWING)
    assert offered.key_id == key.key_id
    assert offered.public_key != key.public_key
    named = [KeyBundle.decode(each.attested.bundle).sealing for each in (running, again)]
    assert named[0] != named[1]
    told = json.loads((await http(again, "GET", "/v1/hallmark/keys"))[1])["windows"][0]
    path = tuple(unhex(node) for node in told["path"])
    blob = base64.b64decode(told["configurations"])
    with pytest.raises(HallmarkError):
        verify_window(named[0], 0, blob, path, told["begins"])  # type: ignore[arg-type]  # it has one
