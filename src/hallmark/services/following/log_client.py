"""The log as a gateway uses it: submit, follow, ask for proofs. Nothing that it says is believed here."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Final, TypeAlias

import msgspec

from hallmark.core.document import Hex32
from hallmark.core.entries import entry_id
from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.http.client import Exchange, Pool, Timeouts
from hallmark.http.connection import Response
from hallmark.http.retry import retry_after_of
from hallmark.ledger import proof_of_work
from hallmark.ledger.follow import Frame, Frames
from hallmark.ledger.tiles import decode_bundle, entry_bundles

TIMEOUTS: Final = Timeouts(connect=2.0, head=15.0, idle=15.0)
# The log says every 30 s that it is there, to who rests for up to 60 s after that.
FOLLOWING: Final = Timeouts(connect=2.0, head=15.0, idle=120.0)
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
BINARY: Final[Headers] = ((b"content-type", b"application/octet-stream"),)
PERMANENT: Final = (400, 413, 422)


class Place(msgspec.Struct, frozen=True):
    """Where the log put an entry: index and admission time (unix ms)."""

    index: int
    admitted: int


class LogHead(msgspec.Struct, frozen=True):
    """How many entries the log says that it has, and up to where a quorum cosigned."""

    size: int
    cosigned_size: int


class Refused(VerificationFailed):
    """The log will never take this entry; trying again is of no use."""


class WorkMissing(Unavailable):
    """The log asks for a proof of work of so many bits."""

    bits = 0


class _Detail(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""
    work_bits: int = 0


class _Failure(msgspec.Struct, frozen=True):
    error: _Detail = _Detail()


class LogClient:
    """Speaks to one log by URL."""

    def __init__(self, pool: Pool, url: str) -> None:
        self._pool = pool
        self._url = url.rstrip("/")

    async def add(self, entry: bytes, *, works: bool = False) -> Place:
        """Submit an entry; returns once it is durable. With `works` a proof of work is made where the log
        asks for one. Raises Refused, Unavailable, or what is retryable.
        """
        try:
            return await self._add(entry, BINARY)
        except WorkMissing as error:
            work = await proof_of_work.answer(entry_id(entry), error.bits) if works else None
            if work is None:
                raise
        return await self._add(entry, (*BINARY, work))

    async def _add(self, entry: bytes, headers: Headers) -> Place:
        async with self._pool.request(
            "POST", f"{self._url}/add", headers, entry, timeouts=TIMEOUTS
        ) as response:
            if response.status == 200:
                return await response.json(Place)
            raise await _error(response)

    async def find(self, entry: bytes) -> Place:
        """Where an entry stands. Raises NotFound `no_such_entry`, Unavailable."""
        async with self._get(f"/find/{entry_id(entry).hex()}") as response:
            if response.status == 200:
                return await response.json(Place)
            raise await _error(response)

    async def checkpoint(self) -> bytes:
        """The newest checkpoint that the log says a quorum cosigned, as a note."""
        async with self._get("/checkpoint") as response:
            if response.status == 200:
                return await response.read(65_536)
            raise await _error(response)

    async def latest(self) -> bytes:
        """The newest checkpoint that the log signed, with the cosignatures that it has; perhaps none."""
        async with self._get("/checkpoint/latest") as response:
            if response.status == 200:
                return await response.read(65_536)
            raise await _error(response)

    async def head(self) -> LogHead:
        """What the log says of its own size. Raises Unavailable."""
        async with self._get("/head") as response:
            if response.status == 200:
                return await response.json(LogHead, 65_536)
            raise await _error(response)

    async def wait(self, size: int, timeout_ms: int) -> None:
        """Return when the log says that its cosigned size is at least `size`, or after the time."""
        async with self._get(f"/wait?size={size}&timeout={timeout_ms}") as response:
            if response.status != 200:
                error = await _error(response)
                if error.reason != "not_witnessed_yet":
                    raise error
                return
            await response.read(65_536)

    def follow(self, start: int, *, tail: bool = False) -> AsyncGenerator[list[Frame], None]:
        """What the log tells from leaf `start` on (`ledger.follow`), until it ends or `aclose`; with `tail`
        what no quorum covers too. What has come when it is asked for comes together. Raises NotFound
        `no_such_path` from who does not tell, Unavailable, InvalidInput `bad_frame`.
        """
        return self._stream(f"from={start}" + ("&tail=1" if tail else ""))

    async def checkpoints(self, every_ms: int) -> AsyncGenerator[Frame, None]:
        """As `follow`, checkpoints alone, at most one in `every_ms`: the first at once, then the newest."""
        async with contextlib.aclosing(self._stream(f"notes=1&every={every_ms}")) as told:
            async for frames in told:
                for frame in frames:
                    yield frame

    async def _stream(self, query: str) -> AsyncGenerator[list[Frame], None]:
        url = f"{self._url}/follow?{query}"
        async with self._pool.request("GET", url, timeouts=FOLLOWING) as response:
            if response.status != 200:
                raise await _error(response)
            frames = Frames()
            async for chunk in response:
                yield frames.feed(chunk)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end). Raises Unavailable `bad_bundle` and as requests do.

        Asked by range, which moves each leaf once; an entry bundle that grows would be fetched again and
        again. A mirror that serves tiles only (C2SP tlog-tiles) will do too.
        """
        found: list[bytes] = []
        while len(found) < end - start:
            part = await self._range(start + len(found), end)
            if part is None:
                return await self._bundles(start, end)
            if not 0 < len(part) <= end - start - len(found):
                raise Unavailable("bad_bundle", "The log served a range of leaves of the wrong length.")
            found += part
        return found

    async def _range(self, start: int, end: int) -> list[bytes] | None:
        async with self._get(f"/leaves?start={start}&end={end}") as response:
            if response.status == 404:
                await response.read(65_536)
                return None
            if response.status != 200:
                raise await _error(response)
            return decode_bundle(await response.read(512 * 1024 * 1024))

    async def _bundles(self, start: int, end: int) -> list[bytes]:
        found: list[bytes] = []
        for name in entry_bundles(start, end):
            async with self._get(f"/{name.path}") as response:
                if response.status != 200:
                    raise await _error(response)
                leaves = decode_bundle(await response.read(32 * 1024 * 1024))
            if len(leaves) != name.width:
                raise Unavailable("bad_bundle", "The log served an entry bundle of the wrong length.")
            found += leaves
        first = start // 256 * 256
        return found[start - first : end - first]

    async def path(self, index: int, size: int) -> tuple[str, ...]:
        """The inclusion path of an entry at `size`, 0x-hex nodes. Raises what the log answers with."""
        async with self._get(f"/inclusion/{index}?size={size}") as response:
            if response.status != 200:
                raise await _error(response)
            return (await response.json(_Inclusion, 65_536)).path

    async def proof(self, index: int, wait_ms: int = 0) -> str:
        """The tlog-proof of an entry against the newest cosigned checkpoint.

        Raises Unavailable `not_witnessed_yet` when no cosigned checkpoint covers it within `wait_ms`.
        """
        async with self._get(f"/proof/{index}?wait={wait_ms}") as response:
            if response.status == 200:
                return (await response.read(131_072)).decode("utf-8", "replace")
            raise await _error(response)

    def _get(self, path: str) -> Exchange:
        return self._pool.request("GET", self._url + path, timeouts=TIMEOUTS)


class _Inclusion(msgspec.Struct, frozen=True):
    path: tuple[Hex32, ...]


async def _error(response: Response) -> HallmarkError:
    """The log's own refusal as an error of the tree."""
    try:
        detail = msgspec.json.decode(await response.read(65_536), type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        detail = _Detail()
    reason = detail.code or "log_refused"
    if response.status in PERMANENT or reason == "statement_logged":
        return Refused(reason, "The log does not take this entry.")
    if detail.work_bits:
        missing = WorkMissing(reason, "The log asks for a proof of work.")
        missing.bits = detail.work_bits
        return missing
    if response.status == 404:
        return NotFound(reason, "The log has no such entry.")
    error = Unavailable(reason, f"The log answers {response.status}.")
    error.retry_after = retry_after_of(response)
    return error
