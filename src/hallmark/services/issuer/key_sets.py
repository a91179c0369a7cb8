"""The issuer's key sets: one for each epoch, made and logged before it is in force, the same for everybody.

An epoch is `epoch_ms` of unix time. Its tokens are sold while it lasts and spent for one epoch more. The
log takes one set of an issuer for an epoch, so nobody can be given keys of his own and be known by them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hallmark.core.document import digest_of, hex0x
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.statements import IssuerEpoch
from hallmark.core.tokens import AUTHENTICATOR, VALUES, IssuerKeys, TokenSpend
from hallmark.crypto.blind_signing import BlindSigningKey
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.issuing import Blinded
from hallmark.payments.token_signing import SigningKeys
from hallmark.services.issuer.settings import Settings
from hallmark.services.issuer.store import KEPT_MS, KeptEpoch, Store
from hallmark.services.node.forwarder import LogClient, LogProblem
from hallmark.telemetry.logs import get_logger

SECRETS_TAG: Final = b"hallmark/issuer-secrets/v1\0"
NONCE: Final = 12
RETRY_S: Final = 1.0
EPOCHS: Final = 2
"""For how many epochs tokens can be spent: that of their sale, and one more."""
LONGEST_S: Final = 600.0
FEW: Final = 4
"""Up to so many blind signatures are made at once, more in a thread beside everybody else's requests."""


class Spent(msgspec.Struct, frozen=True):
    """Tokens that hold: the digest of the spend, what they are worth (atomic units), their nullifiers."""

    digest: bytes
    total: int
    nullifiers: tuple[bytes, ...]


class IssuerSet:
    """One key set with its secrets."""

    def __init__(self, kept: KeptEpoch, secrets: Sequence[BlindSigningKey]) -> None:
        self.epoch, self.digest, self.logged = kept.epoch, kept.digest, kept.logged
        self.document, self.entry = kept.document, kept.entry
        self.keys = IssuerKeys.decode(kept.document)
        self._set = KeySet(self.keys)
        self._signing = SigningKeys(self._set, secrets)

    def require_messages(self, blinded: Sequence[Blinded]) -> None:
        """Raises InvalidInput `bad_blinded_message` for what no key of this set can sign."""
        for one in blinded:
            size, known = AUTHENTICATOR, 0 <= one.value < VALUES
            modulus = self._set.keys[one.value].modulus if known else 0
            if len(one.message) != size or not 0 < int.from_bytes(one.message, "big") < modulus:
                raise InvalidInput("bad_blinded_message", "This is not a blinded message for this key.")

    async def sign(self, blinded: Sequence[Blinded]) -> tuple[Blinded, ...]:
        """Blind signatures, in the same order; always the same for the same messages."""
        if len(blinded) <= FEW:
            return self._sign(blinded)
        return await asyncio.to_thread(self._sign, blinded)

    def _sign(self, blinded: Sequence[Blinded]) -> tuple[Blinded, ...]:
        signed = (self._signing.sign(one.value, one.message, os.urandom) for one in blinded)
        return tuple(Blinded(one.value, one.signature) for one in signed)

    def spent(self, packed: bytes) -> Spent:
        """What a compact spend is worth. Raises InvalidInput `bad_tokens`, VerificationFailed
        `token_invalid`.
        """
        spend = TokenSpend.decode(packed)
        total = self._set.verify_spend(spend)
        return Spent(spend.digest(), total, tuple(self._set.nullifier(one) for one in spend.tokens))


class KeySets:
    """See the module docstring. `run` must run."""

    def __init__(self, settings: Settings, key: Key, network: bytes, *, store: Store, log: LogClient) -> None:
        self._settings, self._key, self._network = settings, key, network
        self._store, self._log = store, log
        self._cipher = AESGCM(sha256(SECRETS_TAG, key.secret))
        self._sets: dict[int, IssuerSet] = {}
        self.problem = ""

    async def begin(self) -> None:
        """Read what is kept. Raises VerificationFailed `secrets_unreadable` with another key than before."""
        for kept in await self._store.epochs():
            self._add(kept)

    @property
    def sets(self) -> tuple[IssuerSet, ...]:
        """Every set whose tokens may still be spent, oldest first."""
        now = _now()
        return tuple(one for _, one in sorted(self._sets.items()) if now < one.keys.until)

    def on_sale(self, now: int) -> IssuerSet | None:
        """The set that is sold from at `now` (unix ms)."""
        found = [one for one in self._sets.values() if one.logged and one.keys.since <= now < one.keys.until]
        return max(found, key=lambda one: one.epoch, default=None)

    def find(self, digest: bytes) -> IssuerSet | None:
        """A set by its document's digest."""
        return next((one for one in self._sets.values() if one.digest == digest), None)

    def of_epoch(self, epoch: int) -> IssuerSet:
        """The set of an epoch in which something was done."""
        return self._sets[epoch]

    async def run(self) -> None:
        """Make and log what is needed, for ever."""
        while True:
            now = _now()
            try:
                await self.ensure(now)
                pause, self.problem = self._pause(now), ""
            except HallmarkError as error:
                if self.problem != error.reason:
                    get_logger().warning("key_sets_problem", reason=error.reason)
                pause, self.problem = RETRY_S, error.reason
            await asyncio.sleep(pause)

    async def ensure(self, now: int) -> None:
        """At `now` (unix ms) there is a set of this epoch, of the next one if it comes soon, and the log has
        them. Raises Unavailable `keys_not_logged`, and what the store raises.
        """
        length = self._settings.epoch_ms
        current = now // length
        for epoch in (current, (now + self._settings.ahead_ms) // length):
            if epoch not in self._sets:
                made = await asyncio.to_thread(self._made, epoch, now)
                self._add(await self._store.keep_epoch(made))
        for _, one in sorted(self._sets.items()):
            if not one.logged:
                await self._say(one)
        ended = [one.epoch for one in self._sets.values() if one.keys.until + KEPT_MS < now]
        await self._store.prune(ended)

    def _pause(self, now: int) -> float:
        length, ahead = self._settings.epoch_ms, self._settings.ahead_ms
        following = ((now + ahead) // length + 1) * length - ahead
        return min(LONGEST_S, max(0.05, (following - now) / 1000))

    async def _say(self, one: IssuerSet) -> None:
        (answer,) = await self._log.add([one.entry])
        if isinstance(answer, LogProblem):
            raise Unavailable("keys_not_logged", f"The log does not take the key set ({answer.code}).")
        await self._store.logged(one.epoch)
        one.logged = True
        get_logger().info("key_set_logged", epoch=one.epoch)

    def _made(self, epoch: int, now: int) -> KeptEpoch:
        """A new set; takes a second or two."""
        settings = self._settings
        length = settings.epoch_ms
        secrets = [BlindSigningKey.generate() for _ in range(VALUES)]
        document = IssuerKeys(
            network=hex0x(self._network),
            issuer=hex0x(self._key.address),
            asset=settings.asset,
            unit=settings.unit,
            epoch=epoch,
            since=max(epoch * length, now),
            until=(epoch + EPOCHS) * length,
            keys=tuple(hex0x(one.public.spki) for one in secrets),
        ).encode()
        digest = digest_of(IssuerKeys, document)
        statement = IssuerEpoch(self._network, self._key.address, epoch, digest, now)
        signature = sign_statement(statement, settings.chain_id, self._key)
        entry = Entry(statement, (signature,), (document,)).encode()
        nonce = os.urandom(NONCE)
        plain = msgspec.msgpack.encode([one.der() for one in secrets])
        return KeptEpoch(epoch, digest, document, nonce + self._cipher.encrypt(nonce, plain, digest), entry)

    def _add(self, kept: KeptEpoch) -> None:
        try:
            nonce, data = kept.secrets[:NONCE], kept.secrets[NONCE:]
            plain = self._cipher.decrypt(nonce, data, kept.digest)
        except InvalidTag as error:
            raise VerificationFailed(
                "secrets_unreadable",
                "The key sets in the database are sealed with another issuer's key.",
                "Start with the key file that made them.",
            ) from error
        ders = msgspec.msgpack.decode(plain, type=tuple[bytes, ...])
        self._sets[kept.epoch] = IssuerSet(kept, [BlindSigningKey.from_der(one) for one in ders])


def _now() -> int:
    return time.time_ns() // 1_000_000
