"""The first entries of a development network's log: policies, the image's measurement, members, models.

Each entry is written to genesis/ as exact bytes before it is submitted, so a start that was interrupted
submits the same bytes again and the log answers with the place that they already have.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import Document, hex0x
from hallmark.core.documents import (
    AttestationPolicy,
    ClearingPolicy,
    Measurement,
    Profile,
)
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import (
    Approval,
    PolicyStatement,
    Registration,
    Role,
    code,
)
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.review.files import read_policy

HOUR = 3_600_000
DEVELOPMENT = ("witnessed", "anchored", "payment")


class Author:
    """Signs statements of one network at one time."""

    def __init__(self, network: bytes, chain_id: int, at: int) -> None:
        self.network = network
        self._chain_id = chain_id
        self.at = at

    def entry(self, statement: TypedStruct, signers: Iterable[Key], documents: Sequence[bytes] = ()) -> Entry:
        """An entry with one signature by each signer, in their order."""
        signatures = tuple(sign_statement(statement, self._chain_id, key) for key in signers)
        return Entry(statement, signatures, tuple(documents))


def attestation_policy(root: bytes) -> AttestationPolicy:
    """What a development network accepts: emulated Nitro documents under its own root, at most two
    hours old.
    """
    return AttestationPolicy(
        name="development",
        version=1,
        kinds=("nitro-dev",),
        roots={"nitro-dev": (hex0x(root),)},
        max_age=2 * HOUR,
        skew=60_000,
    )


def policies_root() -> Path:
    """The folder of a development network's clearing policies in this checkout. Raises InvalidInput
    `no_policies`.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "policies" / "development" / "witnessed.toml").is_file():
            return folder / "policies" / "development"
    raise InvalidInput(
        "no_policies", "The policy files are not beside this installation.", "Run from a checkout."
    )


@functools.cache
def clearing_policies() -> tuple[ClearingPolicy, ...]:
    """The clearing policies of a development network, from their files; all allow simulated hardware,
    by name. Raises InvalidInput `no_policies`, `bad_policy`.
    """
    root = policies_root()
    return tuple(read_policy((root / f"{name}.toml").read_text()) for name in DEVELOPMENT)


def policy_entries(author: Author, authority: Sequence[Key], root: bytes) -> list[Entry]:
    """The attestation policy and the clearing policies, by the authority."""
    attestation = _policy_entry(author, authority, "attestation", attestation_policy(root))
    return [attestation, *(clearing_entry(author, authority, policy) for policy in clearing_policies())]


def clearing_entry(author: Author, authority: Sequence[Key], policy: ClearingPolicy) -> Entry:
    """A clearing policy comes into force."""
    return _policy_entry(author, authority, f"clearing:{policy.name}", policy)


def _policy_entry(author: Author, authority: Sequence[Key], kind: str, document: Document) -> Entry:
    statement = PolicyStatement(author.network, code(kind), document.digest(), author.at)
    return author.entry(statement, authority, (document.encode(),))


def approval_entry(author: Author, authority: Sequence[Key], measurement: Measurement) -> Entry:
    """The authority accepts a measurement."""
    statement = Approval(author.network, measurement.digest(), author.at)
    return author.entry(statement, authority, (measurement.encode(),))


def member_entry(author: Author, authority: Sequence[Key], key: Key, role: Role, profile: Profile) -> Entry:
    """A gateway, full node or reviewer joins; it owns itself."""
    statement = Registration(
        author.network,
        role,
        key.address,
        key.address,
        profile.digest(),
        ZERO32,
        0,
        EMPTY_ROOT,
        author.at,
    )
    return author.entry(statement, (key, key, *authority), (profile.encode(), b""))
