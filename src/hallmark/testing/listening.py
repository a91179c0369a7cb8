"""A service on a socket for the time of a block, and certificates made for it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from uvicorn.server import ServerState

from hallmark.http.limits import limited_protocol
from hallmark.http.serve import Service
from hallmark.http.tls import spki_digest


@functools.cache
def self_signed(name: str) -> tuple[ssl.SSLContext, bytes]:
    """A server context with a P-256 key, one per name and process, and the SHA-256 of its public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    end = start + datetime.timedelta(days=20_000)
    certificate = x509.CertificateBuilder(subject, subject, key.public_key(), 7, start, end)
    signed = certificate.sign(key, hashes.SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(signed.public_bytes(Encoding.PEM) + secret)
        pem.flush()
        context.load_cert_chain(pem.name)
    return context, spki_digest(signed.public_bytes(Encoding.DER))


@contextlib.asynccontextmanager
async def listening(
    app: Service, sock: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve `app` inside the block, and stop at once: open connections are cut. Gives the base URL."""
    config = uvicorn.Config(
        app, http=limited_protocol(app.limits), lifespan="off", access_log=False, log_config=None
    )
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={}, _loop=loop)  # type: ignore[call-arg]  # our own class

    server = await loop.create_server(protocol, sock=sock, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for connection in tuple(state.connections):
            if connection.transport is not None:
                connection.transport.abort()
