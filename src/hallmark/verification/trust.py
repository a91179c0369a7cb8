"""The trust file: all that a stranger needs to verify a receipt offline. TOML, `trust.toml`.

It names the log and the full nodes (as a C2SP tlog-policy), the authority, the gateways, the evidence roots
and measurements that are accepted, the clearing policies by name, and what was compromised or revoked when
it was made. Everything in it is a decision of whoever hands it out; nothing in it is secret. See
docs/formats.md.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hallmark.core.beacon import network_id
from hallmark.core.document import Hex20, Hex32, Uint63, unhex
from hallmark.core.documents import AttestationPolicy, ClearingPolicy, Measurement
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.verification.genesis import Genesis

FORMAT = "hallmark-trust/1"


class RootCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A root certificate (PEM) of an evidence kind that no library ships: the development root."""

    kind: str
    pem: str


class AnchorContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where checkpoints are anchored."""

    contract: Hex20
    chain_id: Uint63


class CompromisedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node key that is not to be believed from log position `since` on."""

    key: Hex20
    since: Uint63
    reason: str


class RevokedMeasurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement (digest of its document) that does not count from log position `since` on."""

    document: Hex32
    since: Uint63
    reason: str


class Trust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A parsed trust file. Times are ms; addresses and digests are 0x-hex."""

    format: str
    network: str
    origin: str
    chain_id: Uint63
    tlog_policy: str
    authority: tuple[Hex20, ...]
    threshold: Uint63
    full_nodes: tuple[Hex20, ...]
    f: Uint63
    gateways: tuple[Hex20, ...]
    attestation: AttestationPolicy
    measurement: tuple[Measurement, ...]
    policy: tuple[ClearingPolicy, ...]
    root_certificates: tuple[RootCertificate, ...] = ()
    reviewers: tuple[Hex20, ...] = ()
    anchor: AnchorContract | None = None
    compromised: tuple[CompromisedKey, ...] = ()
    revoked: tuple[RevokedMeasurement, ...] = ()

    @property
    def network_id(self) -> bytes:
        """The network's 32-byte id."""
        return network_id(self.origin)

    def genesis(self) -> Genesis:
        """What a replica of this network starts from."""
        authority = tuple(unhex(address) for address in self.authority)
        return Genesis(self.network_id, self.chain_id, authority, self.threshold, self.origin)

    def clearing(self, name: str) -> ClearingPolicy:
        """The clearing policy of this name. Raises NotFound `policy_unknown`."""
        for policy in self.policy:
            if policy.name == name:
                return policy
        known = ", ".join(policy.name for policy in self.policy) or "none"
        raise NotFound("policy_unknown", f"The trust file has no policy {name!r}.", f"It has: {known}.")

    def to_toml(self) -> str:
        """The file's text."""
        return _table((), msgspec.to_builtins(self))


def read_trust(text: str) -> Trust:
    """Read a trust file's text. Raises InvalidInput `bad_trust_file`."""
    try:
        trust = msgspec.convert(tomllib.loads(text), type=Trust)
        for document in (trust.attestation, *trust.measurement, *trust.policy):
            document.encode()
    except (ValueError, RecursionError) as error:  # also of what TOML allows and nobody can write as JSON
        raise InvalidInput("bad_trust_file", "This is not a trust file.", str(error)) from error
    if trust.format != FORMAT:
        raise InvalidInput("bad_trust_file", f"The trust file's format is not {FORMAT}.")
    if not 0 < trust.threshold <= len(set(trust.authority)):
        raise InvalidInput("bad_trust_file", "The threshold cannot be met by the authority's keys.")
    return trust


def _table(path: tuple[str, ...], value: Mapping[str, Any]) -> str:
    plain = {k: v for k, v in value.items() if not isinstance(v, dict) and not _is_tables(v)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in plain.items() if v is not None]
    parts = ["\n".join(lines) + "\n"] if lines else []
    for name, inner in value.items():
        at = (*path, name)
        heading = ".".join(map(_key, at))
        if isinstance(inner, dict):
            parts.append(f"\n[{heading}]\n{_table(at, inner)}")
        elif _is_tables(inner):
            parts.extend(f"\n[[{heading}]]\n{_table(at, row)}" for row in inner)
    return "".join(parts)


def _is_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if "\n" in value and '"""' not in value and "\\" not in value:
            return f'"""\n{value}"""'
        return json.dumps(value)
    if isinstance(value, Iterable):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise InvalidInput("bad_trust_file", f"A trust file holds no {type(value).__name__}.")


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else json.dumps(name)
