"""The development chain: starts anvil, keeps it running, funds the accounts that need gas.

anvil runs as a child that dies with this process. It has no account of its own (no well-known development key
holds anything); funds come by `anvil_setBalance`, which exists on development chains only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import time
from asyncio.subprocess import Process
from pathlib import Path
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.http.health import Health, lasted
from hallmark.services.chain.contract import FACTORY
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.settings import Settings
from hallmark.services.chain.state import Restored, prepare_state
from hallmark.telemetry.logs import get_logger

PR_SET_PDEATHSIG: Final = 1
START_S: Final = 20.0
STOP_S: Final = 10.0
PAUSE_S: Final = 0.5
# How often its block number is read; its end is noticed at once.
POLL_S: Final = 5.0
EQUIP_EVERY: Final = 12
# Runtime code of the deterministic deployment proxy, as its published transaction leaves it.
FACTORY_CODE: Final = (
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
STILL_BLOCKS: Final = 4
"""So many blocks may be missing, beyond what one look takes, before health says that none come."""
ETHER: Final = 10**18
_libc = ctypes.CDLL(None, use_errno=True)


def judge(state: Health, still_ms: int, limit_ms: int, now: int) -> Health:
    """Health at `now` (unix ms) of a chain whose newest block came `still_ms` ago."""
    if state.state != "ready" or still_ms < limit_ms:
        return state
    return Health("degraded", "chain_silent", now - still_ms, f"No block has come for {lasted(still_ms)}.")


def anvil_command(settings: Settings) -> tuple[str, ...]:
    """The argv of anvil."""
    return (
        settings.anvil,
        "--host=127.0.0.1",
        f"--port={settings.rpc_port}",
        f"--chain-id={settings.chain_id}",
        f"--block-time={settings.block_seconds}",
        "--mixed-mining",
        "--hardfork=cancun",
        "--accounts=0",
        "--prune-history=256",
        f"--state={settings.state}",
        f"--state-interval={settings.block_seconds}",
        "--silent",
    )


class DevelopmentChain:
    """Keeps one anvil running until cancelled."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rpc = RPC(f"http://127.0.0.1:{settings.rpc_port}")
        self._state = Health("starting", "anvil_starting")
        self.head = 0
        self._head_at = 0.0
        self.restarts = -1
        self.losses = 0

    @property
    def health(self) -> Health:
        """Ready while blocks come."""
        still = int((time.monotonic() - self._head_at) * 1000)
        limit = int((STILL_BLOCKS * self._settings.block_seconds + POLL_S) * 1000)
        return judge(self._state, still, limit, time.time_ns() // 1_000_000)

    async def run(self) -> None:
        """Run until cancelled; anvil is asked to write its state before this returns."""
        try:
            while True:
                await self._run_once()
        finally:
            self._state = Health("stopping", "anvil_stopping")
            await self.rpc.aclose()

    async def _run_once(self) -> None:
        """One life of anvil: from its start until it dies or its memory has grown enough."""
        restored = await asyncio.to_thread(prepare_state, Path(self._settings.state))
        self.restarts += 1
        self.losses += restored in (Restored.EARLIER, Restored.LOST)
        process = await asyncio.create_subprocess_exec(
            *anvil_command(self._settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "TOKIO_WORKER_THREADS": "1"},
            preexec_fn=functools.partial(_die_with_parent, os.getpid()),
        )
        try:
            await self._wait_until_serving(process)
            await self._equip()
            self._head_at = time.monotonic()
            self._state = Health("ready")
            get_logger().info("chain_ready", state=restored.value, block=self.head, pid=process.pid)
            await self._watch(process)
        except HallmarkError as error:
            get_logger().warning("chain_failed", reason=error.reason)
            await asyncio.sleep(PAUSE_S)
        finally:
            self._state = Health("starting", "anvil_restarting")
            await stop(process)

    async def _wait_until_serving(self, process: Process) -> None:
        for _ in range(int(START_S / 0.05)):
            if process.returncode is not None:
                raise Unavailable("anvil_failed", f"anvil ended with {process.returncode}.")
            with contextlib.suppress(Unavailable):
                served = await self.rpc.chain_id()
                if served != self._settings.chain_id:
                    raise Unavailable("anvil_failed", "Another chain answers on this port.")
                self.head = await self.rpc.head()
                return
            await asyncio.sleep(0.05)
        raise Unavailable("anvil_failed", f"anvil did not answer within {START_S:g} s.")

    async def _equip(self) -> None:
        """What the chain needs before anybody deploys or pays: the deployment proxy, and funds.

        anvil brings the proxy, but a state that it loads may be without.
        """
        if not await self.rpc.code(FACTORY):
            await self.rpc.call("anvil_setCode", hex0x(FACTORY), FACTORY_CODE)
            get_logger().warning("create2_factory_set")
        for address in self._settings.funded:
            await self._fund(unhex(address))

    async def _fund(self, address: bytes) -> None:
        balance = self._settings.balance_ether * ETHER
        if await self.rpc.balance(address) < balance // 2:
            await self.rpc.call("anvil_setBalance", "0x" + address.hex(), hex(balance))

    async def _watch(self, process: Process) -> None:
        first, polls = self.head, 0
        while process.returncode is None and self.head - first < self._settings.compact_blocks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), POLL_S)
            with contextlib.suppress(Unavailable):
                head = await self.rpc.head()
                if head != self.head:
                    self.head, self._head_at = head, time.monotonic()
                polls += 1
                if polls % EQUIP_EVERY == 0:
                    await self._equip()
        get_logger().info("chain_ends", block=self.head, rc=process.returncode or 0)


async def stop(process: Process) -> None:
    """Ask a process to end, and make it end when it does not."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _die_with_parent(parent: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that line
        os._exit(1)
