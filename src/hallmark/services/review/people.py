"""Who people are to the desk, by their keys alone, and what each may do."""

from __future__ import annotations

import hmac
from pathlib import Path

import msgspec

from hallmark.core.document import Hex32, hex0x, unhex
from hallmark.core.errors import InvalidInput, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.core.statements import Role
from hallmark.review.items import Item
from hallmark.services.review.settings import Settings
from hallmark.services.review.views import Person
from hallmark.verification.fold import Replica
from hallmark.verification.trust import Trust
from hallmark.verification.wording import short

TOKEN_TAG = b"hallmark/api-token/v1\0"


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that may declare: `sha256` is of "hallmark/api-token/v1" || 0x00 || token, in UTF-8."""

    name: str
    sha256: Hex32


class _Tokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: tuple[Token, ...]


def read_tokens(path: str) -> tuple[Token, ...]:
    """The tokens of a file, none without one. Raises InvalidInput `bad_settings`."""
    if not path:
        return ()
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=_Tokens).tokens
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput("bad_settings", "The file of API tokens cannot be used.") from error


class People:
    """Looks up addresses in the folded log; nobody is known in any other way."""

    def __init__(self, settings: Settings, trust: Trust, replica: Replica) -> None:
        self._replica = replica
        self._operators = {address.lower() for address in (*settings.operators, *trust.authority)}
        self._tokens = read_tokens(settings.api_tokens_file)

    def of(self, address: bytes) -> Person:
        """Who holds an address (20 bytes)."""
        return Person(hex0x(address), self.name(address), self.is_reviewer(address))

    def name(self, address: bytes) -> str:
        """What a party calls itself, else its shortened address."""
        member = self._replica.registry.members.get(address)
        if member is not None and member.profile is not None and member.profile.name:
            return member.profile.name
        return short(address)

    def is_reviewer(self, address: bytes) -> bool:
        """Whether the log has this key as a reviewer in good standing."""
        registry = self._replica.registry
        return registry.member(address, Role.REVIEWER, registry.size) is not None

    def is_operator(self, person: Person) -> bool:
        """Whether the settings or the network's authority name this address."""
        return person.address in self._operators

    def require_reviewer(self, person: Person) -> None:
        """Raises Unauthorized `reviewers_only`. Asks the log now, not the session."""
        if not self.is_reviewer(unhex(person.address)):
            raise Unauthorized("reviewers_only", "Only a reviewer whom the log registers does this.")

    def require_operator(self, person: Person) -> None:
        """Raises Unauthorized `operators_only`."""
        if not self.is_operator(person):
            raise Unauthorized("operators_only", "Only an operator whom the settings name does this.")

    def require_any(self, person: Person) -> None:
        """A reviewer or an operator. Raises Unauthorized `reviewers_only`."""
        if not self.is_operator(person):
            self.require_reviewer(person)

    def token_name(self, token: str) -> str:
        """The name of an API token. Raises Unauthorized `bad_api_token`."""
        digest = sha256(TOKEN_TAG, token.encode())
        found = [known.name for known in self._tokens if hmac.compare_digest(unhex(known.sha256), digest)]
        if not found:
            raise Unauthorized("bad_api_token", "There is no such API token.")
        return found[0]


def is_party(item: Item, address: str) -> bool:
    """Whether an address made the answer or asked for it."""
    return address.lower() in (*item.parties, *item.requesters)


def may_not_review(item: Item, person: Person, index: int) -> str:
    """Why a person may not review an item, in one sentence; "" when they may."""
    if not person.reviewer:
        return "Only a reviewer whom the log registers may review."
    if index < 0:
        return "No quorum of full nodes covers this receipt yet, so a review could not refer to its place."
    if person.address in item.parties:
        return "This key took part in making the answer."
    if person.address in item.requesters:
        return "This key asked for the answer."
    if person.address == item.requester_by:
        return "This key said who asked for the answer, so its review would not count."
    return ""
