"""What a verifier of one network starts from, and the place of a proven entry."""

from __future__ import annotations

import msgspec

from hallmark.core.beacon import network_id


class Genesis(msgspec.Struct, frozen=True):
    """The facts about a network that its log cannot establish by itself.

    `network` is `network_id(origin)` (32 bytes), `authority` holds 20-byte addresses, `threshold` how many
    distinct ones of them must sign what the authority decides.
    """

    network: bytes
    chain_id: int
    authority: tuple[bytes, ...]
    threshold: int
    origin: str

    @classmethod
    def of(cls, origin: str, chain_id: int, authority: tuple[bytes, ...], threshold: int) -> Genesis:
        """The genesis of the network whose log has this origin line."""
        return cls(network_id(origin), chain_id, authority, threshold, origin)


class ProvenPlace(msgspec.Struct, frozen=True):
    """An entry proven to stand in a quorum-cosigned checkpoint.

    `index` is the entry's position, `size` and `root` (32 bytes) are the checkpoint's, `signers` the names
    of the full nodes whose cosignatures verified, `times` when each of them cosigned (unix ms, same order),
    `unknown` how many signature lines are by parties that the verifier's policy does not name, `of` how many
    full nodes that policy knows.
    """

    index: int
    size: int
    root: bytes
    signers: tuple[str, ...]
    times: tuple[int, ...]
    unknown: int
    of: int = 0

    @property
    def cosigned_at(self) -> int:
        """When the last of these cosignatures was made; 0 without any."""
        return max(self.times, default=0)
