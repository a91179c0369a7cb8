"""A `Runtime` of the enclave in memory: real keys, real receipts and a real chain of them, no enclave."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hallmark.core.beacon import EMPTY_ROOT, network_id
from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import EnclaveConfiguration, KeyBundle, Manifest
from hallmark.core.entries import Entry
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.receipt import RECEIPT_VERSION, Mode, Receipt
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.enclave.billing import Asked, Billing
from hallmark.services.enclave.metering import Meter
from hallmark.services.enclave.runtime import Beacon, Model, ReceiptDraft, SignedReceipt
from hallmark.services.sealing.keys import ScheduledKeys

CHAIN_ID = 31337
OWNER = Key(sha256(b"owner"))
Dialer = Callable[[str], Awaitable[socket.socket]]


def model_of(label: str, artifact: bytes, engine_format: str) -> Model:
    """A model with a manifest; its artifact id is a stand-in (SHA-256 of the label)."""
    manifest = Manifest(
        label=label,
        version="1",
        artifact=hex0x(hashlib.sha256(label.encode()).digest()),
        sha256=hex0x(hashlib.sha256(artifact).digest()),
        size=len(artifact),
        format=engine_format,
        task="",
        card=hex0x(ZERO32),
    )
    return Model(label, manifest, manifest.encode(), manifest.digest(), memoryview(artifact))


class MemoryRuntime:
    """`Runtime` for tests: `signed` holds every receipt, `logged` every line; `refuse` makes signing fail."""

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        capacity: int = 8,
        upstreams: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        self.key = Key.generate()
        self.models = models
        self.signed: list[SignedReceipt] = []
        self.drafts: list[ReceiptDraft] = []
        self.logged: list[tuple[str, dict[str, int | str]]] = []
        self.refuse: str = ""
        self.evidence = b"\x00no evidence here"
        self.billing: Billing | None = None
        self.sealing: ScheduledKeys | None = None
        self._dialer = dialer
        self._clock = 1_800_000_000_000
        self._chance = 0
        self.authorizations: dict[str, bytes] = {}
        self.configuration = EnclaveConfiguration(
            network=hex0x(network_id("tests")),
            chain_id=CHAIN_ID,
            owner=hex0x(OWNER.address),
            endpoint="https://node.invalid",
            payment=hex0x(OWNER.address),
            mode=Mode.TEE,
            capacity=capacity,
            models={label: hex0x(model.manifest_digest) for label, model in models.items()},
            upstreams=dict(upstreams or {}),
            limits=dict(limits or {}),
        )
        self.configuration_document = self.configuration.encode()
        self.bundle = self._bundle()

    @classmethod
    def over(cls, other: MemoryRuntime, *, capacity: int) -> MemoryRuntime:
        """A runtime with the same models and the same billing, for more requests at once."""
        made = cls(other.models, capacity=capacity)
        made.billing, made._clock = other.billing, other._clock
        return made

    def _bundle(self) -> bytes:
        return KeyBundle(
            network=self.configuration.network,
            owner=self.configuration.owner,
            endpoint=self.configuration.endpoint,
            payment=self.configuration.payment,
            epoch=0,
            signing_key=hex0x(self.key.address),
            hpke=(),
            tls_spki=hex0x(ZERO32),
            image=hex0x(bytes(48)),
            configuration=hex0x(self.configuration.digest()),
            artifacts=tuple(model.manifest.artifact for model in self.models.values()),
            mode=self.configuration.mode,
            capacity=self.configuration.capacity,
            engine="tests",
        ).encode()

    @property
    def address(self) -> bytes:
        """Address of the signing key."""
        return self.key.address

    def beacon(self) -> Beacon:
        """The beacon of an empty log."""
        return Beacon(0, EMPTY_ROOT)

    def now(self) -> int:
        """A clock that moves one millisecond each time that it is read."""
        self._clock += 1
        return self._clock

    def random(self, size: int) -> bytes:
        """Bytes that differ from call to call and repeat from run to run."""
        self._chance += 1
        return hashlib.shake_256(b"tests" + self._chance.to_bytes(8, "big")).digest(size)

    async def sign_receipt(self, draft: ReceiptDraft) -> SignedReceipt:
        """Sign the next receipt of the chain. Raises Unavailable with the reason in `refuse`, if any."""
        if self.refuse:
            raise Unavailable(self.refuse, "The host did not store the receipt.")
        fields: dict[str, Any] = {
            name: getattr(draft, name)
            for name in draft.__struct_fields__
            if name not in ("beacon", "attachments", "mode")
        }
        receipt = Receipt(
            version=RECEIPT_VERSION,
            network=network_id("tests"),
            node=self.key.address,
            bundle=digest_of(KeyBundle, self.bundle),
            sequence=len(self.signed),
            previous=self.signed[-1].receipt.digest() if self.signed else ZERO32,
            mode=self.configuration.mode if draft.mode is None else draft.mode,
            beacon_size=draft.beacon.size,
            beacon_root=draft.beacon.root,
            **fields,
        )
        signature = sign_statement(receipt, CHAIN_ID, self.key)
        entry = Entry(receipt, (signature,), draft.attachments).encode()
        self.drafts.append(draft)
        self.signed.append(SignedReceipt(receipt, receipt.digest(), signature, entry))
        return self.signed[-1]

    def require_room(self) -> None:
        """Raises Unavailable `outbox_full` when that is what signing is refused with."""
        if self.refuse == "outbox_full":
            raise Unavailable("outbox_full", "The host does not store receipts any more.")

    async def open_meter(self, asked: Asked) -> Meter:
        """By the billing that the test gave; without one nothing is offered."""
        return await self.billing.open(asked) if self.billing is not None else Meter()

    async def dial(self, name: str) -> socket.socket:
        """A socket from the dialer that the test gave. Raises NotFound `unknown_upstream`."""
        if self._dialer is None or name not in self.configuration.upstreams:
            raise NotFound("unknown_upstream", "There is no such upstream.")
        return await self._dialer(name)

    def upstream_authorization(self, name: str) -> bytes:
        """The header's value that the test gave, if any."""
        return self.authorizations.get(name, b"")

    def log(self, event: str, **ids: int | str) -> None:
        """Keep the line for the test to read."""
        self.logged.append((event, ids))
