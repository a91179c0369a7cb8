"""Settings of the development chain."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex20
from hallmark.http.serve import Listen


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One development chain.

    `listen` serves health and metrics; anvil's JSON-RPC is on `rpc_port`. `state` is the file that
    anvil keeps the chain in. `funded` addresses are given `balance_ether` at each start if they have less
    than half of it.
    A block is made for each transaction at once, and one every `block_seconds`, which is also how often the
    chain is written to `state`.
    `compact_blocks` is after how many blocks anvil is started anew, because its memory grows with each block.
    """

    listen: Listen
    rpc_port: int
    anvil: str
    state: str
    chain_id: int = 31_337
    block_seconds: int = 3
    funded: tuple[Hex20, ...] = ()
    balance_ether: int = 1000
    compact_blocks: int = 1500
