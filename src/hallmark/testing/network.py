"""A valid little network in memory: keys, entries, leaves, receipts. Every test starts from one and breaks
it.

`LittleNetwork()` holds the founding entries already: attestation policy, an approved measurement, four full
nodes, a gateway, one model with one version, and two nodes with (stub) evidence. Everything is deterministic:
keys come from names, salts and nonces from counters, and time stands still until `tick`.

    net = LittleNetwork() index = net.add(net.receipt_entry(net.nodes[0]))
    replica = net.replica()          # fed with every leaf
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import Document, hex0x, report_data
from hallmark.core.documents import (
    AttestationPolicy,
    ClearingPolicy,
    EnclaveConfiguration,
    KeyBundle,
    Manifest,
    Measurement,
    ModelCard,
    Profile,
    SealedPath,
    Sealing,
)
from hallmark.core.entries import Entry, decode, leaf, split_leaf
from hallmark.core.evidence import Evidence, VerifyEvidence
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.merkle import leaf_hash
from hallmark.core.objected import Run, digest_of_runs, encode_runs
from hallmark.core.receipt import Mode
from hallmark.core.statements import (
    Approval,
    Compromise,
    Fault,
    Judgement,
    PolicyStatement,
    Publication,
    Registration,
    Retirement,
    Review,
    Revocation,
    Role,
    Verdict,
    Version,
    code,
)
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.testing.answers import Answer, Answers
from hallmark.testing.stub_evidence import STUB_KIND, stub_evidence, verify_stub_evidence
from hallmark.verification.fold import Replica
from hallmark.verification.genesis import Genesis
from hallmark.verification.tree import Tree

ORIGIN = "hallmark.test/log"
CHAIN_ID = 31337
START = 1_790_000_000_000
HOUR = 3_600_000
ZERO_ADDRESS = "0x" + "00" * 20


@functools.cache
def key(name: str) -> Key:
    """The secp256k1 key of this name."""
    return Key(sha256(b"hallmark/testing/key\0", name.encode()))


SETTLEMENT = key("settlement").address
"""What the bundles of a little network's nodes name as their settlement key; 20 bytes."""


SEALING = Sealing(hex0x(sha256(b"hallmark/testing/sealing")), START - HOUR, 3 * HOUR, 240)
"""What the bundles of a little network's nodes name as their keys, where they take sealed requests."""


def sealed_path(**changes: Any) -> SealedPath:
    """How a request came sealed to a node of such a network in its first window."""
    configuration = hex0x(sha256(b"hallmark/testing/configuration"))
    found = SealedPath(configuration, 0, "x-wing/hkdf-sha256/aes-128-gcm", 2048, "https://relay.example")
    return msgspec.structs.replace(found, **changes)


class Party:
    """A registered party: its key, its owner's key, and for a node its bundle and configuration."""

    def __init__(self, name: str, role: Role) -> None:
        self.name, self.role = name, role
        self.key, self.owner = key(name), key(f"{name} owner")
        self.bundle: KeyBundle | None = None
        self.configuration: EnclaveConfiguration | None = None
        self.evidence: Evidence | None = None
        self.registered = -1
        self.sequence, self.previous = 0, ZERO32

    @property
    def address(self) -> bytes:
        """The 20-byte address of the party's key."""
        return self.key.address


class LittleNetwork:
    """See the module docstring. `leaves` is the log; `now` the time in unix ms, `start` at first."""

    start = START

    def __init__(
        self,
        *,
        nodes: int = 2,
        full_nodes: int = 4,
        found: bool = True,
        insecure: tuple[str, ...] = (),
        sealing: Sealing | msgspec.UnsetType = msgspec.UNSET,
    ) -> None:
        self.now = self.start
        self.sealing = sealing
        self.insecure = insecure
        self.authority = tuple(key(f"authority {i}") for i in range(3))
        self.genesis = Genesis.of(ORIGIN, CHAIN_ID, tuple(k.address for k in self.authority), 2)
        self.leaves: list[bytes] = []
        self.tree = Tree()
        self.nodes = tuple(Party(f"node {i}", Role.NODE) for i in range(nodes))
        self.full_nodes = tuple(Party(f"full node {i}", Role.FULL_NODE) for i in range(full_nodes))
        self.gateway = Party("gateway", Role.GATEWAY)
        self.reviewers = tuple(Party(f"reviewer {i}", Role.REVIEWER) for i in range(3))
        self.issuer = Party("issuer", Role.ISSUER)
        self.maker = key("maker")
        self.attestation = AttestationPolicy(
            "test", 1, (STUB_KIND,), {STUB_KIND: (hex0x(sha256(b"test root")),)}, 24 * HOUR, 5 * 60_000
        )
        self.measurement = Measurement(
            "hallmark-enclave",
            "1",
            STUB_KIND,
            {f"PCR{i}": hex0x(bytes([i + 1]) * 48) for i in range(3)},
            "test",
        )
        self.card = ModelCard("digits", hex0x(self.maker.address), "classify", "Handwritten digits.")
        self.manifest = self.make_manifest("1", b"artifact 1")
        self.answers = Answers(self)
        if found:
            self.found()

    def found(self) -> None:
        """Log the founding entries."""
        self.add(self.policy_entry("attestation", self.attestation))
        self.add(self.approval(self.measurement))
        for full_node in self.full_nodes:
            self.register(full_node)
        self.register(self.gateway)
        self.add(self.publication(self.card))
        self.version_index = self.add(self.version(self.manifest))
        for node in self.nodes:
            self.register(node)

    def tick(self, ms: int) -> None:
        """Let `ms` milliseconds pass."""
        self.now += ms

    def add(self, entry: Entry | bytes, admitted: int | None = None) -> int:
        """Admit an entry (or raw entry bytes) without any question, as a lying log would; its index."""
        data = entry if isinstance(entry, bytes) else entry.encode()
        self.leaves.append(leaf(self.now if admitted is None else admitted, data))
        self.tree.append(leaf_hash(self.leaves[-1]))
        return len(self.leaves) - 1

    def replica(self, verify_evidence: VerifyEvidence = verify_stub_evidence) -> Replica:
        """A replica that was fed every leaf."""
        replica = Replica(self.genesis, verify_evidence)
        for index, data in enumerate(self.leaves):
            replica.feed(index, data)
        return replica

    def has(self, size: int, root: bytes) -> bool:
        """Whether the log has this root at this size."""
        return size <= self.tree.size and self.tree.root(size) == root

    def beacon(self) -> tuple[int, bytes]:
        """The log's size and root now."""
        return self.tree.size, self.tree.root()

    def entry_bytes(self, index: int) -> bytes:
        """The entry at `index`, without its admission time."""
        return split_leaf(self.leaves[index])[1]

    def entry(self, statement: TypedStruct, signers: tuple[Key, ...], *attachments: bytes) -> Entry:
        """An entry with one signature of each signer."""
        signatures = tuple(sign_statement(statement, CHAIN_ID, signer) for signer in signers)
        return Entry(statement, signatures, attachments)

    # registrations

    def register(self, party: Party) -> int:
        """Log a registration of `party` (again: refreshed); its index."""
        party.registered = self.add(self.registration(party))
        return party.registered

    def restart(self, party: Party, **changes: Any) -> int:
        """A new enclave at the place of a node's, with another key and a bundle that differs in `changes`;
        where it was registered.
        """
        assert party.bundle is not None
        epoch, party.sequence, party.previous = party.bundle.epoch + 1, 0, ZERO32
        party.key = key(f"{party.name}, epoch {epoch}")
        own = {"signing_key": hex0x(party.address), "epoch": epoch}
        party.bundle = msgspec.structs.replace(party.bundle, **(own | changes))
        return self.register(party)

    def registration(self, party: Party, **changes: Any) -> Entry:
        """A registration; `changes` replace fields of the statement before it is signed."""
        size, root = self.beacon()
        document, evidence = self.profile(party).encode(), b""
        if party.role is Role.NODE:
            party.bundle = party.bundle or self.bundle(party)
            document = party.bundle.encode()
            if party.bundle.mode != Mode.VANILLA:
                party.evidence = self.evidence(document, size, root)
                evidence = party.evidence.encode()
        cls: type[Document] = KeyBundle if party.role is Role.NODE else Profile
        statement = Registration(
            self.genesis.network,
            party.role,
            party.address,
            party.owner.address,
            cls.decode(document).digest(),
            sha256(evidence) if evidence else ZERO32,
            size,
            root,
            self.now,
        )
        statement = msgspec.structs.replace(statement, **changes)
        signers = (party.key, party.owner) + (() if party.role is Role.NODE else self.authority[:2])
        return self.entry(statement, signers, document, evidence)

    def profile(self, party: Party) -> Profile:
        """The profile of a gateway, full node or reviewer."""
        return Profile(party.name, f"http://127.0.0.1/{party.name.replace(' ', '-')}")

    def configure(self, party: Party, mode: Mode = Mode.TEE) -> EnclaveConfiguration:
        """The configuration of a node's enclave."""
        return EnclaveConfiguration(
            hex0x(self.genesis.network),
            CHAIN_ID,
            hex0x(party.owner.address),
            f"https://127.0.0.1/{party.name.replace(' ', '-')}",
            ZERO_ADDRESS,
            mode,
            8,
            {self.card.label: hex0x(self.manifest.digest())},
            {},
            {},
            self.insecure,
        )

    def bundle(self, party: Party, mode: Mode = Mode.TEE, upstreams: tuple[str, ...] = ()) -> KeyBundle:
        """The key bundle of a node."""
        party.configuration = self.configure(party, mode)
        return KeyBundle(
            hex0x(self.genesis.network),
            hex0x(party.owner.address),
            party.configuration.endpoint,
            ZERO_ADDRESS,
            1,
            hex0x(party.address),
            (),
            hex0x(sha256(b"spki", party.name.encode())),
            "0x" + "01" * 48,
            hex0x(party.configuration.digest()),
            (self.manifest.artifact,),
            mode,
            8,
            "onnx 1 test",
            upstreams,
            hex0x(SETTLEMENT),
            self.sealing,
        )

    def evidence(self, bundle: bytes, size: int, root: bytes) -> Evidence:
        """Stub evidence that binds a bundle's exact bytes and a beacon."""
        registers = {name: value.removeprefix("0x") for name, value in self.measurement.registers.items()}
        return stub_evidence(self.now, registers, report_data(KeyBundle, bundle), evidence_nonce(size, root))

    # authority and owners

    def policy_entry(self, kind: str, policy: AttestationPolicy | ClearingPolicy) -> Entry:
        """A policy statement by two authority keys."""
        statement = PolicyStatement(self.genesis.network, code(kind), policy.digest(), self.now)
        return self.entry(statement, self.authority[:2], policy.encode())

    def approval(self, measurement: Measurement) -> Entry:
        """An approval by two authority keys."""
        statement = Approval(self.genesis.network, measurement.digest(), self.now)
        return self.entry(statement, self.authority[:2], measurement.encode())

    def revocation(self, measurement: Measurement, since: int) -> Entry:
        """A revocation by two authority keys."""
        statement = Revocation(
            self.genesis.network, measurement.digest(), since, code("image_vulnerable"), self.now
        )
        return self.entry(statement, self.authority[:2])

    def retirement(self, party: Party) -> Entry:
        """A retirement by the key's owner."""
        statement = Retirement(self.genesis.network, party.address, code("end_of_life"), self.now)
        return self.entry(statement, (party.owner,))

    def compromise(self, party: Party, since: int) -> Entry:
        """A compromise by the key's owner."""
        statement = Compromise(self.genesis.network, party.address, since, code("key_leaked"), self.now)
        return self.entry(statement, (party.owner,))

    def make_manifest(self, version: str, content: bytes, derived_from: str = "") -> Manifest:
        """A manifest of the network's model; the blob ID is made up from the content."""
        return Manifest(
            self.card.label,
            version,
            hex0x(sha256(b"blob", content)),
            hex0x(sha256(content)),
            len(content),
            "tar",
            self.card.task,
            hex0x(self.card.digest()),
            derived_from,
        )

    def publication(self, card: ModelCard) -> Entry:
        """A publication by the model's maker."""
        statement = Publication(self.genesis.network, self.maker.address, card.digest(), self.now)
        return self.entry(statement, (self.maker,), card.encode())

    def version(self, manifest: Manifest) -> Entry:
        """A version by the model's maker."""
        statement = Version(
            self.genesis.network,
            self.maker.address,
            manifest.digest(),
            bytes.fromhex(manifest.artifact[2:]),
            bytes.fromhex(manifest.sha256[2:]),
            self.now,
        )
        return self.entry(statement, (self.maker,), manifest.encode())

    # receipts and disputes

    def answer(self, node: Party, **changes: Any) -> Answer:
        """A complete answer by `node`, its chain extended; see `hallmark.testing.answers`."""
        return self.answers.make(node, **changes)

    def receipt_entry(self, node: Party, **changes: Any) -> Entry:
        """The log entry of a fresh answer; `changes` replace receipt fields before it is signed."""
        return self.answers.make(node, **changes).entry

    def review(
        self,
        by: Party,
        position: int,
        said: Judgement = Judgement.FIT,
        *,
        reason: str = "answers_the_question",
        **changes: Any,
    ) -> Entry:
        """A review of the receipt at `position`; `changes` replace fields before it is signed."""
        receipt = decode(self.entry_bytes(position)).statement
        statement = Review(
            self.genesis.network,
            by.address,
            receipt.struct_hash(),
            position,
            said,
            code(reason),
            ZERO32,
            ZERO32,
            ZERO32,
            self.now,
        )
        return self.entry(msgspec.structs.replace(statement, **changes), (by.key,))

    def verdict(self, author: Party, subject: int, reason: str) -> Entry:
        """A verdict by a full node on one entry."""
        return self.verdict_on(author, (Run(subject, 1, reason),))

    def verdict_on(self, author: Party, runs: Sequence[Run]) -> Entry:
        """A verdict by a full node on many entries."""
        size, root = self.beacon()
        objected = encode_runs(runs)
        network, digest = self.genesis.network, digest_of_runs(objected)
        statement = Verdict(network, author.address, size, root, digest, self.now)
        return self.entry(statement, (author.key,), objected)

    def fault(self, author: Party, culprit: bytes, kind: str, first: int, second: int) -> Entry:
        """A fault by a full node (or anyone)."""
        statement = Fault(self.genesis.network, author.address, culprit, code(kind), first, second, self.now)
        return self.entry(statement, (author.key,))
