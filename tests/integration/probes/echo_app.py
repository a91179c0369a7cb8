"""A small application for enclaves under test: says what it sees, signs a receipt when asked to."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def describe_engines(configuration: Any, models: Any) -> str:
    """The engine line of the key bundle."""
    return f"echo, {len(models)} models"


def create_app(runtime: Any) -> Any:
    """The application. Artifacts are readable until this returns."""
    models = {label: hashlib.sha256(model.artifact).hexdigest() for label, model in runtime.models.items()}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = json.dumps(await _answer(runtime, models, scope["path"], body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _answer(runtime: Any, models: dict[str, str], path: str, body: bytes) -> Any:
    if path == "/echo":
        return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    if path == "/receipt":
        return await _receipt(runtime, body)
    if path.startswith("/dial/"):
        return await _dial(runtime, path.removeprefix("/dial/"), body)
    beacon = runtime.beacon()
    return {
        "address": runtime.address.hex(),
        "bundle": runtime.bundle.decode(),
        "evidence": runtime.evidence.hex(),
        "models": models,
        "beacon": [beacon.size, beacon.root.hex()],
        "random": [runtime.random(32).hex(), runtime.random(32).hex()],
    }


async def _receipt(runtime: Any, body: bytes) -> Any:
    from hallmark.services.enclave.runtime import ReceiptDraft

    now = runtime.now()
    digest = hashlib.sha256(body).digest()
    signed = await runtime.sign_receipt(
        ReceiptDraft(
            request=digest,
            response=digest,
            parameters=bytes(32),
            route=bytes(32),
            beacon=runtime.beacon(),
            started=now,
            finished=now,
            tokens_in=1,
            tokens_out=2,
            attachments=(b"", b"", b""),
        )
    )
    return {"sequence": signed.receipt.sequence, "entry": signed.entry.hex()}


async def _dial(runtime: Any, name: str, body: bytes) -> Any:
    import asyncio

    connection = await runtime.dial(name)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(body)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return {"answer": answer.decode()}
