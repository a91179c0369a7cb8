"""Answers of a little network: request, response, ticket, receipt and everything that commits to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import Document, hex0x
from hallmark.core.documents import (
    Candidate,
    Candidates,
    Exclusion,
    Manifest,
    Parameters,
    RouteRecord,
    SealedPath,
)
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.money import Payment
from hallmark.core.receipt import RECEIPT_VERSION, Mode, Receipt, request_digest, response_digest
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import sign_statement

if TYPE_CHECKING:
    from hallmark.testing.network import LittleNetwork, Party

PATH = "/v1/chat/completions"
REQUEST = b'{"model":"digits","messages":[{"role":"user","content":"Which digit? caf\xc3\xa9"}]}'
RESPONSE = b'{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":"Seven.\\n"}}]}'
TICKET_LIFE = 60_000


class Answer(msgspec.Struct, frozen=True):
    """One answer: the receipt, its signature, its log entry, and what the owner keeps."""

    node: Any
    receipt: Receipt
    entry: Entry
    request: bytes
    response: bytes
    salts: tuple[bytes, bytes]
    parameters: Parameters
    route: RouteRecord
    candidates: Candidates | None
    ticket: bytes
    manifest: Manifest | None
    inputs: tuple[Document, ...] = ()
    upstream: Document | None = None
    payment: Payment | None = None
    authorization: bytes = b""
    offer: Document | None = None
    issuer_keys: Document | None = None

    @property
    def signature(self) -> bytes:
        """The node's 65-byte signature."""
        return self.entry.signatures[0]


class Answers:
    """Makes answers; counts them so that each has its own salts."""

    def __init__(self, network: LittleNetwork) -> None:
        self.network = network
        self.count = 0

    def salt(self, what: str) -> bytes:
        """32 bytes that no other answer has."""
        return sha256(b"hallmark/testing/salt\0", what.encode(), self.count.to_bytes(8, "big"))

    def candidates(self, node: Party) -> Candidates:
        """Candidates that name `node` first."""
        listed = [node, *(other for other in self.network.nodes if other is not node)]
        return Candidates(
            self.network.card.label,
            Mode.TEE,
            tuple(Candidate(hex0x(n.address), hex0x(n.bundle.digest())) for n in listed if n.bundle),
            (Exclusion("0x" + "ee" * 20, "at_capacity"),),
        )

    def ticket(self, candidates: Candidates, **changes: Any) -> tuple[Ticket, bytes]:
        """A route ticket of the network's gateway: the statement, and packed || signature."""
        size, root = self.network.beacon()
        now, gateway = self.network.now, self.network.gateway
        statement = Ticket(
            self.network.genesis.network,
            gateway.address,
            candidates.digest(),
            size,
            root,
            now - 50,
            now - 50 + TICKET_LIFE,
            self.salt("ticket"),
        )
        statement = msgspec.structs.replace(statement, **changes)
        signature = sign_statement(statement, self.network.genesis.chain_id, gateway.key)
        return statement, statement.pack() + signature

    def receipt(self, node: Party, manifest: Manifest | None, salts: tuple[bytes, bytes]) -> Receipt:
        """The next receipt of `node`, without upstream, parameters, route and inputs."""
        net, bundle = self.network, node.bundle
        assert bundle is not None, "register the node first"
        size, root = net.beacon()
        return Receipt(
            version=RECEIPT_VERSION,
            network=net.genesis.network,
            node=node.address,
            bundle=bundle.digest(),
            sequence=node.sequence,
            previous=node.previous,
            request=request_digest(salts[0], PATH, REQUEST),
            response=response_digest(salts[1], RESPONSE),
            mode=bundle.mode,
            artifact=bytes.fromhex(manifest.artifact[2:]) if manifest else ZERO32,
            manifest=manifest.digest() if manifest else ZERO32,
            upstream=ZERO32,
            parameters=ZERO32,
            route=ZERO32,
            inputs=EMPTY_ROOT,
            payment=ZERO32,
            charged=0,
            tokens_in=7,
            tokens_out=2,
            beacon_size=size,
            beacon_root=root,
            started=net.now - 40,
            finished=net.now - 10,
            policy=ZERO32,
            client_nonce=self.salt("client"),
        )

    def make(
        self,
        node: Party,
        *,
        direct: bool = False,
        sealed: SealedPath | None = None,
        ticket_changes: dict[str, Any] | None = None,
        advance: bool = True,
        inputs: tuple[Document, ...] = (),
        inputs_root: bytes = EMPTY_ROOT,
        upstream_record: Document | None = None,
        paid: Callable[[Receipt], tuple[Payment, bytes]] | None = None,
        asked: bytes = REQUEST,
        applied: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Answer:
        """An answer by `node` that now extends its chain (unless `advance` is false). `sealed`: how it came,
        where it did; `asked`: the request's body; `applied`: more of its parameters.
        """
        self.count += 1
        net, manifest = self.network, None if upstream_record else self.network.manifest
        candidates = None if direct else self.candidates(node)
        ticket, packed = self.ticket(candidates, **(ticket_changes or {})) if candidates else (None, b"")
        upstream = ("upstream",) if upstream_record else ()
        route = RouteRecord(
            hex0x(ticket.struct_hash() if ticket else ZERO32),
            "sealed" if sealed else "direct" if direct else "plain",
            ("enclave", *upstream) if sealed else ("node",) if direct else ("gateway", "node"),
            hex0x(node.address),
            sealed=sealed or msgspec.UNSET,
        )
        parameters = Parameters(
            "chat", 64, node_nonce=hex0x(self.salt("nonce")), engine="onnx 1 test", **(applied or {})
        )
        salts = (self.salt("request"), self.salt("response"))
        receipt = msgspec.structs.replace(
            self.receipt(node, manifest, salts),
            upstream=upstream_record.digest() if upstream_record else ZERO32,
            parameters=parameters.digest(),
            route=route.digest(),
            inputs=inputs_root,
            request=request_digest(salts[0], PATH, asked),
        )
        receipt = msgspec.structs.replace(receipt, **changes)
        record, authorization = None, b""
        attached: tuple[bytes, ...] = (route.encode(), candidates.encode() if candidates else b"", packed)
        if paid:
            record, authorization = paid(receipt)
            receipt = msgspec.structs.replace(
                receipt, payment=record.digest(), charged=changes.get("charged", int(record.charged))
            )
            attached = (*attached, record.encode(), authorization)
        entry = net.entry(receipt, (node.key,), *attached)
        if advance:
            node.sequence, node.previous = receipt.sequence + 1, receipt.digest()
        return Answer(
            node, receipt, entry, asked, RESPONSE, salts, parameters, route, candidates, packed, manifest,
            inputs, upstream_record, record, authorization,
        )  # fmt: skip
