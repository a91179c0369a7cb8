"""The product's own image with the models that ship: everything that the engines need is possible inside."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import KeyBundle, Manifest
from hallmark.core.hashing import sha256
from hallmark.hub.artifact import pack_artifact
from hallmark.services.enclave import control
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node import image, machine, measure
from hallmark.services.node.enclave_start import EnclaveInputs, Running, Starter
from hallmark.services.node.launch import Launcher
from hallmark.testing import enclaves

pytestmark = pytest.mark.integration
MODELS = Path(__file__).parents[2] / "models"
FORMATS = {"digits": ("onnx", "tensor"), "pydoc": ("onnxruntime-genai", "chat")}


@pytest.fixture
async def enclave() -> AsyncIterator[Running]:
    """The product's enclave with a tensor model and the language model."""
    artifacts, manifests, models = {}, [], {}
    for label, (form, task) in FORMATS.items():
        data = pack_artifact(MODELS / label / "artifact")
        manifest = Manifest(
            label=label, version="1", artifact=hex0x(sha256(label.encode())), sha256=hex0x(sha256(data)),
            size=len(data), format=form, task=task, card=enclaves.ZERO,
        )  # fmt: skip
        artifacts[label], models[label] = data, hex0x(manifest.digest())
        manifests.append(manifest.encode())
    launcher = Launcher(measure.seal(enclaves.usual_image()), machine.detect(), enclaves.cache())
    cargo = EnclaveInputs(enclaves.configuration(models=models).encode(), tuple(manifests), artifacts)

    def heard(message: control.FromEnclave) -> None:
        if isinstance(message, control.Signed):
            running.link.send(control.Stored(message.sequence))

    running: Running = await Starter(launcher, enclaves.root(), 120).start(
        cargo, epoch=1, beacon=Beacon(0, bytes(32)), on_message=heard, on_ended=lambda: None
    )
    yield running
    await running.link.close()
    launcher.close()


async def test_the_language_model_answers_inside(enclave: Running) -> None:
    """A question is answered in the sandbox, twice alike, with a receipt each."""
    question = {"model": "pydoc", "messages": [{"role": "user", "content": "What does os.mkfifo do?"}]}
    answers = [
        json.loads(await enclaves.ask(enclave, "/v1/chat/completions", json.dumps(question).encode()))
        for _ in range(2)
    ]
    said = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert said[0] == said[1]
    assert said[0]
    assert answers[0]["hallmark"]["id"] != answers[1]["hallmark"]["id"]


async def test_a_tensor_model_answers_inside(enclave: Running) -> None:
    """The example of the model card is classified, and the bundle names both artifacts and engines."""
    example = json.loads((MODELS / "digits" / "example.json").read_text())
    request = example if "model" in example else {"model": "digits", "inputs": example.get("inputs", example)}
    answer = json.loads(await enclaves.ask(enclave, "/v1/hallmark/infer", json.dumps(request).encode()))
    assert answer["outputs"]
    assert answer["hallmark"]["id"]
    bundle = KeyBundle.decode(enclave.attested.bundle)
    assert set(bundle.artifacts) == {hex0x(sha256(label.encode())) for label in FORMATS}
    assert "onnxruntime-genai" in bundle.engine


async def test_an_enclave_without_engines_starts() -> None:
    """The image that only passes on holds no engine's library, and needs none to start and answer."""
    path = image.build(enclaves.cache(), engines=())
    assert path.stat().st_size < 25_000_000
    launcher = Launcher(measure.seal(path), machine.detect(), enclaves.cache())
    running = await Starter(launcher, enclaves.root(), 120).start(
        enclaves.cargo(), epoch=1, beacon=Beacon(0, bytes(32)), on_message=print, on_ended=lambda: None
    )
    question = {"model": "none", "messages": [{"role": "user", "content": "Hello?"}]}
    answer = json.loads(await enclaves.ask(running, "/v1/chat/completions", json.dumps(question).encode()))
    assert answer["error"]["code"] == "model_not_found"
    await running.link.close()
    launcher.close()


def test_the_largest_image_keeps_its_budget() -> None:
    """The image with every engine is under 60 MB."""
    assert enclaves.usual_image().stat().st_size < 60_000_000
