"""The host's part in tokens: it brings the issuer's key sets, and carries messages that it cannot read.

TokenKeys     to the enclave: what the issuer sells from, and still takes
HoldWanted    asked once; the enclave serves nobody without the issuer's signed word
TokensDue     on disk before it is sent, and sent until the issuer takes it or refuses it for good

An issuer that knows of no hold has not refused for good: a hold that nobody waits for any more may still be
on its way, and come after its release. So that is said again until a hold would have run out by itself;
otherwise the owner's tokens would be away for all of that time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from hallmark.core.document import Hex32, unhex
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.http.client import Pool, Timeouts
from hallmark.payments.issuing import HOLD_MS, MAX_MESSAGE
from hallmark.services.enclave import control
from hallmark.services.node.desk_work import DeskWork
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.token_store import DueTokens, TokenStore
from hallmark.telemetry.logs import get_logger

MOST_ASKED: Final = 256
FIRST_S: Final = 0.5
LOOK_S: Final = 300.0
"""Key sets are logged long before they are needed, so the issuer is asked for new ones this seldom."""
RETRY_S: Final = 2.0
LATE_S: Final = 5.0
"""So often an issuer that knew of no hold is told again."""
MAX_KEYS: Final = 1 << 20
UNREACHABLE: Final = "issuer_unreachable"
UNKNOWN: Final = "hold_unknown"
AGAIN: Final = frozenset((408, 429))


class KeySetPage(msgspec.Struct, frozen=True):
    """One key set as `GET /v1/issuer/keys` shows it: the exact document, and whether the log has it."""

    digest: Hex32
    document: str
    logged: bool


class KeysPage(msgspec.Struct, frozen=True):
    """`GET /v1/issuer/keys`."""

    issuer: str
    sealing: str
    sealing_signature: str
    sets: tuple[KeySetPage, ...]


class _Said(msgspec.Struct, frozen=True):
    code: str = ""


class _Error(msgspec.Struct, frozen=True):
    error: _Said = _Said()


class TokenDesk:
    """See the module docstring. `start` once, `begin` for each enclave, `close` at the end."""

    def __init__(self, url: str, store: TokenStore) -> None:
        self._url, self._store = url.rstrip("/"), store
        self._pool = Pool(per_origin=16, timeouts=Timeouts(connect=2.0, head=10.0, idle=10.0))
        self._work = DeskWork()
        self._told: set[str] = set()
        self._wake = asyncio.Event()
        self.asked = asyncio.Event()
        """Set once the issuer was asked for key sets, with or without success, since the enclave began."""
        self._settling: set[bytes] = set()
        self._late: dict[bytes, DueTokens] = {}
        self._later = asyncio.Event()
        self.problem = self.issuer = ""
        """`issuer` is its address (0x-hex), once it has said so."""
        self.settled = 0

    def start(self) -> None:
        """Go on with what is due, and keep the key sets up to date."""
        self._work.run(self._resume(), self._watch(), self._again())

    def begin(self, say: Say) -> None:
        """An enclave serves: it knows no key set."""
        self._work.say, self._told = say, set()
        self.asked.clear()
        self._wake.set()

    def end(self) -> None:
        """The enclave is gone: nobody waits for an answer. What is due is settled all the same."""
        self._work.say = None

    async def close(self, limit_s: float) -> None:
        """Wait for what is under way, for a bounded time; what is left is on disk."""
        self.end()
        await self._work.wait(limit_s)
        await self._work.cancel()
        await self._pool.aclose()

    def take(self, message: control.HoldWanted | control.TokensDue) -> None:
        """One message of the enclave's."""
        if isinstance(message, control.TokensDue):
            self._work.begin(self._due(message))
        elif len(self._work.tasks) >= MOST_ASKED:
            self._work.tell(control.IssuerAnswer(message.id, UNREACHABLE))
        else:
            self._work.begin(self._hold(message))

    @property
    def waiting(self) -> int:
        """Settlements that the issuer has not answered."""
        return len(self._settling)

    def status(self) -> dict[str, object]:
        """As /healthz shows it."""
        return {
            "issuer": self._url,
            "key_sets": len(self._told),
            "waiting": self.waiting,
            "late": len(self._late),
            "settled": self.settled,
            "problem": self.problem,
        }

    async def _hold(self, message: control.HoldWanted) -> None:
        try:
            reason, body = await self._post("hold", message.body)
        except HallmarkError:
            reason, body = UNREACHABLE, b""
        self._work.tell(control.IssuerAnswer(message.id, reason, body))

    async def _due(self, message: control.TokensDue) -> None:
        """What is due must get to the disk, however long that takes."""
        due = DueTokens(message.request, message.body, _now())
        while True:
            try:
                await self._store.keep(due)
                break
            except HallmarkError as error:
                get_logger().error("tokens_not_kept", reason=error.reason)
            await asyncio.sleep(RETRY_S)
        await self._settle(due, message.id)

    async def _settle(self, due: DueTokens, number: int = -1) -> None:
        """Until the issuer has said. The same message again gets the same answer."""
        pause, self._settling = FIRST_S, self._settling | {due.request}
        while True:
            try:
                reason, body = await self._said(due)
                break
            except HallmarkError as error:
                if self.problem != error.reason:
                    get_logger().warning("tokens_wait", reason=error.reason)
                self.problem = error.reason
            await asyncio.sleep(pause)
            pause = min(2 * pause, LOOK_S / 10)
        self.problem = ""
        self._settling = self._settling - {due.request}
        self.settled += not reason
        if reason and due.request not in self._late:
            get_logger().warning("tokens_refused", reason=reason)
        if number >= 0:
            self._work.tell(control.IssuerAnswer(number, reason, body))

    async def _said(self, due: DueTokens) -> tuple[str, bytes]:
        """What the issuer says, as `_post`; on disk it is over, or late."""
        reason, body = await self._post("settle", due.body)
        if reason == UNKNOWN and _now() < due.at + HOLD_MS:
            self._late[due.request] = due
            self._later.set()
        else:
            await self._store.over(due.request)
            self._late.pop(due.request, None)
        return reason, body

    async def _again(self) -> None:
        """Say what is late once more, one after the other, now and then."""
        while True:
            await self._later.wait()
            await asyncio.sleep(LATE_S)
            try:
                for due in tuple(self._late.values()):
                    self._late.pop(due.request, None)
                    self._late[due.request] = due  # a round that fails here goes on with the others
                    reason, _ = await self._said(due)
                    self.settled += not reason
            except HallmarkError as error:
                get_logger().warning("tokens_wait", reason=error.reason)
            if not self._late:
                self._later.clear()

    async def _post(self, path: str, body: bytes) -> tuple[str, bytes]:
        """A reason (empty: none) and what the issuer said. Raises what a connection raises, and Unavailable
        where it should be asked again.
        """
        headers = ((b"content-type", b"application/json"),)
        async with self._pool.request("POST", f"{self._url}/v1/issuer/{path}", headers, body) as response:
            said = await response.read(MAX_MESSAGE)
            if response.status == 200:
                return "", said
            if response.status >= 500 or response.status in AGAIN:
                raise Unavailable(UNREACHABLE, "The issuer of tokens cannot answer now.")
            return _reason(said), b""

    async def _resume(self) -> None:
        while True:
            try:
                for due in await self._store.waiting(_now()):
                    self._work.begin(self._settle(due))
                return
            except HallmarkError as error:
                get_logger().error("tokens_unread", reason=error.reason)
            await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        """Bring key sets, now and then; soon while there are none."""
        while True:
            self._wake.clear()
            pause = LOOK_S
            try:
                await self._bring()
                if not self._told:
                    pause = FIRST_S
                self.problem = "" if not self._settling else self.problem
            except HallmarkError as error:
                self.problem, pause = error.reason, RETRY_S
            self.asked.set()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _bring(self) -> None:
        """Raises what a connection raises, Unavailable `issuer_unreachable`."""
        async with self._pool.request("GET", f"{self._url}/v1/issuer/keys") as response:
            data = await response.read(MAX_KEYS)
            if response.status != 200:
                raise Unavailable(UNREACHABLE, "The issuer of tokens cannot answer now.")
        try:
            page = msgspec.json.decode(data, type=KeysPage)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(UNREACHABLE, "The issuer's page of key sets cannot be read.") from error
        self.issuer = page.issuer
        sealing, signature = unhex(page.sealing), unhex(page.sealing_signature)
        for one in page.sets:
            if one.logged and one.digest not in self._told and self._work.say is not None:
                self._work.say(control.TokenKeys(one.document.encode(), sealing, signature))
                self._told.add(one.digest)


def _reason(said: bytes) -> str:
    try:
        return msgspec.json.decode(said, type=_Error).error.code or "issuer_refuses"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "issuer_refuses"


def _now() -> int:
    return time.time_ns() // 1_000_000
