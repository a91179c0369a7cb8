"""One node's life: start an enclave, register it, keep it fresh, pipe for it, and start anew when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time
from typing import Final
from urllib.parse import urlsplit

from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.core.statements import Registration
from hallmark.core.upstreams import origin_of
from hallmark.crypto.secp256k1 import Signer, recover_statement, sign_statement
from hallmark.http.health import Health
from hallmark.services.enclave import control
from hallmark.services.node import renewal
from hallmark.services.node.beacons import Beacons
from hallmark.services.node.enclave_link import EnclaveLink
from hallmark.services.node.enclave_start import EnclaveInputs, Running, Starter
from hallmark.services.node.forwarder import Forwarder, LogClient
from hallmark.services.node.health import Facts, told_of
from hallmark.services.node.key_sealing import KeySealing
from hallmark.services.node.outbox import Outbox
from hallmark.services.node.payments import NodePayments, settlement_key_of
from hallmark.services.node.pipe import Pipes
from hallmark.services.node.settings import Settings
from hallmark.telemetry.logs import get_logger

FIRST_BACKOFF_S: Final = 0.5
LAST_BACKOFF_S: Final = 30.0
QUIET_S: Final = 0.5
STEADY_S: Final = 60.0
PREPARE_S: Final = 5.0
"""For so long at most an enclave is not registered while it lacks what its host brings it."""


class Node:
    """See the module docstring. `run` is the whole of it."""

    def __init__(
        self,
        settings: Settings,
        cargo: EnclaveInputs,
        starter: Starter,
        *,
        owner: Signer,
        outbox: Outbox,
        forwarder: Forwarder,
        log: LogClient,
        payments: NodePayments | None = None,
    ) -> None:
        self._settings = settings
        self._cargo = cargo
        self._starter = starter
        self._owner = owner
        self._outbox = outbox
        self._forwarder = forwarder
        self._log = log
        self.payments = payments
        self._stopping = asyncio.Event()
        self._attested: asyncio.Queue[control.Attested] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self.sealing = KeySealing(settings.sealer, tuple(settings.upstreams))
        self.pipes = Pipes(self._hand, settings.connections)
        self._registered = False
        self._link: EnclaveLink | None = None
        self.running: Running | None = None
        self.life = Health("starting", "enclave")
        self._heard = time.monotonic()
        self.restarts = 0
        self.receipts = 0
        self.registered_at = -1
        self.objected = ""
        """Why full nodes object to the enclave's registration, in words; empty when they do not."""

    def stop(self) -> None:
        """Begin to stop: take no more clients, let what runs come to its end."""
        self.pipes.accepting = False
        self.life = Health("stopping")
        self._stopping.set()

    def facts(self, problem: str = "") -> Facts:
        """What the host observes now; `problem` is the store's."""
        outbox, forwarder = self._outbox, self._forwarder
        return Facts(
            self.life,
            _ms_since(self._heard) if self.running else -1,
            len(outbox.waiting),
            _ms_since(forwarder.stuck_at) if forwarder.stuck_at else -1,
            forwarder.problem,
            _ms_since(outbox.refused_at) if outbox.refused_at else -1,
            problem,
            -1 if self.payments is None else self.payments.late_ms,
            "" if self.payments is None else self.payments.problem,
            self.objected,
        )

    def store_problem(self) -> str:
        """Why the journal of accounts cannot be written, a reason code; empty when it can."""
        return "" if self.payments is None else self.payments.journal.problem

    def outbox_status(self) -> dict[str, object]:
        """How the outbox stands: entries that wait, entries refused for good, the log's last reason."""
        return {
            "outbox_waiting": len(self._outbox.waiting),
            "outbox_refused": self._outbox.refused,
            "log_problem": self._forwarder.problem,
        }

    async def run(self, listening: socket.socket) -> None:
        """Serve clients of `listening` until `stop`."""
        server = await self.pipes.listen(listening)
        storing = asyncio.create_task(self._outbox.run())
        forwarding = asyncio.create_task(self._forwarder.run())
        living = asyncio.create_task(self._live())
        stopping = asyncio.create_task(self._stopping.wait())
        everything = (storing, forwarding, living, stopping)
        try:
            done, _ = await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            server.close()
            await self._wind_down()
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            await self._outbox.close()
            if self.payments is not None:
                await self.payments.close()

    async def _wind_down(self) -> None:
        """Let answers end and receipts reach the log, for a bounded time; then enclave and keys go."""
        limit = self._settings.drain_ms / 1000
        await self.pipes.quiet(QUIET_S, limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._forwarder.idle()
        if self.payments is not None and self.running is not None:
            await self.payments.settle(limit)
        if self.running is not None:
            await self.running.link.close()

    async def _live(self) -> None:
        """One enclave after the other, with a growing pause between those that do not hold."""
        backoff = FIRST_BACKOFF_S
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            try:
                await self._one_life()
            except HallmarkError as error:
                self.life = Health("degraded" if self.running else "starting", error.reason)
                get_logger().error("enclave_problem", reason=error.reason)
                if error.hint and self.running is None:
                    _explain(error.hint)
            if self.running is not None:
                await self.running.link.close()
                self.running = None
            if self._stopping.is_set():
                return
            backoff = FIRST_BACKOFF_S if loop.time() - began > STEADY_S else backoff
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF_S)
            self.restarts += 1

    async def _one_life(self) -> None:
        """From launch to death. Raises what `Starter.start` does, VerificationFailed from the log."""
        self._attested = asyncio.Queue()
        self._registered, self.objected = False, ""
        beacon = await self._log.beacon()
        # Seconds, so that they ascend where the counter is lost too: a second bundle for an epoch is refused.
        epoch = await self._outbox.count("epoch", int(time.time()))
        journal = None if self.payments is None else await self.payments.begin(self._say, self._give_up)
        self.running = running = await self._starter.start(
            self._cargo,
            epoch=epoch,
            beacon=beacon,
            on_message=self._on_message,
            on_ended=self._on_ended,
            on_link=self._linked,
            journal=journal,
        )
        get_logger().info("enclave_serving", node=running.address, bundle=running.bundle_digest, epoch=epoch)
        if self.payments is not None:
            self.payments.serving(settlement_key_of(running.attested.bundle))
        self.life = Health("starting", "registration")
        await self._prepare(running)
        await self._register(running.attested)
        self._registered = True
        if not self._stopping.is_set():
            self._heard = time.monotonic()
            self.life = Health("ready")
        followers = [
            asyncio.create_task(work)
            for work in (
                Beacons(self._log, self._send_beacon, every_ms=self._settings.beacon_ms).run(),
                self._refresh(running),
                self._objections(running),
                self._reregister(),
                self.sealing.follow(running),
                self._renew(running),
            )
        ]
        ended = asyncio.create_task(running.link.wait_ended())
        try:
            done, _ = await asyncio.wait((*followers, ended), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in (*followers, ended):
                task.cancel()
            await asyncio.gather(*followers, ended, return_exceptions=True)
        raise Unavailable("enclave_died", "The enclave has ended; a new one, with new keys, follows.")

    async def _prepare(self, running: Running) -> None:
        """What the first client may already need: upstreams' keys, the issuer's key sets. A sealer or an
        issuer that takes long, or fails, keeps nobody from the rest: it is tried again while the enclave
        serves.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PREPARE_S):
                await self.sealing.give(running)
                if self.payments is not None:
                    await self.payments.prepared()

    async def _register(self, attested: control.Attested) -> None:
        """Sign the owner's part of a registration and see it into the log."""
        statement = Registration.unpack(attested.statement)
        if recover_statement(statement, self._settings.chain_id, attested.signature) != statement.key:
            raise VerificationFailed("bad_signature", "The enclave did not sign its registration.")
        if statement.owner != self._owner.address:
            raise VerificationFailed("wrong_owner", "The registration names another owner.")
        signatures = (attested.signature, sign_statement(statement, self._settings.chain_id, self._owner))
        entry = Entry(statement, signatures, (attested.bundle, attested.evidence))
        placed = await self._forwarder.watch(self._outbox.put(entry.encode(), lambda: None))
        self.registered_at = placed.index
        get_logger().info("node_registered", node=statement.key, index=placed.index)

    async def _refresh(self, running: Running) -> None:
        """Fresh evidence at intervals; an unreachable log only delays it."""
        while True:
            await asyncio.sleep(self._settings.refresh_ms / 1000)
            with contextlib.suppress(HallmarkError):
                beacon = await self._log.beacon()
                running.link.send(control.Attest(beacon.size, beacon.root))

    async def _renew(self, running: Running) -> None:
        """End an enclave whose sealing keys run out, once what it answers has ended, for a bounded time."""
        await renewal.due(running.attested.bundle)
        get_logger().info("enclave_renewed", node=running.address)
        self._registered = False
        self.life = Health("starting", "sealing_keys_over")
        await self.pipes.quiet(QUIET_S, self._settings.drain_ms / 1000)
        raise Unavailable("sealing_keys_over", "Sealing keys run out; an enclave with new keys follows.")

    async def _objections(self, running: Running) -> None:
        """Whether full nodes object to the registration: nobody routes to such a node, and its operator would
        only see that no question comes.
        """
        while True:
            try:
                found = await self._log.objections(self.registered_at)
                break
            except HallmarkError:
                await asyncio.sleep(LAST_BACKOFF_S)
        if found:
            reason = next(iter(found.values()))
            self.objected = told_of(reason, len(found))
            get_logger().error(
                "registration_objected", node=running.address, reason=reason, full_nodes=len(found)
            )
            _explain(self.objected)
        await asyncio.Event().wait()

    async def _reregister(self) -> None:
        while True:
            await self._register(await self._attested.get())

    def _hand(self, connection: socket.socket) -> None:
        if self.running is None or not self._registered:  # a receipt must not reach the log before its key
            connection.close()
            raise Unavailable("enclave_gone", "There is no registered enclave at the moment.")
        self.running.link.send(control.Connection(), owned=connection)

    def _on_message(self, message: control.FromEnclave) -> None:
        self._heard = time.monotonic()
        match message:
            case control.Signed(sequence, entry):
                self.receipts += 1
                self._outbox.put(entry, functools.partial(self._tell, control.Stored(sequence), self.running))
            case control.Attested():
                self._attested.put_nowait(message)
            case control.Dial(number, name):
                task = asyncio.create_task(self._dial(number, name, self.running))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case control.UpstreamKeyTaken():
                self.sealing.taken(message)
            case control.Log(event, ids):
                get_logger().info(event, **ids)
            case control.Failed(reason, _):
                get_logger().error("enclave_failed", reason=reason)
        if self.payments is not None:
            self.payments.take(message)

    def _linked(self, link: EnclaveLink) -> None:
        self._link = link

    def _say(self, message: control.ToEnclave) -> None:
        """To the enclave that runs or begins, if there is one."""
        with contextlib.suppress(HallmarkError):
            if self._link is not None:
                self._link.send(message)

    def _give_up(self) -> None:
        """End an enclave that cannot go on; another one begins."""
        if self._link is not None:
            self._link.kill()

    def _send_beacon(self, update: control.BeaconUpdate) -> None:
        if self.running is not None:
            self.running.link.send(update)
        if self.payments is not None:
            self.payments.look()

    def _on_ended(self) -> None:
        get_logger().warning("enclave_ended")
        if self.payments is not None:
            self.payments.ended()

    async def _dial(self, number: int, name: str, to: Running | None) -> None:
        try:
            host, port = _address(self._settings.upstreams[name])
            connection = await self.pipes.dial(host, port, self._settings.dial_ms / 1000)
        except KeyError:
            self._tell(control.Dialed(number, "unknown_upstream"), to)
        except (OSError, TimeoutError, HallmarkError):
            self._tell(control.Dialed(number, "upstream_unreachable"), to)
        else:
            self._tell(control.Dialed(number), to, connection)

    def _tell(
        self, message: control.ToEnclave, to: Running | None, owned: socket.socket | None = None
    ) -> None:
        """To the enclave that asked, if it is still there: its successor has other keys and numbers."""
        with contextlib.suppress(HallmarkError):
            if to is not None:
                to.link.send(message, owned=owned)
            elif owned is not None:
                owned.close()


def _ms_since(at: float) -> int:
    """Milliseconds since a time of the monotonic clock."""
    return int((time.monotonic() - at) * 1000)


def _address(url: str) -> tuple[str, int]:
    origin_of(url)
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _explain(text: str) -> None:
    """Why a start failed, in the enclave's own words (there is no content before it serves), or why nobody
    comes.
    """
    import sys

    with contextlib.suppress(OSError):
        sys.stderr.write("".join(f"# {line}\n" for line in text.splitlines()))
