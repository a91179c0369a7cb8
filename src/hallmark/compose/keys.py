"""The private keys of a development network, all on one machine. A real network keeps each where it
belongs.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hallmark.compose.home import Home
from hallmark.compose.plan import Plan
from hallmark.crypto.secp256k1 import Key

AUTHORITY_KEYS = 3
AUTHORITY_THRESHOLD = 2
_RAW = (serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())


class Keys(msgspec.Struct, frozen=True):
    """Keys by role. secp256k1 keys sign statements; Ed25519 seeds (32 bytes) sign checkpoints and
    cosignatures. `vault` pays for what the vault's keeper sends, `faucet` for development money, `issuer`
    signs key sets of tokens and holds what they were bought with.
    """

    authority: tuple[Key, ...]
    publisher: Key
    gateway: Key
    anchor: Key
    desk: Key
    vault: Key
    faucet: Key
    issuer: Key
    reviewers: tuple[Key, ...]
    owners: tuple[Key, ...]
    full_nodes: tuple[Key, ...]
    full_node_seeds: tuple[bytes, ...]
    log_seed: bytes


def load_keys(home: Home, plan: Plan) -> Keys:
    """Read the home's keys, making those that are missing."""
    count = len(plan.full_nodes)
    return Keys(
        authority=tuple(_secp(home, f"authority-{n + 1}") for n in range(AUTHORITY_KEYS)),
        publisher=_secp(home, "publisher"),
        gateway=_secp(home, "gateway"),
        anchor=_secp(home, "anchor"),
        desk=_secp(home, "desk"),
        vault=_secp(home, "vault"),
        faucet=_secp(home, "faucet"),
        issuer=_secp(home, "issuer"),
        reviewers=tuple(_secp(home, name) for name in plan.reviewers),
        owners=tuple(_secp(home, f"{node.name}-owner") for node in plan.nodes),
        full_nodes=tuple(_secp(home, f"fullnode-{n + 1}") for n in range(count)),
        full_node_seeds=tuple(_seed(home, f"fullnode-{n + 1}") for n in range(count)),
        log_seed=_seed(home, "log"),
    )


def speaker_key(home: Home) -> Key:
    """The key with which this home says how answers turned out, made when it is first used."""
    return _secp(home, "speaker")


def _secp(home: Home, name: str) -> Key:
    return Key(_kept(home, f"{name}.secp256k1", lambda: Key.generate().secret))


def _seed(home: Home, name: str) -> bytes:
    return _kept(home, f"{name}.ed25519", lambda: Ed25519PrivateKey.generate().private_bytes(*_RAW))


def _kept(home: Home, name: str, make: Callable[[], bytes]) -> bytes:
    path = home.file("keys", name)
    if not path.exists():
        home.write_secret(make().hex().encode() + b"\n", "keys", name)
    return bytes.fromhex(path.read_text().strip())
