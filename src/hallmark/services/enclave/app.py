"""The application inside the enclave: an OpenAI-compatible API whose every answer carries a receipt.

    POST /v1/chat/completions   POST /v1/completions   POST /v1/embeddings   POST /v1/hallmark/infer
    GET  /v1/models             GET  /v1/models/{id}   GET  /v1/hallmark/identity
    GET  /v1/hallmark/clock     GET  /v1/hallmark/keys     POST /v1/hallmark/stop
    POST /v1/images/generations POST /v1/images/edits (a form)

`create_app` loads every model before the enclave is confined for good. The application holds no state between
requests but the number of answers being made; it logs ids and numbers only.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import EnclaveConfiguration, KeyBundle
from hallmark.core.errors import Conflict, NotFound, Unavailable
from hallmark.core.model_names import read_model_name, require_pin
from hallmark.core.naming import no_such_model
from hallmark.engines import describe_format, load
from hallmark.engines.openai_edits import read_edit
from hallmark.engines.openai_images import AskedImages, check_images
from hallmark.engines.openai_request import Chat, Completion, Envelope, decode, require_text
from hallmark.engines.protocol import Engine, Task
from hallmark.engines.request_errors import BadParameter
from hallmark.engines.request_parameters import refuse_unknown
from hallmark.engines.stepper import Stepper
from hallmark.engines.tensor_request import Inference
from hallmark.engines.upstream import Target, Upstream
from hallmark.http.asgi import Disconnected, Receive, Scope, Send, header, read_body, respond_json
from hallmark.http.errors import UnknownEncoding, not_allowed, respond_error
from hallmark.services.enclave import drawn, infer, relayed, textual
from hallmark.services.enclave.answers import Call, told_of
from hallmark.services.enclave.billing import PAYMENT, TOKENS, X402
from hallmark.services.enclave.limits import BODY_BYTES, silence_s, told
from hallmark.services.enclave.modes import require_mode
from hallmark.services.enclave.routes import client_nonce
from hallmark.services.enclave.runtime import Model, Runtime
from hallmark.services.enclave.stop_requests import Stops
from hallmark.services.sealing.keys import shown

MAX_THREADS: Final = 8
SMALL: Final = 1024
CHARGED: Final = b"hallmark-charged"
"""Told to who sent a payment and gets an error: what it is charged all the same. That is nothing, but where a
complete answer could not be handed out with its receipt. A payment that is used already says nothing of
itself.
"""
EDITS: Final = "/v1/images/edits"
"""The one path whose body is a form, and no JSON."""
READS: Final = frozenset(("/v1/models", "/v1/hallmark/identity", "/v1/hallmark/clock", "/v1/hallmark/keys"))
SCRATCH: Final = Path("/tmp")  # noqa: S108 - the enclave's own tmpfs, the one place that it can write to

T = TypeVar("T")


class Named(msgspec.Struct, frozen=True):
    """The one member that every request has."""

    model: str


class App:
    """The ASGI application; see the module docstring."""

    def __init__(
        self, runtime: Runtime, engines: Mapping[str, Engine], upstreams: Mapping[str, Upstream]
    ) -> None:
        self._runtime = runtime
        self._engines = engines
        self._upstreams = upstreams
        self._busy = 0
        self._stops = Stops()
        self._started = runtime.now() // 1000
        self._body_bytes = runtime.configuration.limits.get("body_bytes", BODY_BYTES)
        self._posts: dict[str, Callable[[Call], Awaitable[None]]] = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/v1/embeddings": self._embedding,
            "/v1/hallmark/infer": self._infer,
            "/v1/images/generations": self._images,
            EDITS: self._edit,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        started = False

        async def watched(message: dict[str, object]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._serve(scope, receive, watched)  # type: ignore[arg-type]  # messages are dicts
        except Disconnected:
            return
        except Exception as error:
            known = told_of(self._runtime, error)
            # A response that had begun cannot become an error: returning cuts the connection.
            if not started:
                sent = any(header(scope, name) for name in (PAYMENT, X402, TOKENS))
                if known.status != Conflict.status and sent:
                    charged = (CHARGED, str(getattr(known, "charged", 0)).encode())
                    known.__dict__["headers"] = (*getattr(known, "headers", ()), charged)
                await respond_error(send, known)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"].rstrip("/"), scope["method"]
        if path != scope["path"]:
            scope = {**scope, "path": path}
        if path in self._posts:
            if method != "POST":
                raise not_allowed("POST")
            if header(scope, b"content-encoding") not in (None, b"identity"):
                raise UnknownEncoding(
                    "unsupported_encoding", "A node takes bodies as they are, not compressed."
                )
            body = await read_body(receive, self._body_bytes)
            if path != EDITS:
                require_text(body)
            with self._place():
                await self._posts[path](Call(self._runtime, scope, receive, send, body, self._stops))
        elif path == "/v1/hallmark/stop":
            if method != "POST":
                raise not_allowed("POST")
            await read_body(receive, SMALL)
            await respond_json(send, {"stopped": self._stops.stop(client_nonce(scope))})
        elif path in READS or path.startswith("/v1/models/"):
            if method not in ("GET", "HEAD"):
                raise not_allowed("GET", "HEAD")
            await respond_json(send, self._read(path))
        else:
            raise NotFound("unknown_path", "There is nothing at this path.", "See docs/api.md for the paths.")

    def _place(self) -> _Place:
        if self._busy >= self._runtime.configuration.capacity:
            raise Unavailable(
                "node_busy", "This node answers as many requests as it can.", "Try again shortly."
            )
        return _Place(self)

    async def _chat(self, call: Call) -> None:
        label = self._asked(call, decode(call.body, Named).model)
        if label in self._upstreams:
            await relayed.answer(call, Task.CHAT, decode(call.body, Envelope), self._upstreams[label])
            return
        model, engine = self._engine(label, Task.CHAT)
        asked = msgspec.structs.replace(decode(call.body, Chat), model=label)
        refuse_unknown(call.body, Chat)
        await textual.answer(call, asked, model, engine)

    async def _completion(self, call: Call) -> None:
        label = self._asked(call, decode(call.body, Named).model)
        if label in self._upstreams:
            await relayed.answer(call, Task.COMPLETION, decode(call.body, Envelope), self._upstreams[label])
            return
        model, engine = self._engine(label, Task.COMPLETION)
        asked = msgspec.structs.replace(decode(call.body, Completion), model=label)
        refuse_unknown(call.body, Completion)
        await textual.answer(call, asked, model, engine)

    async def _embedding(self, call: Call) -> None:
        label = self._asked(call, decode(call.body, Named).model)
        if label not in self._upstreams:
            self._engine(label, Task.EMBEDDING)
            raise not_offered(Task.EMBEDDING)
        await relayed.answer(call, Task.EMBEDDING, decode(call.body, Envelope), self._upstreams[label])

    async def _images(self, call: Call) -> None:
        label = self._asked(call, decode(call.body, Named).model)
        if label not in self._upstreams:
            model, engine = self._engine(label, Task.IMAGE)
            drawing = msgspec.structs.replace(decode(call.body, drawn.Drawing), model=label)
            check_images(decode(call.body, AskedImages))
            refuse_unknown(call.body, drawn.Drawing)
            await drawn.answer(call, drawing, model, engine)
            return
        check_images(decode(call.body, AskedImages))
        await relayed.answer(call, Task.IMAGE, decode(call.body, Envelope), self._upstreams[label])

    async def _edit(self, call: Call) -> None:
        edit = read_edit(header(call.scope, b"content-type") or b"", call.body)
        label = self._asked(call, edit.model)
        if label not in self._upstreams:
            self._engine(label, Task.IMAGE)
            raise NotFound(
                "unsupported_endpoint",
                "This model draws from a prompt alone: it changes no images.",
                "Use /v1/images/generations, or a model that a provider answers for.",
            )
        await relayed.answer(call, Task.IMAGE, Envelope(edit.model), self._upstreams[label], edit=edit)

    async def _infer(self, call: Call) -> None:
        asked = decode(call.body, Inference)
        asked = msgspec.structs.replace(asked, model=self._asked(call, asked.model))
        model, engine = self._engine(asked.model, Task.TENSOR)
        refuse_unknown(call.body, Inference)
        await infer.answer(call, asked, model, engine)

    def _asked(self, call: Call, model: str) -> str:
        """The same, where this node can also keep the mode that the request asks for: see `require_mode`."""
        label = self._label(model)
        if label in self._upstreams or label in self._engines:
            known = None if label in self._upstreams else self._runtime.models[label].manifest
            require_mode(call.scope, self._runtime.configuration.mode, known)
        return label

    def _label(self, model: str) -> str:
        """The label that a request names. Raises PinNotMet when it pins another artifact than runs here."""
        name = read_model_name(model)
        if not name.artifact:
            return model
        known = self._runtime.models.get(name.label)
        if known is None and name.label not in self._upstreams:
            raise self._unknown(name.label)
        require_pin(name, known.manifest.artifact if known else None)
        return name.label

    def _engine(self, label: str, task: Task) -> tuple[Model, Engine]:
        if label not in self._engines:
            raise self._unknown(label)
        if task not in self._engines[label].tasks:
            raise not_offered(task)
        return self._runtime.models[label], self._engines[label]

    def _read(self, path: str) -> dict[str, object]:
        if path == "/v1/hallmark/identity":
            return self._identity()
        if path == "/v1/hallmark/clock":
            limits = told(self._runtime.configuration.limits)
            return {"now": self._runtime.now(), "limits": limits}
        if path == "/v1/hallmark/keys":
            if self._runtime.sealing is None:
                raise NotFound("nothing_sealed_taken", "This node takes nothing sealed.", "Use another node.")
            return shown(self._runtime.sealing)
        if path == "/v1/models":
            labels = sorted({*self._engines, *self._upstreams})
            return {"object": "list", "data": [self._model(label) for label in labels]}
        return self._model(self._label(path.removeprefix("/v1/models/")))

    def _model(self, label: str) -> dict[str, object]:
        base = {"id": label, "object": "model", "created": self._started}
        if label in self._engines:
            manifest = self._runtime.models[label].manifest
            facts: dict[str, object] = {
                "artifact": manifest.artifact,
                "sha256": manifest.sha256,
                "version": manifest.version,
                "manifest": hex0x(self._runtime.models[label].manifest_digest),
                "tasks": sorted(task.value for task in self._engines[label].tasks),
                "engine": self._engines[label].describe().text(),
            }
            return base | {"owned_by": "hallmark", "hallmark": facts}
        if label in self._upstreams:
            facts = {"artifact": None, "upstream": self._upstreams[label].target.url}
            return base | {"owned_by": "upstream", "hallmark": facts}
        raise self._unknown(label)

    def _unknown(self, label: str) -> UnknownModel:
        """The error for a model that this node does not have, with OpenAI's code and status."""
        message, hint = no_such_model(label, {*self._engines, *self._upstreams})
        return UnknownModel("model_not_found", message, "model", hint)

    def _identity(self) -> dict[str, object]:
        bundle, beacon = self._runtime.bundle, self._runtime.beacon()
        return {
            "address": hex0x(self._runtime.address),
            "bundle": bundle.decode(),
            "configuration": self._runtime.configuration_document.decode(),
            "bundle_digest": hex0x(digest_of(KeyBundle, bundle)),
            "evidence": base64.b64encode(self._runtime.evidence).decode(),
            "beacon": {"size": beacon.size, "root": hex0x(beacon.root)},
        }


class _Place:
    """One of the node's places, taken from before the first to after the last byte of an answer."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __enter__(self) -> None:
        self._app._busy += 1

    def __exit__(self, *_: object) -> None:
        self._app._busy -= 1


class UnknownModel(BadParameter):
    """There is no such model here (404)."""

    status = 404


def not_offered(task: Task) -> NotFound:
    """The error for an endpoint that a model does not serve."""
    return NotFound(
        "unsupported_endpoint", f"This model does not offer '{task}' on this node.", "See GET /v1/models."
    )


def describe_engines(configuration: EnclaveConfiguration, models: Mapping[str, Model]) -> str:
    """One line for `KeyBundle.engine`: each engine that the models need, and whether there are upstreams."""
    formats = sorted({model.manifest.format for model in models.values()})
    lines = [describe_format(name).text() for name in formats]
    return "; ".join([*lines, "upstream"] if configuration.upstreams else lines)


def create_app(runtime: Runtime, *, scratch: Path = SCRATCH) -> App:
    """Load every model and make the application.

    Limits of the configuration: `body_bytes` (of a request), `engine_threads`, `request_ms` (an answer), and
    `upstream_ms` (an upstream's silence, always below that). Raises as `engines.load` does.
    """
    configuration = runtime.configuration
    threads = configuration.limits.get("engine_threads") or min(len(os.sched_getaffinity(0)), MAX_THREADS)
    stepper = Stepper(threads)
    engines = {}
    for label, model in runtime.models.items():
        digest = bytes.fromhex(model.manifest.sha256[2:])
        engines[label] = load(
            model.artifact, digest, format_=model.manifest.format, stepper=stepper, scratch=scratch
        )
    secure = any(url.startswith("https:") for url in configuration.upstreams.values())
    context = ssl.create_default_context() if secure else None
    upstreams = {
        label: Upstream(
            Target.parse(label, url), runtime.dial, context, silence_s=silence_s(configuration.limits)
        )
        for label, url in configuration.upstreams.items()
    }
    return App(runtime, engines, upstreams)
