"""What sealing costs an enclave: processor time of the same answer, plain and sealed, in turn in one run.

    python bench/sealed_enclave.py [--rounds 15] [--each 40]

One process, no sockets: an ASGI application answers 2 KiB whole, or 20 events of 120 bytes, once plain and
once behind `SealedApp` by each KEM. Requests (2 KiB of content) are sealed beforehand and answers are not
opened, so that only the enclave's end is counted (thread time). Frames are not waited for: each event is its
own frame, which is the most that a stream of 20 can cost. The table has the least and the median of rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from hallmark.crypto.hpke import KEM_X25519, KEM_XWING
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.privacy.key_configurations import Ratchet
from hallmark.services.sealing import outer
from hallmark.services.sealing.server import SealedApp
from hallmark.testing.sealing import Holder, Sealed, ask, post, ratchet

CONTENT = b"x" * 2048
EVENT = b"data: " + b"y" * 112 + b"\n\n"
EVENTS = 20
KINDS = {"whole": "/whole", "stream": "/stream"}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """2 KiB, or 20 events."""
    body = await read_body(receive, 1 << 20)
    if scope["path"] == "/whole":
        await respond(send, 200, body)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(EVENTS):
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def spent(app: object, asked: list[Sealed | bytes], path: str) -> float:
    """Microseconds of processor time for each answer."""
    start = time.thread_time()
    for each in asked:
        await ask(app, each, path=path)  # type: ignore[arg-type]  # an ASGI application
    return (time.thread_time() - start) / len(asked) * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--each", type=int, default=40)
    asked = parser.parse_args()
    outer.GAP_S = -1.0
    holder = Holder(ratchet())
    sealed = SealedApp(answer, holder)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(asked.rounds):
        for kind, path in KINDS.items():
            plain: list[Sealed | bytes] = [CONTENT] * asked.each
            found.setdefault((kind, "plain"), []).append(await spent(answer, plain, path))
            for name, kem in (("x25519", KEM_X25519), ("x-wing", KEM_XWING)):
                made: list[Sealed | bytes] = [
                    Sealed(holder.configuration(kem), post(path, CONTENT)) for _ in range(asked.each)
                ]
                found.setdefault((kind, name), []).append(await spent(sealed, made, "/v1/hallmark/sealed"))
    print(f"{'us of processor time an answer':34}{'least':>9}{'median':>9}")
    for (kind, name), values in found.items():
        print(f"{kind + ', ' + name:34}{min(values):9.0f}{statistics.median(values):9.0f}")
    for kem in ("x25519", "x-wing"):
        both = [min(found["stream", kem]), min(found["whole", kem])]
        plain_both = [min(found["stream", "plain"]), min(found["whole", "plain"])]
        added = (both[0] - both[1]) - (plain_both[0] - plain_both[1])
        print(f"each further frame of a stream, {kem}: {added / (EVENTS - 1):.1f} us")
    for count in (28, 56, 240):
        start = time.thread_time()
        Ratchet(bytes(32), since=0, every=1, count=count)
        print(f"keys of {count} windows at the start: {(time.thread_time() - start) * 1e3:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
