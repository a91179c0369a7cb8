"""Saved receipts of a little network: cosigned proofs, the trust file, whole dossiers."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence

from hallmark.core.document import hex0x
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.hashing import sha256
from hallmark.core.marks import Question, State
from hallmark.core.merkle import inclusion_proof
from hallmark.core.receipt import Receipt
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import COSIGNATURE, ED25519, Note, SigningKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import Proof, ProofVerifier
from hallmark.testing.answers import PATH, Answer
from hallmark.testing.network import LittleNetwork, Party
from hallmark.verification.dossier import (
    FORMAT,
    Documents,
    Dossier,
    LoggedPart,
    RequestCopy,
    ResponseCopy,
    Salts,
)
from hallmark.verification.examination import VerifyProof
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.trust import Trust

NEEDED = (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)
WAIVED = (Question.INPUTS, Question.PAID, Question.REVIEWED)


def clearing_policy(name: str, state: State, *assurance: str) -> ClearingPolicy:
    """A policy that asks the same state of `ran`, `model`, `route` and `proved`."""
    needs = tuple(Requirement(q.value, state.value, assurance=assurance) for q in NEEDED)
    return ClearingPolicy(name, 1, needs, tuple(q.value for q in WAIVED))


class Notary:
    """The log's key and the full nodes' witness keys of a little network."""

    def __init__(self, network: LittleNetwork) -> None:
        self.network = network
        self.log_seed = sha256(b"log seed")
        self.log = SigningKey(network.genesis.origin, ED25519, self.log_seed)
        self.witnesses = {p.name: self.witness(p) for p in network.full_nodes}

    def witness(self, party: Party) -> SigningKey:
        """A full node's Ed25519 key."""
        name = party.name.replace(" ", "-")
        return SigningKey(f"{name}.hallmark.test", COSIGNATURE, self.witness_seed(party))

    def witness_seed(self, party: Party) -> bytes:
        """The 32-byte seed of that key."""
        return sha256(b"witness seed", party.name.encode())

    @property
    def quorum(self) -> int:
        """2f+1 of the network's full nodes."""
        return len(self.witnesses) - (len(self.witnesses) - 1) // 3

    @functools.cached_property
    def policy_text(self) -> str:
        """The network's C2SP tlog-policy."""
        lines = [f"log {self.log.vkey}"]
        names = []
        for party_name, key in self.witnesses.items():
            names.append(party_name.replace(" ", "-"))
            lines.append(f"witness {names[-1]} {key.vkey}")
        lines += [f"group full-nodes {self.quorum} {' '.join(names)}", "quorum full-nodes"]
        return "\n".join(lines) + "\n"

    def checkpoint(self, size: int | None = None) -> Note:
        """The log's signed checkpoint at `size` (all leaves by default)."""
        tree = self.network.tree
        size = tree.size if size is None else size
        return sign(Checkpoint(self.network.genesis.origin, size, tree.root(size)), self.log)

    def cosigned(self, size: int | None = None, signers: Sequence[str] | None = None) -> Note:
        """The checkpoint with cosignatures of `signers` (all full nodes by default)."""
        note = self.checkpoint(size)
        names = list(self.witnesses) if signers is None else signers
        lines = tuple(self.witnesses[name].cosign(note.text, self.network.now) for name in names)
        return Note(note.text, (*note.signatures, *lines))

    def proof(self, index: int, size: int | None = None, signers: Sequence[str] | None = None) -> str:
        """The tlog-proof of the leaf at `index`."""
        tree = self.network.tree
        size = tree.size if size is None else size
        path = inclusion_proof(index, size, tree.node)
        return Proof(index, tuple(path), self.cosigned(size, signers)).encode().decode()

    def part(self, index: int, signers: Sequence[str] | None = None) -> LoggedPart:
        """A log entry as a dossier carries it."""
        data = base64.b64encode(self.network.entry_bytes(index)).decode()
        admitted = int.from_bytes(self.network.leaves[index][:8], "big")
        return LoggedPart(index, admitted, data, self.proof(index, signers=signers))

    def trust(self) -> Trust:
        """The network's trust file."""
        network = self.network
        return Trust(
            format="hallmark-trust/1",
            network="little",
            origin=network.genesis.origin,
            chain_id=network.genesis.chain_id,
            tlog_policy=self.policy_text,
            authority=tuple(hex0x(address) for address in network.genesis.authority),
            threshold=network.genesis.threshold,
            full_nodes=tuple(hex0x(p.address) for p in network.full_nodes),
            f=(len(network.full_nodes) - 1) // 3,
            gateways=(hex0x(network.gateway.address),),
            reviewers=tuple(hex0x(p.address) for p in network.reviewers),
            attestation=network.attestation,
            measurement=(network.measurement,),
            policy=(
                clearing_policy("witnessed", State.WITNESSED, "hardware", "simulated"),
                clearing_policy("hardware", State.WITNESSED, "hardware"),
                clearing_policy("checked", State.CHECKED, "hardware", "simulated"),
            ),
        )

    def dossier(
        self,
        answer: Answer,
        index: int | None,
        signers: Sequence[str] | None = None,
        reviews: Sequence[int] = (),
    ) -> Dossier:
        """The saved receipt of an answer; with its proofs when it was logged at `index`, and with the reviews
        that were logged at `reviews`.
        """
        party: Party = answer.node
        assert party.bundle is not None
        assert party.configuration is not None
        receipt: Receipt = answer.receipt
        logged = index is not None
        evidence = base64.b64encode(party.evidence.encode()).decode() if party.evidence else None
        return Dossier(
            format=FORMAT,
            network=hex0x(receipt.network),
            chain_id=self.network.genesis.chain_id,
            receipt=receipt.to_json(),
            signature=hex0x(answer.signature),
            id=hex0x(receipt.digest()),
            documents=Documents(
                bundle=party.bundle.encode().decode(),
                route=answer.route.encode().decode(),
                parameters=answer.parameters.encode().decode(),
                configuration=party.configuration.encode().decode(),
                candidates=answer.candidates.encode().decode() if answer.candidates else None,
                manifest=answer.manifest.encode().decode() if answer.manifest else None,
                upstream=answer.upstream.encode().decode() if answer.upstream else None,
                inputs=tuple(record.encode().decode() for record in answer.inputs),
                payment=answer.payment.encode().decode() if answer.payment else None,
                offer=answer.offer.encode().decode() if answer.offer else None,
                issuer_keys=answer.issuer_keys.encode().decode() if answer.issuer_keys else None,
            ),
            salts=Salts(hex0x(answer.salts[0]), hex0x(answer.salts[1])),
            request=RequestCopy(PATH, answer.request.decode()),
            response=ResponseCopy(answer.response.decode()),
            ticket=hex0x(answer.ticket) if answer.ticket else None,
            evidence=evidence,
            entry=self.part(index, signers) if index is not None else None,
            registration=self.part(party.registered, signers) if logged else None,
            version=self.part(self.network.version_index, signers) if logged and answer.manifest else None,
            reviews=tuple(self.part(at, signers) for at in reviews),
            insecure=party.configuration.insecure,
            payment_authorization=base64.b64encode(answer.authorization).decode() or None,
        )


def proof_verifier(trust: Trust) -> VerifyProof:
    """The `VerifyProof` of a trust file, by the ledger. A checkpoint that several proofs share is
    verified once.
    """
    proofs = ProofVerifier(Policy.parse(trust.tlog_policy))

    def verify(leaf: bytes, text: str) -> ProvenPlace:
        proven = proofs.verify(leaf, text.encode())
        head = proven.checkpoint
        of = len(proofs.policy.witnesses)
        return ProvenPlace(
            proven.index, head.size, head.root, proven.signers, proven.times, proven.unknown, of
        )

    return verify
