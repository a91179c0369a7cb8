"""An ASGI application on a loopback port, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvicorn

from hallmark.http.serve import Listen, bind

T = TypeVar("T")


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The application's address while the context lasts."""
    sock = bind(Listen(0))
    config = uvicorn.Config(app, log_level="error", lifespan="off", access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result. In a thread of its own: the browser's driver keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
