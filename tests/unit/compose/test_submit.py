"""Founding entries count as said only when the log has a place for each of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from hallmark.compose.founding import Founding
from hallmark.compose.genesis import Author
from hallmark.compose.home import Home
from hallmark.compose.plan import make_plan
from hallmark.compose.start import submit_founding
from hallmark.core.errors import Unavailable
from hallmark.core.statements import Retirement, code
from hallmark.crypto.secp256k1 import Key

PLACED = {"index": 0, "admitted": 1}


def refused(reason: str) -> dict[str, object]:
    """One entry's refusal as the log words it."""
    return {"error": {"code": reason, "message": "No."}}


async def submitted(tmp_path: Path, *rounds: list[dict[str, object]]) -> int:
    """Submit two entries to a log that answers with `rounds`, the last for ever; counts the questions."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            body = json.dumps({"results": rounds[min(asked, len(rounds) - 1)]}).encode()
            asked += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plan = msgspec.structs.replace(make_plan(21_500), log_port=port)
    founding, key = Founding(Home(tmp_path)), Key(b"\x01" * 32)
    author = Author(bytes(32), plan.chain_id, 1)
    founding.say(author.entry(Retirement(bytes(32), key.address, code(r), 1), (key,)) for r in ("a", "b"))
    try:
        await submit_founding(plan, founding, patience_s=0.5)
    finally:
        server.close()
    return asked


async def test_every_entry_placed_is_success(tmp_path: Path) -> None:
    """Two places end the matter at the first answer."""
    assert await submitted(tmp_path, [PLACED, PLACED]) == 1


async def test_a_log_that_is_not_ready_is_asked_again(tmp_path: Path) -> None:
    """An answer of 200 with a refusal inside is not success; the next answer is."""
    assert await submitted(tmp_path, [PLACED, refused("log_unconfirmed")], [PLACED, PLACED]) == 2


@pytest.mark.parametrize("reason", ["bad_signature", "log_unconfirmed"])
async def test_a_refused_entry_is_never_taken_for_said(tmp_path: Path, reason: str) -> None:
    """One refused entry among placed ones raises with the log's reason."""
    with pytest.raises(Unavailable) as caught:
        await submitted(tmp_path, [PLACED, refused(reason)])
    assert (caught.value.reason, caught.value.hint) == ("founding_not_logged", reason)
