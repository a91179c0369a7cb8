"""One link per witness: sends the newest round, takes the cosignature, tries again in its own rhythm.

A witness that is elsewhere says so by 409 and its own size (C2SP tlog-witness) and gets the right proof next.
One that has another root at the size that it was asked from says 422: it has seen another history.
One that refuses is asked again with the next round; one that cannot be reached, ever less often.

A Hallmark full node is sent the leaves with the checkpoint (`ledger.pushed`), so that it need not fetch them:
one request a round. A witness that does not know that path is asked as C2SP says from then on, until it could
once not be reached: another program may stand there then. So is everybody who lacks more than one push holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable, VerificationFailed
from hallmark.http.client import Pool, Timeouts
from hallmark.http.health import code_of
from hallmark.ledger.note import NoteSignature, parse_signatures, verify_signature
from hallmark.ledger.policy import Party
from hallmark.ledger.pushed import PATH
from hallmark.ledger.text import decimal
from hallmark.ledger.witness import SIZE_TYPE
from hallmark.services.log.publisher import Publisher, Round
from hallmark.services.log.witness_requests import WitnessRequests

MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 2.0
TIMEOUTS = Timeouts(connect=2.0, head=10.0, idle=5.0, pool=5.0)
MAX_ANSWER = 64 * 1024


OBJECTING = b"objections_pending:"


class WitnessRefused(Unavailable):
    """The witness answered, and did not cosign."""


class WitnessStatus(msgspec.Struct, frozen=True):
    """How a witness stands with this log: the size that it cosigned last and when (unix ms, 0: not since the
    start), and why it does not cosign ("": it does), since when.
    """

    name: str
    size: int
    at: int
    problem: str
    since: int


class WitnessClient:
    """Keeps one witness up with the log. `failed(witness, reason)` counts what went wrong; `requests` are
    shared with the other witnesses' links.
    """

    def __init__(
        self,
        publisher: Publisher,
        pool: Pool,
        witness: Party,
        failed: Callable[[str, str], None],
        *,
        requests: WitnessRequests | None = None,
    ) -> None:
        if not witness.url:
            raise InvalidInput("witness_without_url", f"The policy names no URL for {witness.name}.")
        self.witness = witness
        self.known = 0
        self._publisher = publisher
        self._pool = pool
        self._url = witness.url.rstrip("/")
        self._requests = requests or WitnessRequests(publisher.store)
        self._takes_leaves = True
        self._failed = failed
        self._pause = MIN_PAUSE_S
        self.standing = WitnessStatus(witness.name, 0, 0, "", 0)

    async def run(self) -> None:
        """Send rounds until cancelled."""
        while True:
            changed, round_ = self._publisher.changed, self._publisher.current
            if round_ is None or self.witness.name in round_.lines:
                await changed.wait()
                continue
            try:
                line = await self._cosign(round_)
            except HallmarkError as error:
                self._failed(self.witness.name, error.reason)
                self._note_problem(error.reason)
                self._publisher.refuse(round_, self.witness)
                answered = isinstance(error, WitnessRefused)
                self._takes_leaves = self._takes_leaves or not answered
                await self._rest(changed, hurry=answered)
            else:
                self._pause = MIN_PAUSE_S
                self.standing = WitnessStatus(self.witness.name, round_.checkpoint.size, _now(), "", 0)
                self._publisher.accept(round_, self.witness, line)

    def _note_problem(self, reason: str) -> None:
        known = self.standing
        since = known.since if known.problem == reason else _now()
        self.standing = msgspec.structs.replace(known, problem=reason, since=since)

    async def _rest(self, changed: asyncio.Event, *, hurry: bool) -> None:
        """Pause; a new round ends the pause after a refusal, not after a broken connection."""
        pause, self._pause = self._pause, min(self._pause * 2, MAX_PAUSE_S)
        if not hurry:
            await asyncio.sleep(pause)
            return
        try:
            async with asyncio.timeout(pause):
                await changed.wait()
            self._pause = MIN_PAUSE_S
        except TimeoutError:
            return

    async def _cosign(self, round_: Round) -> NoteSignature:
        """One witness's verified cosignature of a round. Raises Refused, Unavailable."""
        for _ in range(3):
            status, kind, body = await self._send(round_)
            if status == 200:
                line = self._line(round_, body)
                self.known = max(self.known, round_.checkpoint.size)
                return line
            if status == 503 and body.startswith(OBJECTING):
                # It has this history and wants its objections in it first, for which the
                # log must take entries.
                self._publisher.agree(round_, self.witness)
            if status in (409, 422) and self.known == round_.checkpoint.size:
                self._check_forked(status, kind, body)
            if status != 409 or kind != SIZE_TYPE:
                raise WitnessRefused(_code(body), f"The witness answered {status}.")
            self._resync(round_, body)
        raise WitnessRefused("witness_refused", "The witness moves its size at each request.")

    async def _send(self, round_: Round) -> tuple[int, str, bytes]:
        old = min(self.known, round_.checkpoint.size)
        pushed = await self._requests.pushed(round_, old) if self._takes_leaves else None
        if pushed is not None:
            answer = await self._post(PATH, b"application/octet-stream", pushed)
            if not _knows_no_such_path(answer):
                return answer
            self._takes_leaves = False
        return await self._post("/add-checkpoint", b"text/plain", await self._requests.plain(round_, old))

    async def _post(self, path: str, kind: bytes, body: bytes) -> tuple[int, str, bytes]:
        headers = ((b"content-type", kind),)
        async with self._pool.request("POST", self._url + path, headers, body, timeouts=TIMEOUTS) as response:
            told = (response.header(b"content-type") or b"").decode("latin-1")
            return response.status, told, await response.read(MAX_ANSWER)

    def _line(self, round_: Round, body: bytes) -> NoteSignature:
        key = self.witness.key
        try:
            for line in parse_signatures(body):
                if (line.name, line.key_id) == (key.name, key.key_id):
                    verify_signature(key, round_.note.text, line)
                    return line
        except (InvalidInput, VerificationFailed) as error:
            raise WitnessRefused("bad_cosignature", "The witness's cosignature does not verify.") from error
        raise WitnessRefused("bad_cosignature", "The witness did not sign with its key.")

    def _check_forked(self, status: int, kind: str, body: bytes) -> None:
        """The witness was asked from the very size of the round: it has another root there if it says 422, or
        by the text of tlog-witness v1.0.0 409 without another size.
        """
        if status == 422 or kind != SIZE_TYPE or body == b"%d\n" % self.known:
            self._publisher.contradict(self.witness, "log_forked")
            raise WitnessRefused("log_forked", "The witness has seen another history of this size.")

    def _resync(self, round_: Round, body: bytes) -> None:
        try:
            size = decimal(body.decode("ascii", "replace").removesuffix("\n"))
        except InvalidInput as error:
            raise WitnessRefused("witness_refused", "The witness's size cannot be read.") from error
        if size > self._publisher.store.size:
            self._publisher.contradict(self.witness, "log_behind_witness")
            raise WitnessRefused(
                "log_behind_witness", "The witness has seen a longer history than the store has."
            )
        self.known = size
        if size > round_.checkpoint.size:
            raise WitnessRefused("witness_ahead_of_round", "The witness has cosigned a later round already.")


def _knows_no_such_path(answer: tuple[int, str, bytes]) -> bool:
    """Whether the same question, asked as C2SP says, may have another answer."""
    status, kind, _ = answer
    return status == 501 or (400 <= status < 500 and status != 422 and kind != SIZE_TYPE)


def _code(body: bytes) -> str:
    """The reason code that a full node's refusal begins with; `witness_refused` from whoever gives none."""
    return code_of(body.partition(b":")[0].decode("latin-1"), "witness_refused")


def _now() -> int:
    return time.time_ns() // 1_000_000
