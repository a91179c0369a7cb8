"""Connections to one upstream server that wait for their next request.

1. A connection carries another request only after its answer came to its end, on the server's own word.
2. It waits for `KEEP_S` seconds at most, less than half of what the common servers allow (vLLM and everything
   else on uvicorn, and llama.cpp: 5 s), so that a request does not meet a server that is just closing.
3. What breaks after the first byte of a request was written is an error, on a kept connection as on a new
   one: nobody can say whether the server had it (RFC 9110 section 9.2.2).
"""

from __future__ import annotations

import asyncio
from typing import Final

from hallmark.core.errors import HallmarkError
from hallmark.http.connection import Connection

KEEP_S: Final = 2.0
LINGER_S: Final = 1.0
"""How long the rest of an answer may take that was read to its last event."""
MOST_REST: Final = 65_536
MOST: Final = 64


class IdleConnections:
    """See the module docstring. `take` and `give` are called from one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Connection, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self) -> Connection | None:
        """The connection that waits for the shortest time, if there is one that can carry a request."""
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.usable:
                return connection
            connection.abort()
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection whose answer was read, or close it."""
        if connection.complete:
            self._keep(connection)
            return
        task = asyncio.get_running_loop().create_task(self._linger(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _linger(self, connection: Connection) -> None:
        """Read what an answer has after its last event, which is no more than the end of its framing."""
        size = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while size <= MOST_REST and (data := await connection.next_chunk()):
                    size += len(data)
        except (HallmarkError, TimeoutError):
            pass
        except BaseException:
            connection.abort()
            raise
        self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        if not connection.finish():
            return
        if len(self._idle) >= MOST:
            connection.abort()
            return
        timer = asyncio.get_running_loop().call_later(KEEP_S, self._drop, connection)
        self._idle[connection] = timer

    def _drop(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        connection.abort()
