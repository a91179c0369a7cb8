"""Puts a node together from its settings: image, launcher, root of the security module, cargo, outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration, Manifest
from hallmark.core.errors import InvalidInput
from hallmark.core.receipt import Mode
from hallmark.crypto.secp256k1 import Key, Signer
from hallmark.http.client import Pool
from hallmark.http.serve import bind, serve
from hallmark.services.node import cgroups, image, machine, measure
from hallmark.services.node.app import NodeService
from hallmark.services.node.confinement import SEALED, Confinement
from hallmark.services.node.enclave_start import EnclaveInputs, Starter
from hallmark.services.node.forwarder import Forwarder, LogClient
from hallmark.services.node.launch import Launcher
from hallmark.services.node.node import Node
from hallmark.services.node.outbox import Outbox
from hallmark.services.node.payments import NodePayments, journal_name, journal_path
from hallmark.services.node.settings import TEE, VANILLA, Settings
from hallmark.services.node.shared_image import SharedImage, obtain
from hallmark.services.node.token_desk import TokenDesk
from hallmark.services.node.token_store import TokenStore
from hallmark.services.node.x402_desk import check_delays
from hallmark.services.node.x402_store import X402Store
from hallmark.store.raw import RawDatabase


async def run_node(settings: Settings, database: RawDatabase) -> None:
    """Run a node until SIGTERM. Raises what building and launching raise; nothing falls back to vanilla."""
    check(settings)
    owner = Key(bytes.fromhex(Path(settings.owner_key_file).read_text().strip()))
    listening = bind(settings.listen)
    async with _starter(settings) as (starter, confinement):
        cargo = load_cargo(settings, owner, confinement)
        pool = Pool(per_origin=8)
        log = LogClient(pool, settings.log_url, settings.origin)
        outbox = Outbox(database)
        payments = _payments(settings, owner, cargo, starter, database)
        node = Node(
            settings,
            cargo,
            starter,
            owner=owner,
            outbox=outbox,
            forwarder=Forwarder(outbox, log),
            log=log,
            payments=payments,
        )
        app = NodeService(node, settings, problem=lambda: database.problem or node.store_problem())
        living = asyncio.create_task(node.run(listening))
        try:
            await serve(app, settings.health, tasks=(_watch(living),), stopping=node.stop)
            await living
        finally:
            node.stop()
            await asyncio.gather(living, return_exceptions=True)
            await pool.aclose()


def _payments(
    settings: Settings, owner: Key, cargo: EnclaveInputs, starter: Starter, database: RawDatabase
) -> NodePayments | None:
    """Raises InvalidInput `bad_settings`."""
    paid = settings.payments
    if paid is None:
        return None
    key = owner
    if paid.key_file:
        key = Key(bytes.fromhex(Path(paid.key_file).read_text().strip()))
    configuration = EnclaveConfiguration.decode(cargo.configuration)
    journal = journal_path(paid, settings.database, journal_name(starter.measurement, configuration))
    tokens = TokenDesk(paid.issuer, TokenStore(database)) if paid.issuer else None
    payee = unhex(configuration.payment)
    return NodePayments(paid, journal, key, payee, X402Store(database), tokens=tokens)


def check(settings: Settings) -> None:
    """Refuse settings that cannot mean anything. Raises InvalidInput `bad_settings`."""
    if settings.mode not in (TEE, VANILLA):
        raise InvalidInput("bad_settings", "The mode is `tee` or `vanilla`.")
    if settings.mode == TEE and not (settings.development_root and (settings.image or settings.image_cache)):
        raise InvalidInput("bad_settings", "A tee node needs `development_root` and `image_cache`.")
    if settings.payments is not None:
        check_delays(settings.payments)


def load_cargo(settings: Settings, owner: Signer, confinement: Confinement | None) -> EnclaveInputs:
    """Read manifests, name the artifacts' files, and write down the enclave's configuration.

    Raises InvalidInput `bad_settings` for an unreadable file, `bad_document` for a bad manifest.
    """
    manifests, models = [], {}
    artifacts: dict[str, bytes | Path] = {}
    for model in settings.models:
        try:
            data = Path(model.manifest).read_bytes()
            with open(model.artifact, "rb"):
                artifacts[model.label] = Path(model.artifact)
        except OSError as error:
            raise InvalidInput("bad_settings", f"A model's file cannot be read: {error.filename}.") from error
        models[model.label] = hex0x(Manifest.decode(data).digest())
        manifests.append(data)
    weaker = machine.insecure_facts(confinement) if confinement is not None else (VANILLA,)
    configuration = EnclaveConfiguration(
        network=hex0x(network_id(settings.origin)),
        chain_id=settings.chain_id,
        owner=hex0x(owner.address),
        endpoint=settings.endpoint,
        payment=settings.payment or hex0x(owner.address),
        mode=int(Mode.TEE if confinement is not None else Mode.VANILLA),
        capacity=settings.capacity,
        models=models,
        upstreams=settings.upstreams,
        limits=settings.limits,
        insecure=tuple(sorted({*settings.insecure, *weaker})),
    )
    return EnclaveInputs(configuration.encode(), tuple(manifests), artifacts)


@asynccontextmanager
async def _starter(settings: Settings) -> AsyncIterator[tuple[Starter, Confinement | None]]:
    timeout = settings.start_ms / 1000
    if settings.mode == VANILLA:
        yield Starter(None, None, timeout), None
        return
    root = DevelopmentRoot.from_pem(Path(settings.development_root).read_bytes())
    launcher, shared = await asyncio.to_thread(_launcher, settings)
    try:
        if shared is not None:
            shared.serve()
        yield Starter(launcher, root, timeout), launcher.confinement
    finally:
        if shared is not None:
            shared.close()
        launcher.close()


def _launcher(settings: Settings) -> tuple[Launcher, SharedImage | None]:
    """Where an image is mounted, its memory is shared with this user's other hosts that use the file."""
    cgroups.sweep()
    cache = Path(settings.image_cache or Path(settings.image).parent)
    path = Path(settings.image) if settings.image else image.build(cache)
    used = machine.detect()
    if used.root != SEALED:
        return Launcher(measure.seal(path), used, cache), None
    shared = obtain(path)
    return Launcher(shared.sealed, used, cache), shared


async def _watch(living: asyncio.Task[None]) -> None:
    """End the service when the node ends by itself, with its exception."""
    await asyncio.wait((living,))
    await living
