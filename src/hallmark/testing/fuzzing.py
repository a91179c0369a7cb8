"""Every decoder and judge that a stranger's bytes reach, with good examples, and a mutator of bytes.

A target ends in a value or in one of our own errors; whatever else it raises is a finding. `tests/unit/fuzz`
tries a little of each, `bench/fuzz.py` as much as one likes.
"""

from __future__ import annotations

import base64
import functools
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec

from hallmark.attestation import cose, dcap, nitro, nsm, snp, vcek, x509
from hallmark.core import documents
from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import Document, hex0x
from hallmark.core.entries import Kind, decode, leaf, split_leaf
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.evidence import Evidence
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import Note, VerifierKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import Proof
from hallmark.ledger.tiles import TileName, decode_bundle, encode_bundle
from hallmark.ledger.witness import AddCheckpoint
from hallmark.services.gateway.payments import read_paying
from hallmark.services.log.admission import join_many, split_many
from hallmark.services.log.membership import Member
from hallmark.services.log.submitters import Authority
from hallmark.services.sdk.offers import read_offers
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing import payments
from hallmark.testing.dossiers import Notary
from hallmark.testing.fuzzing_sealed import sealed_targets
from hallmark.testing.log_admission import Gate
from hallmark.testing.network import LittleNetwork
from hallmark.verification.dossier import Dossier
from hallmark.verification.fold import Replica
from hallmark.verification.judged_receipt import parse_ticket
from hallmark.verification.trust import read_trust

CHAINS, EVIDENCE = (b"\x30\x03\x02\x01\x01",), (b"\xd2\x84\x40\xa0\x40\x40",)
ODD = (0, 1, 2, 0x0A, 0x20, 0x22, 0x2B, 0x30, 0x5B, 0x7B, 0x7F, 0x80, 0x81, 0x9F, 0xA0, 0xBF, 0xD2, 0xFF)


class Target(msgspec.Struct, frozen=True):
    """One decoder or judge: its name, good inputs, and the call."""

    name: str
    seeds: tuple[bytes, ...]
    call: Callable[[bytes], object]

    def try_(self, data: bytes) -> str:
        """How it ends: `value`, or the reason code. Raises what is a finding."""
        try:
            self.call(data)
        except HallmarkError as error:
            return error.reason
        return "value"


class Bugs(Exception):
    """The last resort was needed, which is a finding as well."""


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """`data` with one to four changes: bits, odd bytes, pieces cut, doubled, moved, or taken from others."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        size = chance.choice((1, 1, 2, 4, 8, 32, 200))
        piece, kind = data[at : at + size], chance.randrange(8)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + bytes((chance.choice(ODD),)) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + data[at + size :]
        elif kind == 3:
            data = data[:at] + piece * chance.choice((2, 3, 50)) + data[at + size :]
        elif kind == 4:
            data = data[:at] + bytes(chance.choice(ODD) for _ in range(size)) + data[at:]
        elif kind == 5:
            other = chance.choice(others)
            begin = chance.randrange(len(other) + 1)
            data = data[:at] + other[begin : begin + size * 4] + data[at + size :]
        elif kind == 6:
            data = data[:at]
        else:
            to = chance.randrange(len(data) + 1)
            data = data[:to] + piece + data[to:]
    return data[: 1 << 17]


def targets(chains: Sequence[bytes] = (), evidence: Sequence[bytes] = ()) -> Iterator[Target]:
    """All of them; `chains` are certificates (DER), `evidence` COSE documents, where the caller has some."""
    net = LittleNetwork()
    notary = Notary(net)
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    dossier = notary.dossier(answer, index)
    yield from _log(net, notary, dossier)
    yield from _documents(net)
    trust = notary.trust()
    verifier = Verifier(trust)
    yield Target("saved receipt", (dossier.encode(),), lambda d: verifier.verify(Dossier.parse(d), net.now))
    yield Target(
        "trust file", (trust.to_toml().encode(),), lambda d: read_trust(d.decode("utf-8", "replace"))
    )
    body = b'{"id":"x","choices":[],"hallmark":{"receipt":{}}}'
    yield Target("answer", (body,), split_hallmark)
    yield Target("answer stream", (b"data: " + body + b"\n\ndata: [DONE]\n\n",), split_hallmark_stream)
    yield from _payments(net, verifier)
    for name, seeds, call in sealed_targets():
        yield Target(name, seeds, call)
    yield from _attestation(tuple(chains) or CHAINS, tuple(evidence) or EVIDENCE)


def _payments(net: LittleNetwork, verifier: Verifier) -> Iterator[Target]:
    """What a gateway reads of payments, inside their base64 too, and a client of a list of offers."""
    spent = payments.spend_bytes(net, net.nodes[0].owner.address, 1_000) + bytes(32)
    owner = {"from": hex0x(net.nodes[0].owner.address)}
    x402 = {"accepted": {"payTo": "0x" + "aa" * 20}, "payload": {"authorization": owner}}
    for name, seed in (("hallmark-payment", spent), ("payment-signature", msgspec.json.encode(x402))):
        read = functools.partial(_read, name.encode())
        yield Target(name, (base64.b64encode(seed),), read)
        yield Target(f"{name}, decoded", (seed,), functools.partial(_inside, read))
    offer = payments.offer(net)
    listed = msgspec.to_builtins(offer) | {"digest": hex0x(offer.digest())}
    listed["nodes"] = [{"node": owner["from"], "models": ["digits"], "settlement": None}]
    part = {"index": 1, "admitted": net.now, "bytes": base64.b64encode(net.entry_bytes(1)).decode()}
    listed |= {"entry": part | {"proof": "c2sp.org/tlog-proof@v1"}}
    seeds = (msgspec.json.encode({"offers": [listed]}),)
    yield Target("list of offers", seeds, lambda d: _offers(d, verifier))


def _inside(read: Callable[[bytes], object], data: bytes) -> object:
    return read(base64.b64encode(data))


def _read(name: bytes, value: bytes) -> object:
    return read_paying([(name, value)])


def _offers(data: bytes, verifier: Verifier) -> object:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("bad_offers", "This is no JSON.") from error
    return [read_offers(found, one) for one in (verifier, None)]


def _log(net: LittleNetwork, notary: Notary, dossier: Dossier) -> Iterator[Target]:
    entries = tuple(net.entry_bytes(at) for at in range(net.tree.size))
    yield Target("entry", entries, decode)
    parties = (*net.nodes, *net.full_nodes, net.gateway)
    members = [Member(one.address, one.role, one.owner.address) for one in parties]
    authority = Authority(frozenset(net.genesis.authority), net.genesis.threshold, net.genesis.chain_id)
    gate = Gate(net.genesis.network, members, chain_id=net.genesis.chain_id, authority=authority)
    yield Target("admission", entries, gate.judge)
    yield Target("leaf", tuple(net.leaves), split_leaf)
    replica = net.replica()
    yield Target("feed", entries, lambda d: _fed(replica, leaf(net.now, d)))
    yield Target("add-many", (join_many(list(entries)),), split_many)
    yield Target("entry bundle", (encode_bundle(net.leaves),), decode_bundle)
    note = notary.checkpoint(net.tree.size).encode()
    yield Target("note", (note,), Note.parse)
    yield Target("checkpoint", (note.split(b"\n\n")[0] + b"\n",), Checkpoint.parse)
    yield Target("add-checkpoint", (AddCheckpoint(0, (), Note.parse(note)).encode(),), AddCheckpoint.parse)
    assert dossier.entry is not None
    proof = (dossier.entry.proof or "").encode()
    yield Target("proof", (proof,), Proof.parse)
    policy, vkey = notary.policy_text.encode(), notary.log.vkey.encode()
    yield Target("policy", (policy,), lambda d: Policy.parse(d.decode("utf-8", "replace")))
    yield Target("vkey", (vkey,), lambda d: VerifierKey.parse(d.decode("utf-8", "replace")))
    paths = (b"tile/0/x001/x234/067.p/12", b"tile/entries/000.p/255")
    yield Target("tile path", paths, lambda d: TileName.parse(d.decode("utf-8", "replace")))
    attached = next(e for e in map(decode, entries) if e.kind is Kind.RECEIPT).attachments
    yield Target("ticket", (attached[2],), lambda d: parse_ticket(d, attached[1], net.genesis.chain_id))
    yield Target("candidates", (attached[1],), lambda d: parse_ticket(attached[2], d, net.genesis.chain_id))


def _fed(replica: Replica, data: bytes) -> None:
    known = replica.bugs
    replica.feed(replica.size, data)
    found = replica.newest_bug
    if found is not None and replica.bugs > known:
        raise Bugs(f"{found[1].error} at {found[1].at}")


def _documents(net: LittleNetwork) -> Iterator[Target]:
    attached = {piece for at in range(net.tree.size) for piece in decode(net.entry_bytes(at)).attachments}
    seeds = tuple(sorted(piece for piece in attached if piece.startswith(b"{")))
    for cls in vars(documents).values():
        if isinstance(cls, type) and issubclass(cls, Document) and cls.TAG:
            yield Target(f"document {cls.__name__}", seeds, cls.decode)


def _attestation(chains: tuple[bytes, ...], evidence: tuple[bytes, ...]) -> Iterator[Target]:
    yield Target("certificate", chains, lambda d: x509.read(d).p384_point())
    yield Target("chip certificate", chains, lambda d: vcek.read_chip_key(vcek.read(d)))
    yield Target("COSE", evidence, lambda d: cose.check_header(cose.split(d)))
    yield Target("payload", evidence, nitro.read_payload)
    yield Target("security module", (nsm.encode("ExtendPCR", {"index": 1, "data": b"x"}),), nsm.decode)
    yield Target("evidence", (Evidence("nitro", b"x", b"y").encode(),), Evidence.decode)
    yield Target("report", (bytes(snp.REPORT_SIZE),), lambda d: snp.check_header(snp.read_report(d)))
    collateral = b'{"tcb_info_issuer_chain":"-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----"}'
    yield Target("collateral", (collateral,), dcap.root_of)
    quote = b"\4\0\2\0\x81\0\0\0" + bytes(624)
    yield Target("quote", (quote,), lambda d: dcap.read_body(d.ljust(48, b"\0"), "tdx"))
    pem = b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n" * 3
    yield Target("chip chain", (pem,), vcek.read_chain)
