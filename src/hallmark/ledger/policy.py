"""C2SP tlog-policy: which logs and witnesses are known, and which of them make a quorum.

    log <vkey> [<url>] witness <name> <vkey> [<url>]
    group <name> all|any|<k> <member>...        members are witnesses and groups of earlier lines
    quorum <name>|none                          exactly one

Names are opaque; a public key may occur once among the logs and once among the witnesses, and a name may be
a member once, so that one key counts once in one way. Source: c2sp.org/tlog-policy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Self

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.ledger.checkpoint import Checkpoint, LogSigned, verify_log_signature
from hallmark.ledger.note import COSIGNATURE, ED25519, Note, VerifierKey, verify_signature
from hallmark.ledger.text import decimal

NONE = "none"
MAX_POLICY = 65_536
_SEAL = object()


class Party(msgspec.Struct, frozen=True):
    """A log or a witness of the policy. A log's `name` is its origin; `url` may be empty."""

    name: str
    key: VerifierKey
    url: str = ""


class Group(msgspec.Struct, frozen=True):
    """Met when at least `threshold` of `members` (names of witnesses and groups) are."""

    name: str
    threshold: int
    members: tuple[str, ...]


class VerifiedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint that a policy's log signed and its quorum cosigned. Only `verify_quorum` makes one.

    `signers` are the names of the witnesses as the policy gives them, in its order, whether the quorum
    needed them or not; `times` (unix ms) say when each of them cosigned. `unknown` counts the signature
    lines that nobody could check, because no key of the policy made them; a known signer's line may stand
    more than once (c2sp.org/signed-note), each of them verified.
    """

    checkpoint: Checkpoint
    signers: tuple[str, ...]
    times: tuple[int, ...]
    unknown: int
    note: Note
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("VerifiedCheckpoint is made by verify_quorum alone.")


class Policy(msgspec.Struct, frozen=True):
    """A parsed policy. `groups` are in the order of their lines: members come before their groups."""

    logs: tuple[Party, ...]
    witnesses: tuple[Party, ...]
    groups: tuple[Group, ...]
    quorum: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy file. Raises InvalidInput `bad_policy` naming the line."""
        return cls(*_Reader().read(text))

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        """The keys of all logs."""
        return tuple(log.key for log in self.logs)

    def is_met(self, signers: Collection[str]) -> bool:
        """Whether witnesses of these names make the quorum. Says nothing about signatures."""
        if self.quorum == NONE:
            return True
        met = {witness.name for witness in self.witnesses}.intersection(signers)
        for group in self.groups:
            if len(met.intersection(group.members)) >= group.threshold:
                met.add(group.name)
        return self.quorum in met


def verify_quorum(policy: Policy, note: Note) -> VerifiedCheckpoint:
    """Check a checkpoint against a policy.

    1. One of the policy's logs, named as the origin, signed it; no extension lines.
    2. Every cosignature line by a key of the policy verifies; lines by unknown keys are ignored.
    3. The witnesses behind them, each counted once, make the quorum.

    Raises InvalidInput `bad_checkpoint`; VerificationFailed `log_signature_missing`, `checkpoint_extension`,
    `note_signature`, `quorum_not_met`.
    """
    signed = verify_log_signature(note, policy.log_keys)
    times = cosignatures(policy, signed)
    if not policy.is_met(times):
        raise VerificationFailed(
            "quorum_not_met", f"{len(times)} of {len(policy.witnesses)} witnesses cosigned: not the quorum."
        )
    unknown = _unknown(policy, signed)
    return VerifiedCheckpoint(signed.checkpoint, tuple(times), tuple(times.values()), unknown, note, _SEAL)


def _unknown(policy: Policy, signed: LogSigned) -> int:
    """How many lines neither the checkpoint's own log nor a witness of the policy made."""
    logs = [key for key in policy.log_keys if key.name == signed.checkpoint.origin]
    known = {(key.name, key.key_id) for key in (*logs, *(w.key for w in policy.witnesses))}
    return sum((line.name, line.key_id) not in known for line in signed.note.signatures)


def cosignatures(policy: Policy, signed: LogSigned) -> Mapping[str, int]:
    """Names of the policy's witnesses that cosigned, in its order, each with its newest time (unix ms).

    Raises VerificationFailed `note_signature` when a line by a known key does not verify.
    """
    times: dict[str, int] = {}
    for witness in policy.witnesses:
        for signature in signed.note.by(witness.key):
            verify_signature(witness.key, signed.note.text, signature)
            times[witness.name] = max(signature.time, times.get(witness.name, 0))
    return times


class _Reader:
    """Reads lines one by one, knowing only what earlier lines defined."""

    def __init__(self) -> None:
        self.logs: list[Party] = []
        self.witnesses: list[Party] = []
        self.groups: list[Group] = []
        self.quorum = ""
        self.free: set[str] = set()
        self.names: set[str] = {NONE}

    def read(self, text: str) -> tuple[tuple[Party, ...], tuple[Party, ...], tuple[Group, ...], str]:
        if len(text) > MAX_POLICY or any((c < " " and c not in "\t\n") or c == "\x7f" for c in text):
            raise InvalidInput("bad_policy", "A policy is a short text without control characters.")
        table: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        for number, line in enumerate(text.split("\n"), start=1):
            words = [word for word in line.replace("\t", " ").split(" ") if word]
            if not words or words[0].startswith("#"):
                continue
            try:
                table[words[0]](words[1:])
            except (KeyError, ValueError) as error:
                raise InvalidInput("bad_policy", f"Line {number} of the policy is malformed.") from error
            except InvalidInput as error:
                raise InvalidInput("bad_policy", f"Line {number} of the policy: {error.message}") from error
        if not self.quorum:
            raise InvalidInput("bad_policy", "The policy has no quorum line.")
        return tuple(self.logs), tuple(self.witnesses), tuple(self.groups), self.quorum

    def _log(self, words: list[str]) -> None:
        vkey, url = _with_url(words, 1)
        key = _fresh_key(vkey[0], ED25519, self.logs)
        self.logs.append(Party(key.name, key, url))

    def _witness(self, words: list[str]) -> None:
        (name, vkey), url = _with_url(words, 2)
        key = _fresh_key(vkey, COSIGNATURE, self.witnesses)
        self._define(name)
        self.witnesses.append(Party(name, key, url))

    def _group(self, words: list[str]) -> None:
        name, rule, *members = words
        if not members or not self.free.issuperset(members) or len(set(members)) != len(members):
            raise InvalidInput("bad_policy", "a member is unknown, or a member already.")
        self.free.difference_update(members)
        threshold = {"all": len(members), "any": 1}.get(rule) or decimal(rule)
        if not 1 <= threshold <= len(members):
            raise InvalidInput("bad_policy", "the threshold is not between 1 and the number of members.")
        self._define(name)
        self.groups.append(Group(name, threshold, tuple(members)))

    def _quorum(self, words: list[str]) -> None:
        (name,) = words
        if self.quorum:
            raise InvalidInput("bad_policy", "there is a quorum line already.")
        if name not in self.names:
            raise InvalidInput("bad_policy", "the quorum is not defined above.")
        self.quorum = name

    def _define(self, name: str) -> None:
        if name in self.names:
            raise InvalidInput("bad_policy", "the name is taken.")
        self.names.add(name)
        self.free.add(name)


def _with_url(words: list[str], count: int) -> tuple[list[str], str]:
    if len(words) not in (count, count + 1):
        raise ValueError
    return words[:count], words[count] if len(words) > count else ""


def _fresh_key(vkey: str, kind: int, known: list[Party]) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.kind != kind:
        raise InvalidInput("bad_policy", "the key is of the wrong type for its line.")
    if any(party.key.public_key == key.public_key for party in known):
        raise InvalidInput("bad_policy", "the public key occurs twice.")
    return key
