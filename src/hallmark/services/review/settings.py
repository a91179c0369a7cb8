"""Settings of the web process: the review desk, the explorer and the pages."""

from __future__ import annotations

import msgspec

from hallmark.http.serve import Listen


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where plain-text notices go by SMTP. `password_file` holds the password of `user`; `starttls` is only
    ever off on a loopback address.
    """

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    user: str = ""
    password_file: str = ""
    starttls: bool = True
    events: tuple[str, ...] = ("item.released", "item.appealed", "policy.proposed")


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of webhooks. Private and loopback addresses are refused unless allowed here by name;
    `backlog` is
    how many deliveries may wait for one receiver before the oldest become dead letters.
    """

    count: int = 32
    attempts: int = 10
    backlog: int = 10_000
    timeout_s: float = 5.0
    allow_loopback_webhooks: bool = False
    allow_private_webhooks: bool = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One web process of one network.

    `trust_file` is the network's trust.toml; `key_file` holds the desk's secp256k1 secret (64 hex
    digits), from
    which session and webhook secrets derive. `database` is a store URL. `gateway_url` serves node
    configurations and route records; `anchor_url` and `rpc_url` may be empty: then nothing is ever shown as
    anchored. `public_url` is the origin that people see; signing in is bound to it, and cookies are `Secure`
    when it is https. `operators` are addresses that may manage webhooks and everybody's saved views,
    beside the
    network's authority. `api_tokens_file` is a JSON file of tokens that may declare (see docs/review.md).
    `names` are what the network's operator calls its nodes, by their owners' addresses: a node's registration
    carries no name. Pages say whose names these are. `relay_url` is the relay that the chat may seal through,
    `hub_url` the hub whose cards say licences; empty: none.
    Sessions end `session_ms` after sign-in and `idle_ms` after their last use.
    """

    listen: Listen
    log_url: str
    gateway_url: str
    trust_file: str
    key_file: str
    database: str
    public_url: str = "http://127.0.0.1:21500"
    anchor_url: str = ""
    rpc_url: str = ""
    confirmations: int = 1
    relay_url: str = ""
    hub_url: str = ""
    assets: str = ""
    operators: tuple[str, ...] = ()
    names: dict[str, str] = {}
    api_tokens_file: str = ""
    session_ms: int = 12 * 3_600_000
    idle_ms: int = 3_600_000
    release_ms: int = 24 * 3_600_000
    body: int = 1024 * 1024
    webhooks: Webhooks = Webhooks()
    mail: Mail | None = None
