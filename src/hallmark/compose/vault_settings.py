"""Settings of the vault's keeper, and the terms that a development network's vault has."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import Hex20
from hallmark.http.serve import Listen
from hallmark.services.chain.vault import Delays, VaultParameters

DELAYS: Final = Delays(lease=300, settlement=300, withdrawal=900)
"""The shortest withdrawal that the contract takes, so that one can be watched from beginning to end."""


def vault_parameters(
    network: bytes, authority: tuple[bytes, ...], threshold: int, token: bytes
) -> VaultParameters:
    """What the vault of a development network is made for; its authority is the network's own."""
    return VaultParameters(network, token, authority, threshold, DELAYS)


class Watched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node of this network: its name, where its host says how it is, its owner."""

    name: str
    url: str
    owner: Hex20


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One keeper of one vault. `key_file` pays for gas, `authority_files` are the authority's keys as far as
    they are here: a quorum of them. Nodes are looked at every `poll_ms`, and every `hurry_ms` while one of
    them starts. `repository` is the checkout that x402's contracts are compiled from; empty: they are not put
    on the chain.
    """

    listen: Listen
    rpc_url: str
    log_url: str
    trust_file: str
    token_file: str
    vault_file: str
    key_file: str
    authority_files: tuple[str, ...]
    nodes: tuple[Watched, ...]
    poll_ms: int = 10_000
    hurry_ms: int = 200
    repository: str = ""
