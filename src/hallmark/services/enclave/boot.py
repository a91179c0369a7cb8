"""The enclave's first program: confine, load, make keys, attest, serve.

The order matters. Landlock and limits come before the first thread; artifacts are hashed before anything uses
them; the application loads its libraries; then the serving filter closes the door behind all of that, and
only then is there evidence for the keys.

    --unconfined   a vanilla node's process: no filter, no Landlock, no evidence; the host must say the same
    --vsock        on AWS Nitro: AF_VSOCK and /dev/nsm instead of inherited sockets
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib.util
import os
import ssl
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import uvloop

from hallmark.attestation.attester import NSMAttester
from hallmark.attestation.nsm import Client
from hallmark.core.document import digest_of, unhex
from hallmark.core.documents import EnclaveConfiguration, Manifest
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.secp256k1 import Key
from hallmark.http.memory import give_back
from hallmark.services.enclave import confine, control, identity
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.billing import Billing
from hallmark.services.enclave.leases import Leases
from hallmark.services.enclave.limits import told
from hallmark.services.enclave.runtime import Beacon, Model
from hallmark.services.enclave.shell import MixedRandom, Shell
from hallmark.services.enclave.token_billing import TokenBilling
from hallmark.services.enclave.transport import InheritedTransport, Transport
from hallmark.services.enclave.x402_billing import X402Billing

if TYPE_CHECKING:
    from hallmark.http.asgi import ASGIApp
    from hallmark.services.enclave.server import Server

SERVING_FILTER: Final = Path("/app/serving.bpf")
SERVING_FILTER_VSOCK: Final = Path("/app/serving-vsock.bpf")
APPLICATION: Final = "hallmark.services.enclave.app"
REFUSED: Final = 3
GARBAGE: Final = (5_000, 20, 20)
"""After how many new objects the youngest are looked through, and how many times that for older ones."""
INHERITED: Final = 5
"""Descriptors below this one are meant: the standard ones, control, security module."""


def main() -> NoReturn:
    """Run the enclave until its host goes; never returns."""
    confined = "--unconfined" not in sys.argv[1:]
    landlock = 0
    if confined:
        os.closerange(INHERITED, 64)  # bwrap leaves the descriptor of its filter open
        confine.limit_process()
        landlock = confine.restrict_paths()
    transport = _transport()
    try:
        shell, server = _prepare(transport, confined=confined, landlock=landlock)
        asyncio.set_event_loop_policy(None)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(transport, shell, server, confined=confined, landlock=landlock))
    except HallmarkError as error:
        _refuse(transport, control.Failed(error.reason, error.message))
    except Exception as error:
        traceback.print_exc()  # before serving: there is no content yet, and stderr is closed afterwards
        _refuse(transport, control.Failed("enclave_failed", f"An unexpected {type(error).__name__}."))
    os._exit(0)


def load_models(
    configuration: EnclaveConfiguration, manifests: tuple[bytes, ...], artifacts: Mapping[str, memoryview]
) -> dict[str, Model]:
    """Every configured model, its artifact hashed here and compared with its manifest.

    Raises VerificationFailed `manifest_missing`, `artifact_missing`, `artifact_mismatch`.
    """
    by_digest = {digest_of(Manifest, data): data for data in manifests}
    models = {}
    for label, wanted in configuration.models.items():
        digest = unhex(wanted)
        data = by_digest.get(digest)
        if data is None:
            raise VerificationFailed("manifest_missing", f"The host brought no manifest for {label}.")
        manifest = Manifest.decode(data)
        artifact = artifacts.get(label)
        if artifact is None:
            raise VerificationFailed("artifact_missing", f"The host brought no artifact for {label}.")
        if manifest.label != label or len(artifact) != manifest.size:
            raise VerificationFailed("artifact_mismatch", f"The artifact is not the manifest's: {label}.")
        if sha256(artifact) != unhex(manifest.sha256):  # type: ignore[arg-type]  # any buffer hashes
            raise VerificationFailed("artifact_mismatch", f"The artifact is not the manifest's: {label}.")
        models[label] = Model(label, manifest, data, digest, artifact)
    return models


def check_image(module: Client, image: bytes) -> None:
    """Refuse an image digest (48 bytes) that the security module's PCR0 does not extend from.

    Raises VerificationFailed `image_mismatch`.
    """
    import hashlib

    if len(image) != 48 or hashlib.sha384(bytes(48) + image).digest() != module.describe_pcr(0):
        raise VerificationFailed("image_mismatch", "The host names another image than PCR0 does.")


def _on_nitro() -> bool:
    return "--vsock" in sys.argv[1:]


def _transport() -> Transport:
    if _on_nitro():
        from hallmark.services.enclave.vsock import VsockTransport

        return VsockTransport()
    return InheritedTransport()


def _prepare(transport: Transport, *, confined: bool, landlock: int) -> tuple[Shell, Server]:
    """Everything up to the point where the application is loaded and keys exist."""
    start, artifacts = transport.start()
    configuration = EnclaveConfiguration.decode(start.configuration)
    if bool(start.evidence) != confined:
        raise InvalidInput("confinement_mismatch", "Evidence and confinement come together or not at all.")
    if confined and landlock == 0 and "no-landlock" not in configuration.insecure:
        raise Unavailable("landlock_missing", "This kernel has no Landlock.")
    if confined:
        confine.limit_process(start.rlimit_memory, start.rlimit_tasks)
    kept = artifacts.get(control.JOURNAL, memoryview(b""))
    seed, secret, attester = b"", b"", None
    if start.evidence:
        module = Client(transport.nsm)
        check_image(module, start.image)
        seed, secret = module.random(), _sealing_secret(module)
        attester = NSMAttester(transport.nsm, start.evidence)
    random = MixedRandom(seed)
    models = load_models(configuration, start.manifests, artifacts)
    _preload()
    application = importlib.import_module(APPLICATION)
    engine = application.describe_engines(configuration, models)
    key = identity.make_key(random)
    tls = identity.make_tls(random, _now())
    hpke = identity.make_hpke(random)
    sealing = identity.make_sealing(random, configuration.limits, _now) if confined else None
    billing, settlement = _billing(transport, configuration, secret, bytes(kept), random)
    bundle = identity.make_bundle(
        configuration,
        key,
        tls,
        hpke=hpke.public,
        image=start.image,
        epoch=start.epoch,
        engine=engine,
        models=models,
        settlement=settlement,
        sealing=sealing.sealing if sealing else None,
    )
    shell = Shell(
        transport,
        configuration,
        models,
        identity.Identity(key, tls, bundle, hpke),
        attester=attester,
        random=random,
        beacon=Beacon(start.beacon_size, start.beacon_root),
        billing=billing,
        sealing=sealing,
    )
    context = identity.server_context(tls, "/tmp" if confined else None)  # noqa: S108 - a tmpfs of our own
    server = _server(application.create_app(shell), context, configuration.limits, shell)
    _settle(artifacts)
    return shell, server


def _sealing_secret(module: Client) -> bytes:
    """What outlives this process; empty where the platform seals nothing, and then no account is drawn on."""
    try:
        return module.sealing_secret()
    except Unavailable:
        return b""


def _billing(
    transport: Transport,
    configuration: EnclaveConfiguration,
    secret: bytes,
    kept: bytes,
    random: MixedRandom,
) -> tuple[Billing, Key | None]:
    """How requests are paid for, with the journal that the host kept, and the settlement key."""
    if not secret:
        return Billing(configuration), None
    key = Key(identity.sealed_key(identity.SETTLEMENT_TAG, secret, configuration))
    sealing = identity.sealed_key(identity.JOURNAL_TAG, secret, configuration)
    journal, _ = AccountJournal.begin(kept, sealing, transport.send, random, now=_now())
    longest_s = -(-told(configuration.limits)["request_ms"] // 1000)
    leases = Leases(key, journal, transport.send, _now, longest_s)
    x402 = X402Billing(key, journal, transport.send, _now, configuration.network)
    x402.begin()
    tokens = TokenBilling(key, journal, transport.send, _now, configuration)
    return Billing(configuration, journal, leases, x402, tokens), key


def _settle(artifacts: Mapping[str, memoryview]) -> None:
    """What loading needed goes before anything is served: artifacts, garbage, free pages of the heap. What is
    left stays for good, so the collector, which was off while modules were imported, need not look at it.
    """
    for artifact in artifacts.values():
        artifact.release()
    if artifacts:
        give_back()
    gc.freeze()
    gc.enable()


def _server(
    app: ASGIApp, context: ssl.SSLContext, limits: Mapping[str, int], shell: Shell | None = None
) -> Server:
    """The server. Of uvicorn only its HTTP protocol is wanted: the package's own first lines would import a
    command line, process managers and file watchers, so the package is entered without running them.
    """
    spec = importlib.util.find_spec("uvicorn")
    if "uvicorn" not in sys.modules and spec is not None:
        package = importlib.util.module_from_spec(spec)
        sys.modules["uvicorn"] = package
        package.Config = importlib.import_module("uvicorn.config").Config  # type: ignore[attr-defined]
    from hallmark.services.enclave.sealed import seal_with
    from hallmark.services.enclave.server import Server

    return Server(app, context, limits, seal_with(shell) if shell is not None else None)


async def _serve(
    transport: Transport, shell: Shell, server: Server, *, confined: bool, landlock: int
) -> None:
    """Close the door, make evidence, serve until the host goes."""
    gone = asyncio.Event()
    if confined:
        confine.install_filter((SERVING_FILTER_VSOCK if _on_nitro() else SERVING_FILTER).read_bytes())
    shell.attest(shell.beacon())
    transport.attach(shell.on_message, server.accept, gone.set)
    transport.send(control.Ready(shell.address, {"landlock": landlock, "confined": int(confined)}))
    _silence()
    _collect_seldom()
    turning = asyncio.create_task(shell.sealing.run()) if shell.sealing is not None else None
    await gone.wait()
    del turning
    os._exit(0)  # keys do not outlive the host's interest: no draining, no farewell


def _preload() -> None:
    """Load what the C library would load lazily, when executable mappings are no longer possible."""
    for name in ("libgcc_s.so.1",):
        ctypes.CDLL(name)
    for codec in ("idna", "utf-8", "ascii", "latin-1"):
        "a".encode(codec)


def _collect_seldom() -> None:
    """What the start made stays for good: looking through it for garbage again and again took 7 % of answers.

    What answers leave behind is nearly all freed without looking, so it is looked for more seldom than usual.
    """
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def _silence() -> None:
    """From now on nothing that is printed, by us or by a library, goes anywhere."""
    sink = os.open(os.devnull, os.O_RDONLY)
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)
    os.close(sink)


def _refuse(transport: Transport, failed: control.Failed) -> NoReturn:
    transport.send(failed)
    sys.stderr.flush()
    os._exit(REFUSED)


def _now() -> int:
    import time

    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
