"""The trust file of a development network, from its plan and keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.compose.genesis import attestation_policy, clearing_policies
from hallmark.compose.keys import AUTHORITY_THRESHOLD, Keys
from hallmark.compose.plan import Plan
from hallmark.core.document import hex0x
from hallmark.core.documents import ClearingPolicy, Measurement
from hallmark.core.entries import Entry
from hallmark.core.statements import Compromise, PolicyStatement, Revocation, text_of
from hallmark.ledger.note import COSIGNATURE, ED25519, SigningKey
from hallmark.verification.trust import (
    FORMAT,
    AnchorContract,
    CompromisedKey,
    RevokedMeasurement,
    RootCertificate,
    Trust,
)


def full_node_name(number: int) -> str:
    """Name of the full node with this number, counted from 1."""
    return f"fullnode-{number}"


def quorum_of(count: int) -> tuple[int, int]:
    """How many of `count` full nodes may be dishonest (f), and the quorum: 2f+1 of 3f+1.

    Between those sizes the quorum is the least whose any two share an honest full node; below four it
    is everybody.
    """
    faulty = (count - 1) // 3
    return faulty, count if count < 4 else (count + faulty) // 2 + 1


def log_key(plan: Plan, keys: Keys) -> SigningKey:
    """The log's key; its name is the origin, as C2SP wants it."""
    return SigningKey(plan.origin, ED25519, keys.log_seed)


def witness_key(keys: Keys, number: int) -> SigningKey:
    """The cosigning key of full node `number`."""
    return SigningKey(full_node_name(number), COSIGNATURE, keys.full_node_seeds[number - 1])


def tlog_policy(plan: Plan, keys: Keys) -> str:
    """C2SP tlog-policy: one log, every full node with its address, a quorum of 2f+1."""
    _, quorum = quorum_of(len(plan.full_nodes))
    lines = [f"log {log_key(plan, keys).vkey}"]
    names = []
    for number, port in enumerate(plan.full_nodes, start=1):
        name = full_node_name(number)
        names.append(name)
        lines.append(f"witness {name} {witness_key(keys, number).vkey} http://127.0.0.1:{port}")
    lines.append(f"group fullnodes {quorum} {' '.join(names)}")
    lines.append("quorum fullnodes")
    return "\n".join(lines) + "\n"


def development_trust(
    plan: Plan,
    keys: Keys,
    root: DevelopmentRoot,
    measurements: Sequence[Measurement],
    contract: bytes,
) -> Trust:
    """What a stranger needs to verify receipts of this network offline."""
    faulty, _ = quorum_of(len(plan.full_nodes))
    return Trust(
        format=FORMAT,
        network=plan.name,
        origin=plan.origin,
        chain_id=plan.chain_id,
        tlog_policy=tlog_policy(plan, keys),
        authority=tuple(hex0x(key.address) for key in keys.authority),
        threshold=AUTHORITY_THRESHOLD,
        full_nodes=tuple(hex0x(key.address) for key in keys.full_nodes),
        f=faulty,
        gateways=(hex0x(keys.gateway.address),),
        reviewers=tuple(hex0x(key.address) for key in keys.reviewers),
        attestation=attestation_policy(root.digest()),
        measurement=tuple(measurements),
        policy=clearing_policies(),
        root_certificates=(RootCertificate("nitro-dev", root.certificate_pem().decode()),),
        anchor=AnchorContract(hex0x(contract), plan.chain_id),
    )


def with_declarations(trust: Trust, declared: Iterable[Entry]) -> Trust:
    """The trust file with every revocation and compromise that was declared, and the policies in force."""
    revoked, compromised = [], []
    policies = {policy.name: policy for policy in trust.policy}
    for entry in declared:
        match entry.statement:
            case Revocation() as said:
                revoked.append(RevokedMeasurement(hex0x(said.document), said.since, text_of(said.reason)))
            case Compromise() as said:
                compromised.append(CompromisedKey(hex0x(said.key), said.since, text_of(said.reason)))
            case PolicyStatement() as said if text_of(said.kind).startswith("clearing:"):
                policy = ClearingPolicy.decode(entry.attachments[0])
                policies[policy.name] = policy
    return msgspec.structs.replace(
        trust,
        revoked=tuple(revoked),
        compromised=tuple(compromised),
        policy=tuple(policies.values()),
    )
