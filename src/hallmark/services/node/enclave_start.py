"""Brings one enclave to serving: launch, `Start` with sealed artifacts, first evidence, `Ready`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule
from hallmark.core.document import digest_of
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import Unavailable
from hallmark.services.enclave import control
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node.confinement import RLIMIT
from hallmark.services.node.enclave_link import EnclaveLink, Module
from hallmark.services.node.launch import Launcher, Spawned, launch_unconfined
from hallmark.services.node.measure import SEALS

EVIDENCE_KIND: Final = "nitro-dev"
START_TIMEOUT_S: Final = 120.0
CHUNK: Final = 1 << 20

OnMessage = Callable[[control.FromEnclave], None]


class EnclaveInputs(msgspec.Struct, frozen=True):
    """What an enclave is started with: exact document bytes, and each artifact by label.

    An artifact is its bytes or its file, which is read anew at each start, so that a host keeps no copy; the
    enclave compares what it gets with the manifest either way.
    """

    configuration: bytes
    manifests: tuple[bytes, ...]
    artifacts: Mapping[str, bytes | Path]


class Running(msgspec.Struct, frozen=True):
    """A serving enclave: its link, its key's address, the bundle's exact bytes, the first registration."""

    link: EnclaveLink
    address: bytes
    attested: control.Attested
    facts: dict[str, int]

    @property
    def bundle_digest(self) -> bytes:
        """Digest of the key bundle; 32 bytes."""
        return digest_of(KeyBundle, self.attested.bundle)


class Starter:
    """Starts enclaves of one node. Without a launcher and root it starts vanilla processes."""

    def __init__(
        self, launcher: Launcher | None, root: DevelopmentRoot | None, timeout_s: float = START_TIMEOUT_S
    ) -> None:
        self._launcher = launcher
        self._root = root
        self._timeout_s = timeout_s

    @property
    def measurement(self) -> bytes:
        """PCR0, PCR1 and PCR2 of the enclaves that it starts, 48 bytes each; empty where they have none."""
        if self._launcher is None:
            return b""
        found = self._launcher.sealed.measure(self._launcher.confinement)
        return found.pcr0 + found.pcr1 + found.pcr2

    async def start(
        self,
        cargo: EnclaveInputs,
        *,
        epoch: int,
        beacon: Beacon,
        on_message: OnMessage,
        on_ended: Callable[[], None],
        on_link: Callable[[EnclaveLink], None] = lambda _link: None,
        journal: Path | None = None,
    ) -> Running:
        """One enclave, serving. `journal` is what was kept of its accounts; `on_link` gets the link before
        anything came over it, for what must be answered before the enclave serves.

        Raises Unavailable with the enclave's own reason, `enclave_start_timeout`, `enclave_died`,
        `artifact_unreadable`.
        """
        spawned, module = self._spawn()
        begun = _Beginning(on_message, on_ended)
        link = EnclaveLink(spawned, module, on_message=begun.message, on_ended=begun.ended)
        begun.complaint = link.complaint
        on_link(link)
        sealed: dict[str, int] = {}
        try:
            for label, artifact in sorted(cargo.artifacts.items()):
                sealed[label] = seal_artifact(label, artifact)
            if journal is not None:
                sealed[control.JOURNAL] = seal_artifact(control.JOURNAL, journal)
            link.send(self._message(cargo, tuple(sealed), epoch, beacon), list(sealed.values()))
            async with asyncio.timeout(self._timeout_s):
                address, facts, attested = await begun.ready
        except TimeoutError:
            await link.close()
            raise Unavailable("enclave_start_timeout", "The enclave did not become ready in time.") from None
        except BaseException:
            await link.close()
            raise
        finally:
            for fd in sealed.values():
                os.close(fd)
        return Running(link, address, attested, facts)

    def _spawn(self) -> tuple[Spawned, Module | None]:
        if self._launcher is None or self._root is None:
            return launch_unconfined(), None
        found = self._launcher.sealed.measure(self._launcher.confinement)
        module = SecurityModule(self._root, {0: found.pcr0, 1: found.pcr1, 2: found.pcr2})
        return self._launcher.launch(), lambda request: module.handle(request, time.time_ns() // 1_000_000)

    def _message(
        self, cargo: EnclaveInputs, labels: tuple[str, ...], epoch: int, beacon: Beacon
    ) -> control.Start:
        confined = self._launcher is not None
        rlimits = {}
        if self._launcher is not None and self._launcher.confinement.enforced_by == RLIMIT:
            limits = self._launcher.confinement.limits
            rlimits = {"rlimit_memory": limits.memory_bytes, "rlimit_tasks": limits.tasks}
        return control.Start(
            configuration=cargo.configuration,
            manifests=cargo.manifests,
            labels=labels,
            image=self._launcher.sealed.digest if self._launcher is not None else b"",
            evidence=EVIDENCE_KIND if confined else "",
            epoch=epoch,
            beacon_size=beacon.size,
            beacon_root=beacon.root,
            **rlimits,
        )


class _Beginning:
    """Collects the first `Attested` and `Ready`; passes everything later on."""

    def __init__(self, on_message: OnMessage, on_ended: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_ended = on_ended
        self._attested: control.Attested | None = None
        self.complaint: Callable[[], str] = str
        self.ready: asyncio.Future[tuple[bytes, dict[str, int], control.Attested]] = (
            asyncio.get_running_loop().create_future()
        )

    def message(self, message: control.FromEnclave) -> None:
        """One message from the enclave."""
        if self.ready.done():
            self._on_message(message)
        elif isinstance(message, control.Attested):
            self._attested = message
        elif isinstance(message, control.Ready) and self._attested is not None:
            self.ready.set_result((message.address, message.facts, self._attested))
        elif isinstance(message, control.Failed):
            self.ready.set_exception(Unavailable(message.reason, message.message, self._hint()))
        else:
            self._on_message(message)

    def ended(self) -> None:
        """The process has gone."""
        if not self.ready.done():
            self.ready.set_exception(
                Unavailable("enclave_died", "The enclave ended before it was ready.", self._hint())
            )
        elif not self.ready.exception():
            self._on_ended()

    def _hint(self) -> str:
        return self.complaint()[-1500:]


def seal_artifact(label: str, artifact: bytes | Path) -> int:
    """A sealed memfd with an artifact's bytes, or with what its file holds now; the caller closes it.

    Raises Unavailable `artifact_unreadable`.
    """
    fd = os.memfd_create(f"artifact-{label}"[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(fd, "wb", closefd=False) as memory:
            if isinstance(artifact, bytes):
                memory.write(artifact)
            else:
                with artifact.open("rb") as file:
                    shutil.copyfileobj(file, memory, CHUNK)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError as error:
        os.close(fd)
        raise Unavailable("artifact_unreadable", f"The artifact of {label} cannot be read.") from error
    return fd
