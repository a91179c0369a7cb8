"""The host's part in giving an enclave its upstreams' keys: it passes on ciphertext.

A program of the operator's (`sealer`) gets the enclave's bundle and evidence on standard input, checks them,
and writes what it sealed to standard output. It runs when an enclave has begun and when this process gets
SIGHUP; `services/node/sealer.py` is the one for keys in files on this machine.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.services.enclave import control
from hallmark.services.node.enclave_start import Running
from hallmark.telemetry.logs import get_logger

LIMIT: Final = 1 << 20
TIMEOUT_S: Final = 30.0
RETRY_S: Final = 30.0


class SealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sealer reads: the key bundle's text, encoded evidence, the packed registration."""

    bundle: str
    evidence: bytes
    statement: bytes


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sealer writes: by label a sealed key (empty: none is held), or why there is nothing at all."""

    keys: dict[str, bytes] = {}
    problem: str = ""


class State(msgspec.Struct, frozen=True):
    """How an upstream's key stands in the enclave: `set`, `missing`, or the reason why it was refused; and
    since when (unix ms).
    """

    state: str
    at: int


class KeySealing:
    """Runs the sealer for each enclave: `give` before anybody asks the enclave, then `follow`."""

    def __init__(self, sealer: Sequence[str], labels: Sequence[str]) -> None:
        self._sealer, self._labels = tuple(sealer), tuple(labels)
        self._wanted = asyncio.Event()
        self._sent: dict[str, bool] = {}
        self._given: Running | None = None
        self.states: dict[str, State] = {}

    async def give(self, running: Running) -> str:
        """Give this enclave its keys; the reason when that failed. `follow` tries again then."""
        if not self._sealer or not self._labels:
            return ""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._wanted.set)
        self._wanted.clear()
        problem = await self._deliver(running)
        if problem:
            get_logger().error("upstream_keys_not_sealed", reason=problem)
            self.states = dict.fromkeys(self._labels, State(problem, _now()))
        else:
            self._given = running
        return problem

    async def follow(self, running: Running) -> None:
        """Give this enclave its keys if it has none yet, and again whenever they were changed."""
        if not self._sealer or not self._labels:
            await asyncio.Event().wait()
        problem = "" if self._given is running else await self.give(running)
        while True:
            try:
                async with asyncio.timeout(RETRY_S if problem else None):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            problem = await self.give(running)

    def taken(self, message: control.UpstreamKeyTaken) -> None:
        """The enclave's word about a key."""
        state = message.reason or ("set" if self._sent.get(message.label) else "missing")
        self.states[message.label] = State(state, _now())

    async def _deliver(self, running: Running) -> str:
        """Run the sealer and pass its output on; the reason when that failed."""
        attested = running.attested
        asked = SealRequest(attested.bundle.decode(), attested.evidence, attested.statement)
        try:
            sealed = await _run(self._sealer, msgspec.json.encode(asked))
            if sealed.problem:
                return sealed.problem[:64]
            for label in self._labels:
                key = sealed.keys.get(label, b"")
                self._sent[label] = bool(key)
                running.link.send(control.UpstreamKey(label, key))
        except HallmarkError as error:
            return error.reason
        return ""


async def _run(argv: tuple[str, ...], asked: bytes) -> Sealed:
    """One run of the sealer. Raises Unavailable `sealer_failed`."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LIMIT,
        )
    except OSError as error:
        raise Unavailable("sealer_failed", "The sealer cannot be started.") from error
    try:
        async with asyncio.timeout(TIMEOUT_S):
            told, _ = await process.communicate(asked)
        return msgspec.json.decode(told, type=Sealed)
    except (TimeoutError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable("sealer_failed", "The sealer gave nothing that can be used.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _now() -> int:
    return time.time_ns() // 1_000_000


def read_asked(data: bytes) -> SealRequest:
    """What a host asks a sealer. Raises InvalidInput `bad_message`."""
    try:
        return msgspec.json.decode(data, type=SealRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_message", "The host's request cannot be read.") from error
