"""The application over tiny real models and a runtime in memory, and a stranger who checks its receipts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import digest_of, unhex
from hallmark.core.documents import (
    Candidates,
    EnclaveConfiguration,
    KeyBundle,
    Manifest,
    Parameters,
    RouteRecord,
    UpstreamRecord,
)
from hallmark.core.hashing import ZERO32
from hallmark.core.merkle import leaf_hash, root
from hallmark.core.receipt import Receipt, request_digest, response_digest
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.engines import load
from hallmark.engines.protocol import Engine
from hallmark.engines.stepper import Stepper
from hallmark.engines.upstream import Target, Upstream
from hallmark.services.enclave.app import App
from hallmark.services.enclave.limits import silence_s
from hallmark.services.enclave.runtime import Model
from hallmark.testing import tiny_models
from hallmark.testing.runtime import CHAIN_ID, MemoryRuntime, model_of

ARTIFACTS = {
    "tiny": (tiny_models.language_artifact(), "onnxruntime-genai"),
    "scores": (tiny_models.tensor_artifact(), "onnx"),
    "ratio": (tiny_models.tensor_artifact(outputs=[{"name": "ratio"}], labels=[]), "onnx"),
}


@pytest.fixture(scope="session")
def engines() -> Iterator[dict[str, Engine]]:
    """Every tiny model, loaded once."""
    stepper = Stepper(2)
    yield {
        label: load(artifact, hashlib.sha256(artifact).digest(), stepper=stepper)
        for label, (artifact, _) in ARTIFACTS.items()
    }
    stepper.close()


@pytest.fixture(scope="session")
def models() -> dict[str, Model]:
    """The models as the shell hands them over."""
    return {label: model_of(label, artifact, name) for label, (artifact, name) in ARTIFACTS.items()}


@pytest.fixture
def runtime(models: dict[str, Model]) -> MemoryRuntime:
    """A fresh runtime with every tiny model."""
    return MemoryRuntime(models)


AppFactory = Callable[[MemoryRuntime], App]


@pytest.fixture
def make_app(engines: dict[str, Engine]) -> AppFactory:
    """Makes an application over a runtime, with the shared engines."""

    def make(runtime: MemoryRuntime) -> App:
        upstreams = {
            label: Upstream(
                Target.parse(label, url), runtime.dial, silence_s=silence_s(runtime.configuration.limits)
            )
            for label, url in runtime.configuration.upstreams.items()
        }
        return App(runtime, engines, upstreams)

    return make


@pytest.fixture
async def client(runtime: MemoryRuntime, make_app: AppFactory) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application."""
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as made:
        yield made


class Checked(msgspec.Struct, frozen=True):
    """A receipt that held: what it covers and what it says."""

    content: bytes
    receipt: Receipt
    hallmark: dict[str, Any]
    parameters: Parameters
    route: RouteRecord


Check = Callable[[httpx.Response], Checked]


@pytest.fixture
def check(runtime: MemoryRuntime) -> Check:
    """Checks an answer's receipt against the exact bytes of request and answer, as its owner would."""

    def checked(response: httpx.Response) -> Checked:
        stream = response.headers["content-type"].startswith("text/event-stream")
        content, raw = (split_hallmark_stream if stream else split_hallmark)(response.content)
        hallmark = msgspec.json.decode(raw)
        receipt = Receipt.from_json(hallmark["receipt"])
        assert hallmark["id"] == "0x" + receipt.digest().hex()
        assert recover_statement(receipt, CHAIN_ID, unhex(hallmark["signature"])) == receipt.node
        assert receipt.node == runtime.address
        request, salts = response.request, {key: unhex(value) for key, value in hallmark["salts"].items()}
        path = request.url.path
        assert receipt.request == request_digest(salts["request"], path, request.content)
        assert receipt.response == response_digest(salts["response"], content)
        documents = hallmark["documents"]
        assert digest_of(KeyBundle, documents["bundle"].encode()) == receipt.bundle
        bundle = KeyBundle.decode(documents["bundle"].encode())
        assert digest_of(EnclaveConfiguration, documents["configuration"].encode()) == unhex(
            bundle.configuration
        )
        assert digest_of(Parameters, documents["parameters"].encode()) == receipt.parameters
        assert digest_of(RouteRecord, documents["route"].encode()) == receipt.route
        for name, kind in (("manifest", Manifest), ("upstream", UpstreamRecord)):
            text, digest = documents[name], getattr(receipt, name)
            assert (digest == ZERO32) if text is None else digest_of(kind, text.encode()) == digest
        if documents["candidates"] is not None:
            Candidates.decode(documents["candidates"].encode())
        assert root([leaf_hash(text.encode()) for text in documents["inputs"]]) == receipt.inputs
        assert base64.b64decode(hallmark["evidence"]) == runtime.evidence
        assert receipt.started <= receipt.finished
        return Checked(
            content,
            receipt,
            hallmark,
            Parameters.decode(documents["parameters"].encode()),
            RouteRecord.decode(documents["route"].encode()),
        )

    return checked
