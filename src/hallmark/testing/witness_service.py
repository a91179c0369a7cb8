"""A plain C2SP witness as a process: it checks consistency and nothing else. For tests and benchmarks.

A full node (`hallmark.services.fullnode`) is what a network runs.
"""

from __future__ import annotations

import time

import msgspec

from hallmark.core.errors import HallmarkError, NotFound
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, read_body, respond
from hallmark.http.serve import Listen, Service, run, serve
from hallmark.ledger.note import COSIGNATURE, SigningKey, VerifierKey
from hallmark.ledger.sql_store import SQLWitnessState
from hallmark.ledger.witness import MAX_BODY, Witness, http_reply
from hallmark.settings import from_arguments
from hallmark.store.raw import RawDatabase


class Settings(msgspec.Struct, frozen=True):
    """Key name and seed (hex), the log's vkey, and the store's URL."""

    listen: Listen
    name: str
    seed: str
    log: str
    database: str


def witness_app(witness: Witness) -> ASGIApp:
    """`POST /add-checkpoint` for one witness."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or scope["path"] != "/add-checkpoint":
            raise NotFound("no_such_path", "A witness has one path.")
        try:
            body = await read_body(receive, MAX_BODY)
            line = await witness.add_checkpoint(body, lambda: time.time_ns() // 1_000_000)
        except HallmarkError as error:
            status, kind, text = http_reply(error)
            await respond(send, status, text, content_type=kind.encode())
        else:
            await respond(send, 200, line, content_type=b"text/plain; charset=utf-8")

    return app


async def main(settings: Settings) -> None:
    """Serve until SIGTERM."""
    key = SigningKey(settings.name, COSIGNATURE, bytes.fromhex(settings.seed))
    state = SQLWitnessState(RawDatabase(settings.database))
    witness = Witness(key, [VerifierKey.parse(settings.log)], state)
    await serve(Service(witness_app(witness)), settings.listen)


if __name__ == "__main__":
    run(main(from_arguments(Settings)))
