"""One enclave in the real sandbox: what it serves, what it binds, what it refuses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hallmark.attestation import verify
from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import hex0x, report_data
from hallmark.core.documents import AttestationPolicy, EnclaveConfiguration, KeyBundle, Manifest, Measurement
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import Assurance, Evidence, Expectation
from hallmark.core.hashing import sha256
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Registration
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.services.enclave import control
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node.confinement import DIRECTORY
from hallmark.services.node.enclave_start import EnclaveInputs, Running, Starter
from hallmark.services.node.launch import Launcher
from hallmark.testing import enclaves

pytestmark = pytest.mark.integration
APP = Path(__file__).parent / "probes" / "echo_app.py"
BEACON = Beacon(7, bytes(range(32)))
Start = Callable[..., Any]


class Box:
    """A launcher with its root, and whatever enclaves a test starts from it."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.root = enclaves.root()
        self.messages: list[control.FromEnclave] = []
        self.started: list[Running] = []

    async def start(self, cargo: EnclaveInputs | None = None, root: DevelopmentRoot | None = None) -> Running:
        """A serving enclave that stores receipts at once."""
        starter = Starter(self.launcher, root or self.root, 60)
        running: Running = await starter.start(
            cargo or enclaves.cargo(),
            epoch=3,
            beacon=BEACON,
            on_message=lambda message: self._heard(running, message),
            on_ended=lambda: None,
        )
        self.started.append(running)
        return running

    def _heard(self, running: Running, message: control.FromEnclave) -> None:
        self.messages.append(message)
        if isinstance(message, control.Signed):
            running.link.send(control.Stored(message.sequence))


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    """Enclaves from the sealed image with the echo application."""
    made = Box(enclaves.launcher(APP))
    yield made
    for running in made.started:
        await running.link.close()
    made.launcher.close()


async def test_tls_ends_inside_with_the_key_in_the_bundle(box: Box) -> None:
    """The certificate's key that a client sees is the one that the key bundle names."""
    running = await box.start()
    ours, theirs = socket.socketpair()
    running.link.send(control.Connection(), owned=theirs)
    reader, writer = await asyncio.open_connection(
        sock=ours, ssl=enclaves.blind_context(), server_hostname="enclave"
    )
    tls = writer.get_extra_info("ssl_object")
    certificate = x509.load_der_x509_certificate(tls.getpeercert(True))
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    bundle = KeyBundle.decode(running.attested.bundle)
    assert hex0x(sha256(spki)) == bundle.tls_spki
    assert tls.version() == "TLSv1.3"
    body = os.urandom(300_000)
    answer = json.loads(await enclaves.exchange(reader, writer, "/echo", body))
    assert answer == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


async def test_evidence_binds_bundle_image_and_beacon(box: Box) -> None:
    """The evidence verifies with the measured registers, for this bundle and this beacon, as simulated."""
    running = await box.start()
    found = box.launcher.sealed.measure(box.launcher.confinement)
    registers = {"PCR0": hex0x(found.pcr0), "PCR1": hex0x(found.pcr1), "PCR2": hex0x(found.pcr2)}
    policy = AttestationPolicy(
        name="test", version=1, kinds=("nitro-dev",), max_age=60_000, skew=5_000,
        roots={"nitro-dev": (hex0x(box.root.digest()),)},
    )  # fmt: skip
    approved = Measurement(
        name="enclave", version="1", evidence="nitro-dev", registers=registers, source="here"
    )
    expect = Expectation(
        report_data(KeyBundle, running.attested.bundle), evidence_nonce(BEACON.size, BEACON.root)
    )
    evidence = Evidence.decode(running.attested.evidence)
    now = time.time_ns() // 1_000_000
    verdict = verify(evidence, policy, now, measurements=(approved,), expect=expect)
    assert verdict.ok, verdict.steps
    assert verdict.assurance is Assurance.SIMULATED
    bundle = KeyBundle.decode(running.attested.bundle)
    assert bundle.image == hex0x(found.image)
    assert bundle.signing_key == hex0x(running.address)
    assert (bundle.epoch, bundle.engine) == (3, "echo, 0 models")
    other = msgspec.structs.replace(expect, report_data=bytes(64))
    assert not verify(evidence, policy, now, measurements=(approved,), expect=other).ok
    altered = msgspec.structs.replace(approved, registers=registers | {"PCR1": hex0x(bytes(47) + b"\1")})
    assert not verify(evidence, policy, now, measurements=(altered,), expect=expect).ok


async def test_the_registration_is_signed_by_the_key(box: Box) -> None:
    """The registration names key, bundle, evidence and beacon, and recovers to the key."""
    running = await box.start()
    statement = Registration.unpack(running.attested.statement)
    assert recover_statement(statement, 31337, running.attested.signature) == statement.key == running.address
    assert statement.document == running.bundle_digest
    assert statement.evidence == sha256(running.attested.evidence)
    assert (statement.beacon_size, statement.beacon_root) == (BEACON.size, BEACON.root)


async def test_receipts_form_a_chain(box: Box) -> None:
    """Forty receipts signed at the same time have the sequences 0 to 39, each naming its predecessor."""
    running = await box.start()
    answers = await asyncio.gather(*(enclaves.ask(running, "/receipt", b"%d" % n) for n in range(40)))
    entries = sorted(
        (decode(bytes.fromhex(json.loads(answer)["entry"])) for answer in answers),
        key=lambda entry: getattr(entry.statement, "sequence"),  # noqa: B009 - of a base class
    )
    previous = bytes(32)
    for number, entry in enumerate(entries):
        receipt = entry.statement
        assert isinstance(receipt, Receipt)
        assert (receipt.sequence, receipt.previous) == (number, previous)
        assert recover_statement(receipt, 31337, entry.signatures[0]) == running.address
        previous = receipt.digest()


async def test_each_start_has_new_keys(box: Box) -> None:
    """Two enclaves of one image share neither key nor certificate."""
    first, second = await box.start(), await box.start()
    assert first.address != second.address
    bundles = [KeyBundle.decode(one.attested.bundle) for one in (first, second)]
    assert bundles[0].tls_spki != bundles[1].tls_spki
    assert bundles[0].image == bundles[1].image


async def test_fresh_evidence_on_request(box: Box) -> None:
    """A newer beacon leads to evidence with its nonce and a registration that names it; the key stays."""
    running = await box.start()
    newer = Beacon(99, bytes([9]) * 32)
    running.link.send(control.Attest(newer.size, newer.root))
    running.link.send(control.BeaconUpdate(newer.size, newer.root))
    while json.loads(await enclaves.ask(running, "/"))["beacon"][0] != newer.size:
        pass
    attested = next(message for message in box.messages if isinstance(message, control.Attested))
    statement = Registration.unpack(attested.statement)
    assert (statement.beacon_size, statement.key) == (99, running.address)
    assert attested.bundle == running.attested.bundle
    assert json.loads(await enclaves.ask(running, "/"))["evidence"] == attested.evidence.hex()


def model(content: bytes, label: str = "tiny") -> tuple[EnclaveConfiguration, Manifest]:
    """A configuration with one model whose manifest says `content`."""
    manifest = Manifest(
        label=label, version="1", artifact=hex0x(bytes([5]) * 32), sha256=hex0x(sha256(content)),
        size=len(content), format="none", task="none", card=enclaves.ZERO,
    )  # fmt: skip
    return enclaves.configuration(models={label: hex0x(manifest.digest())}), manifest


async def test_artifacts_are_hashed_inside(box: Box) -> None:
    """An artifact that equals its manifest is loaded and named in the bundle."""
    content = os.urandom(3 << 20)
    configuration, manifest = model(content)
    running = await box.start(EnclaveInputs(configuration.encode(), (manifest.encode(),), {"tiny": content}))
    seen = json.loads(await enclaves.ask(running, "/"))["models"]
    assert seen == {"tiny": hashlib.sha256(content).hexdigest()}
    assert KeyBundle.decode(running.attested.bundle).artifacts == (manifest.artifact,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("content", "artifact_mismatch"),
        ("length", "artifact_mismatch"),
        ("manifest", "manifest_missing"),
        ("artifact", "artifact_missing"),
        ("configuration", "bad_document"),
        ("confinement", "confinement_mismatch"),
    ],
)
async def test_what_does_not_fit_is_refused(box: Box, change: str, reason: str) -> None:
    """A host that brings something else than the manifest and the configuration say gets no enclave."""
    content = b"weights" * 1000
    configuration, manifest = model(content)
    brought = {"tiny": content}
    manifests = (manifest.encode(),)
    document = configuration.encode()
    if change == "content":
        brought = {"tiny": content[:-1] + b"X"}
    elif change == "length":
        brought = {"tiny": content + b"s"}
    elif change == "manifest":
        manifests = (msgspec.structs.replace(manifest, version="2").encode(),)
    elif change == "artifact":
        brought = {}
    elif change == "configuration":
        document = document + b" "
    starter = Starter(box.launcher, box.root, 60)
    if change == "confinement":
        plain = starter._message

        def without_evidence(*arguments: Any) -> control.Start:
            return msgspec.structs.replace(plain(*arguments), evidence="")

        starter._message = without_evidence  # type: ignore[method-assign]
    with pytest.raises(HallmarkError) as refused:
        await starter.start(
            EnclaveInputs(document, manifests, brought),
            epoch=1,
            beacon=BEACON,
            on_message=print,
            on_ended=lambda: None,
        )
    assert refused.value.reason == reason


async def test_a_lie_about_the_image_is_refused(box: Box) -> None:
    """An enclave compares the image digest that the host names with PCR0."""
    starter = Starter(box.launcher, box.root, 60)
    plain = starter._message
    starter._message = lambda *a: msgspec.structs.replace(plain(*a), image=bytes(48))  # type: ignore[method-assign]
    with pytest.raises(HallmarkError) as refused:
        await starter.start(enclaves.cargo(), epoch=1, beacon=BEACON, on_message=print, on_ended=lambda: None)
    assert refused.value.reason == "image_mismatch"


async def test_the_enclave_dies_with_the_control_channel(box: Box) -> None:
    """Closing the host's end of the control socket ends the enclave and its keys."""
    running = await box.start()
    running.link._spawned.control.shutdown(socket.SHUT_RDWR)
    async with asyncio.timeout(180):
        await running.link.wait_ended()


async def test_slow_and_broken_clients_do_no_harm(box: Box) -> None:
    """Garbage instead of TLS, a handshake cut short, and many at once leave the enclave serving."""
    running = await box.start()
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b""):
        ours, theirs = socket.socketpair()
        running.link.send(control.Connection(), owned=theirs)
        ours.sendall(data)
        ours.close()
    answers = await asyncio.gather(*(enclaves.ask(running, "/echo", b"x" * n) for n in range(50)))
    assert sorted(json.loads(answer)["size"] for answer in answers) == list(range(50))


async def test_a_directory_is_another_measurement() -> None:
    """Without the sealed mount the enclave runs from a verified directory, and PCR1 says so."""
    sealed, plain = enclaves.launcher(APP), enclaves.launcher(APP, root=DIRECTORY)
    try:
        found = [one.sealed.measure(one.confinement) for one in (sealed, plain)]
        assert (found[0].pcr0, found[0].pcr2) == (found[1].pcr0, found[1].pcr2)
        assert found[0].pcr1 != found[1].pcr1 or sealed.confinement.root == DIRECTORY
        assert "root-is-directory" in plain.confinement.facts()
        box = Box(plain)
        running = await box.start()
        assert json.loads(await enclaves.ask(running, "/echo", b"abc"))["size"] == 3
        await running.link.close()
    finally:
        sealed.close()
        plain.close()
