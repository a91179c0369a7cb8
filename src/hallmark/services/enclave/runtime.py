"""The contract between the enclave's shell (keys, transport, receipts) and the application that runs in it.

`services/enclave/app.py` offers two functions and nothing else to the shell:

    describe_engines(configuration: EnclaveConfiguration, models: Mapping[str, Model]) -> str
        one line for `KeyBundle.engine`: engine, version, flags, processor class. Called before keys exist,
        must be cheap (import no engine that `models` does not need).
    create_app(runtime: Runtime) -> ASGI application
        called once, before the second seccomp filter is installed: load every library and model here.
        After it returns, executable mappings, new sockets, processes and programs are denied for good;
        threads are allowed. Lifespan events are not sent.

The application sees `Runtime` alone: it opens no socket and no path outside /tmp (a tmpfs) by itself.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.documents import EnclaveConfiguration, Manifest
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Receipt

if TYPE_CHECKING:
    from hallmark.services.enclave.billing import Asked
    from hallmark.services.enclave.metering import Meter
    from hallmark.services.sealing.keys import ScheduledKeys

TEXT_LIMIT = 80
"""Characters of a text in `Runtime.log`."""
EMPTY_INPUTS = EMPTY_ROOT
"""Root over no input records: SHA-256 of nothing, 32 bytes."""


class Beacon(msgspec.Struct, frozen=True):
    """A recent checkpoint: its size in entries and its 32-byte root."""

    size: int
    root: bytes


class Model(msgspec.Struct, frozen=True):
    """A model whose artifact was hashed inside and equals its manifest.

    `manifest_bytes` are the manifest's exact bytes and `manifest_digest` its digest (32 bytes). `artifact`
    is the tar of the model's files: a read-only view of memory that nobody outside can change, released
    once `create_app` has returned.
    """

    label: str
    manifest: Manifest
    manifest_bytes: bytes
    manifest_digest: bytes
    artifact: memoryview


class ReceiptDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What the application says about one answer; the shell adds version, network, node, bundle,
    sequence and previous. `mode` is None where nothing but what confines the node is said.

    Digests are 32 bytes, times unix ms. `beacon` is the beacon as it was when the request arrived.
    `attachments` travel in the log entry: (route record bytes, candidates document, packed ticket ||
    signature), the last two empty when direct; behind them the payment record and what the payer signed,
    where there is one.
    """

    request: bytes
    response: bytes
    parameters: bytes
    route: bytes
    beacon: Beacon
    started: int
    finished: int
    tokens_in: int
    tokens_out: int
    attachments: tuple[bytes, ...]
    artifact: bytes = ZERO32
    manifest: bytes = ZERO32
    upstream: bytes = ZERO32
    inputs: bytes = EMPTY_INPUTS
    payment: bytes = ZERO32
    charged: int = 0
    policy: bytes = ZERO32
    client_nonce: bytes = ZERO32
    mode: int | None = None


class SignedReceipt(msgspec.Struct, frozen=True):
    """A receipt that the host has stored durably: the statement, its id (32 bytes), 65 signature bytes, the
    log entry's exact bytes.
    """

    receipt: Receipt
    id: bytes
    signature: bytes
    entry: bytes


class Runtime(Protocol):
    """What the application may use. Everything else is out of its reach."""

    @property
    def configuration(self) -> EnclaveConfiguration:
        """The measured configuration."""
        ...

    @property
    def configuration_document(self) -> bytes:
        """Its exact bytes."""
        ...

    @property
    def models(self) -> Mapping[str, Model]:
        """Loaded models by label."""
        ...

    @property
    def address(self) -> bytes:
        """20-byte address of the signing key that was made inside."""
        ...

    @property
    def bundle(self) -> bytes:
        """Exact bytes of the KeyBundle document; receipts commit to `digest_of(KeyBundle, bundle)`."""
        ...

    @property
    def evidence(self) -> bytes:
        """The newest evidence for the bundle, `Evidence.encode()` form; empty in vanilla mode."""
        ...

    @property
    def sealing(self) -> ScheduledKeys | None:
        """The keys that open sealed requests; None where nothing sealed is taken."""
        ...

    def beacon(self) -> Beacon:
        """The newest beacon that the host has brought."""
        ...

    def now(self) -> int:
        """Unix ms by this enclave's clock."""
        ...

    def random(self, size: int) -> bytes:
        """`size` random bytes from the security module mixed with the kernel's."""
        ...

    async def sign_receipt(self, draft: ReceiptDraft) -> SignedReceipt:
        """Sign the next receipt and wait until the host has stored it.

        Raises Unavailable `receipt_not_stored` after 2 s without the host's word; the receipt then still
        counts in the chain and the answer must end with that error instead of `[DONE]`.
        """
        ...

    def require_room(self) -> None:
        """Before anything is charged: raises Unavailable `outbox_full` when no receipt would be signed."""
        ...

    async def open_meter(self, asked: Asked) -> Meter:
        """How a request is paid for; see `Billing.open`."""
        ...

    async def dial(self, name: str) -> socket.socket:
        """A non-blocking stream socket to the upstream `name` of the configuration, piped by the host.

        Raises NotFound `unknown_upstream`, Unavailable `upstream_unreachable`.
        """
        ...

    def upstream_authorization(self, name: str) -> bytes:
        """The `Authorization` header's value for the upstream `name`; empty when it has no key."""
        ...

    def log(self, event: str, **ids: int | str) -> None:
        """Hand one line to the host's log: ids and numbers, never content. Text is cut at 80 characters."""
        ...
