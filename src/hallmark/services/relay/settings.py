"""Settings of the relay."""

from __future__ import annotations

import msgspec

from hallmark.http.serve import Listen
from hallmark.services.log.settings import Quota


class Tokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Privacy Pass tokens (RFC 9577, RFC 9578 type 2) that a capsule needs: the issuer's name, its public
    key as the issuer publishes it (DER SubjectPublicKeyInfo, base64url), `origin` as the challenge names it
    (empty: any), and how long an epoch is. A token is good in its epoch and the next, once.
    """

    issuer: str
    public_key: str
    origin: str = ""
    epoch_s: int = 86_400


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One relay in front of one network.

    `gateway` is whose directory is used and who gets capsules at /v1/relay/gateway; nobody outside that
    directory is ever contacted. `database` keeps nullifiers of spent tokens, and nothing else. Without
    `tokens` each address (IPv6: each /64) has the quota `by_address`, and the hash that it is counted under
    is forgotten after `forget_s` at the latest. `capsule` and `answer` bound bytes; `at_once` and
    `at_once_by_address` what is under way; `by_node` connections to one node. `certificate` and
    `certificate_key` are PEM files; without them TLS has to end elsewhere. `refresh_s` is how often the
    directory is fetched, `body_s` how long a capsule may take to arrive, `stuck_s` how long a reader may
    stand still, `answer_s` the wait for the beginning of an answer and `idle_s` for what follows.
    """

    listen: Listen
    gateway: str
    database: str
    name: str = "relay"
    tokens: Tokens | None = None
    by_address: Quota = Quota(rate=5.0, burst=120)
    forget_s: int = 600
    at_once: int = 512
    at_once_by_address: int = 32
    by_node: int = 128
    capsule: int = 17 * 1024 * 1024
    answer: int = 64 * 1024 * 1024
    certificate: str = ""
    certificate_key: str = ""
    refresh_s: float = 10.0
    body_s: float = 30.0
    stuck_s: float = 30.0
    answer_s: float = 585.0
    idle_s: float = 60.0
