"""Behind the seal: sealed requests are asked of the same application as plain ones.

POST /v1/hallmark/sealed   see services/sealing/server.py
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from hallmark.core.errors import class_of, places_of
from hallmark.http.asgi import ASGIApp, Scope
from hallmark.services.enclave.limits import BODY_BYTES
from hallmark.services.enclave.runtime import TEXT_LIMIT, Runtime
from hallmark.services.sealing.replays import MOST, ReplayCache
from hallmark.services.sealing.server import SealedApp


def seal_with(runtime: Runtime) -> Callable[[ASGIApp], ASGIApp] | None:
    """What puts an application behind this enclave's keys; None where it has none for that.

    Limits of the configuration: `body_bytes` (of a request's content), `body_ms`, `sealed_requests` (that can
    be remembered in a window).
    """
    keys = runtime.sealing
    if keys is None:
        return None
    limits = runtime.configuration.limits

    def tell(_scope: Scope, error: Exception) -> None:
        where = places_of(error, causes=1)[-TEXT_LIMIT:]
        runtime.log("internal_error", kind=class_of(error), where=where)

    def seal(app: ASGIApp) -> ASGIApp:
        return SealedApp(
            app,
            keys,
            authorities=(urlsplit(runtime.configuration.endpoint).netloc,),
            replays=ReplayCache(runtime.random(32), limits.get("sealed_requests", MOST)),
            body=limits.get("body_bytes", BODY_BYTES),
            body_s=limits.get("body_ms", 30_000) / 1000,
            random=runtime.random,
            tell=tell,
        )

    return seal
