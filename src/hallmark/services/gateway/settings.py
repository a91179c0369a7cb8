"""Settings of the gateway."""

from __future__ import annotations

import msgspec

from hallmark.http.serve import Listen
from hallmark.services.log.settings import Quota


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One gateway of one network.

    `trust_file` is the network's trust.toml; its tlog-policy decides which checkpoints count. `key_file`
    holds the gateway's secp256k1 secret (64 hex digits); it signs route tickets. `database` is a store URL
    for receipts that are on their way to the log. `anchor_url` and `rpc_url` (of a chain's JSON-RPC, which
    the gateway reads itself) may be empty: then nothing is ever shown as anchored. `retention_ms` is how
    long a logged receipt stays here, `hold_ms` how long a response is held for a policy at most; `body` and
    `answer` bound a request and an answer in bytes; `answer_s` bounds the wait for a whole answer and is
    above what an enclave allows itself, `idle_s` a stream's silence and is above the 15 s between its
    comments, `queue_s` the wait for a free place at a node.
    A receipt that the log does not show within `submit_ms` is submitted here too, whatever its host does.
    `web_url` is the process that renders pages; empty: none. `prefix` is the
    path below which a proxy shows the API ("/llm"), whether or not it takes it off.
    A node that was silent for `look_s` seconds is asked what time it is; a clock that differs from this one
    by `skew_ms` or more degrades health.
    `cors_origins` are the origins of pages elsewhere that may call the API (`https://app.example`, or `*` for
    all); none by default, never with credentials. `names` are what the network's operator calls its nodes, by
    their owners' addresses; a registration has no name. `sealed_by_address` is how
    many sealed requests one address (IPv6: one /64) may send: a relay is one, with all its clients.
    """

    listen: Listen
    log_url: str
    trust_file: str
    key_file: str
    database: str
    anchor_url: str = ""
    rpc_url: str = ""
    confirmations: int = 1
    retention_ms: int = 24 * 3_600_000
    submit_ms: int = 2_000
    hold_ms: int = 10_000
    body: int = 16 * 1024 * 1024
    answer: int = 32 * 1024 * 1024
    answer_s: float = 580.0
    idle_s: float = 60.0
    queue_s: float = 10.0
    web_url: str = ""
    prefix: str = ""
    look_s: float = 5.0
    skew_ms: int = 10_000
    cors_origins: tuple[str, ...] = ()
    names: dict[str, str] = {}
    sealed_by_address: Quota = Quota(rate=50.0, burst=2_000)
