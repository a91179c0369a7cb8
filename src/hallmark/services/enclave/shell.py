"""The enclave's shell: what stands between the application and the host. Implements `Runtime`."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterable, Mapping

from hallmark.attestation.attester import Attester
from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import report_data
from hallmark.core.documents import EnclaveConfiguration, KeyBundle
from hallmark.core.errors import NotFound
from hallmark.services.enclave import control
from hallmark.services.enclave.billing import Asked, Billing
from hallmark.services.enclave.identity import Identity, register
from hallmark.services.enclave.metering import Meter
from hallmark.services.enclave.provider_keys import ProviderKeys
from hallmark.services.enclave.receipts import ReceiptChain
from hallmark.services.enclave.runtime import TEXT_LIMIT, Beacon, Model, ReceiptDraft, SignedReceipt
from hallmark.services.enclave.transport import Transport
from hallmark.services.sealing.keys import ScheduledKeys


class MixedRandom:
    """Random bytes from the kernel, mixed with a seed from the security module.

    On Nitro the parent instance may influence what the kernel gathers; the module's bytes it cannot know.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int) -> bytes:
        """`size` bytes: SHAKE-256(seed || u64be count || 64 kernel bytes)."""
        self._count += 1
        state = hashlib.shake_256(self._seed + self._count.to_bytes(8, "big") + os.urandom(64))
        return state.digest(size)


class Shell:
    """The runtime of one enclave; `Runtime` documents what the application sees of it."""

    def __init__(
        self,
        transport: Transport,
        configuration: EnclaveConfiguration,
        models: Mapping[str, Model],
        identity: Identity,
        *,
        attester: Attester | None,
        random: MixedRandom,
        beacon: Beacon,
        billing: Billing,
        sealing: ScheduledKeys | None = None,
    ) -> None:
        self._transport = transport
        self._configuration = configuration
        self.configuration_document = configuration.encode()
        self._models = models
        self._identity = identity
        self._attester = attester
        self._random = random
        self._beacon = beacon
        self._billing = billing
        self.sealing = sealing
        self._evidence = b""
        self._receipts = ReceiptChain(identity, configuration, transport.send)
        self._keys = ProviderKeys(identity.hpke, identity.bundle_digest, configuration.upstreams)

    @property
    def configuration(self) -> EnclaveConfiguration:
        """See `Runtime`."""
        return self._configuration

    @property
    def models(self) -> Mapping[str, Model]:
        """See `Runtime`."""
        return self._models

    @property
    def address(self) -> bytes:
        """See `Runtime`."""
        return self._identity.key.address

    @property
    def bundle(self) -> bytes:
        """See `Runtime`."""
        return self._identity.bundle

    @property
    def evidence(self) -> bytes:
        """See `Runtime`."""
        return self._evidence

    def beacon(self) -> Beacon:
        """See `Runtime`."""
        return self._beacon

    def now(self) -> int:
        """See `Runtime`."""
        return time.time_ns() // 1_000_000

    def random(self, size: int) -> bytes:
        """See `Runtime`."""
        return self._random(size)

    async def sign_receipt(self, draft: ReceiptDraft) -> SignedReceipt:
        """See `Runtime`."""
        return await self._receipts.sign(draft)

    def require_room(self) -> None:
        """See `Runtime`."""
        self._receipts.require_room()

    async def open_meter(self, asked: Asked) -> Meter:
        """See `Runtime`."""
        return await self._billing.open(asked)

    async def dial(self, name: str) -> socket.socket:
        """See `Runtime`."""
        if name not in self._configuration.upstreams:
            raise NotFound("unknown_upstream", "The configuration names no such upstream.")
        return await self._transport.dial(name)

    def upstream_authorization(self, name: str) -> bytes:
        """See `Runtime`."""
        return self._keys.authorization(name)

    def log(self, event: str, **ids: int | str) -> None:
        """See `Runtime`."""
        short = {name: v[:TEXT_LIMIT] if isinstance(v, str) else v for name, v in ids.items()}
        self._transport.send(control.Log(event[:TEXT_LIMIT], short))

    def attest(self, beacon: Beacon) -> None:
        """Make evidence for the bundle with the nonce of `beacon`, and send it with a fresh registration.

        Raises Unavailable when the security module refuses.
        """
        if self._attester is not None:
            nonce = evidence_nonce(beacon.size, beacon.root)
            made = self._attester.attest(report_data(KeyBundle, self._identity.bundle), nonce)
            self._evidence = made.encode()
        statement, signature = register(
            self._identity, self._configuration, self._evidence, beacon, self.now()
        )
        self._transport.send(
            control.Attested(self._identity.bundle, self._evidence, statement.pack(), signature)
        )

    def on_message(self, message: control.ToEnclave) -> None:
        """Act on one message from the host; what does not fit the moment is ignored."""
        match message:
            case control.Stored(sequence):
                self._receipts.stored(sequence)
            case control.BeaconUpdate(size, root):
                if size >= self._beacon.size and len(root) == 32:
                    self._beacon = Beacon(size, root)
                self._transport.send(control.Alive())
            case control.UpstreamKey(label, sealed):
                taken = control.UpstreamKeyTaken(label[:TEXT_LIMIT], self._keys.take(label, sealed))
                self._transport.send(taken)
            case control.Attest(size, root) if len(root) == 32:
                self.attest(Beacon(size, root))
            case control.Terms() | control.FramesKept() | control.AccountState() | control.Settle():
                self._answer(self._billing.on_message(message))
            case (
                control.PaymentState()
                | control.PaymentSettled()
                | control.ChannelsClaimed()
                | control.ClaimsWanted()
                | control.TokenKeys()
                | control.IssuerAnswer()
            ):
                self._answer(self._billing.on_message(message))
            case _:
                self.log("message_ignored", kind=type(message).__name__.lower())

    def _answer(self, messages: Iterable[control.FromEnclave]) -> None:
        for message in messages:
            self._transport.send(message)
