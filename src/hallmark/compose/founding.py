"""What a development network's authority and publisher have said so far, kept as exact entry bytes.

Every start compares what there should be (policies, this image's measurement, members, the shipped models)
with what was said, says what is missing, and hands all of it to the log, which admits each entry once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.compose.genesis import (
    Author,
    approval_entry,
    clearing_entry,
    clearing_policies,
    member_entry,
    policy_entries,
)
from hallmark.compose.home import Home
from hallmark.compose.keys import AUTHORITY_THRESHOLD, Keys
from hallmark.compose.models import Shipped, kept_model, models_root, prepare_model
from hallmark.compose.plan import Plan, has_issuer, issuer_port
from hallmark.compose.trustfile import full_node_name, witness_key
from hallmark.core.beacon import network_id
from hallmark.core.documents import ClearingPolicy, Manifest, Measurement, ModelCard, Profile
from hallmark.core.entries import Entry, Kind, decode
from hallmark.core.money import Offer
from hallmark.core.statements import PolicyStatement, PriceOffer, Registration, Role, text_of
from hallmark.crypto.secp256k1 import Key
from hallmark.hub.manifest import Network, publish_label, publish_version


class Founding:
    """The kept entries of one home, in the order in which they were said."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._paths = sorted(home.dir("genesis").glob("*.entry"))
        self.entries = [decode(path.read_bytes()) for path in self._paths]

    def say(self, entries: Iterable[Entry]) -> None:
        """Keep new entries, in order."""
        for entry in entries:
            self._home.write(entry.encode(), "genesis", f"{len(self.entries):06d}.entry")
            self.entries.append(entry)

    def measurements(self) -> tuple[Measurement, ...]:
        """Every measurement that the authority has approved, oldest first."""
        return tuple(Measurement.decode(e.attachments[0]) for e in self._of(Kind.APPROVAL))

    def manifest(self, label: str) -> Manifest | None:
        """The manifest that the label points to."""
        manifests = [Manifest.decode(e.attachments[0]) for e in self._of(Kind.VERSION)]
        return next((m for m in reversed(manifests) if m.label == label), None)

    def card(self, label: str) -> ModelCard | None:
        """The card with which the label was claimed."""
        cards = (ModelCard.decode(e.attachments[0]) for e in self._of(Kind.PUBLICATION))
        return next((card for card in cards if card.label == label), None)

    def keys(self) -> frozenset[bytes]:
        """Every key that was registered."""
        statements = (entry.statement for entry in self._of(Kind.REGISTRATION))
        return frozenset(s.key for s in statements if isinstance(s, Registration))

    def policies(self) -> dict[str, ClearingPolicy]:
        """The newest clearing policy of each name."""
        found = {}
        for entry in self._of(Kind.POLICY):
            statement = entry.statement
            if isinstance(statement, PolicyStatement) and text_of(statement.kind).startswith("clearing:"):
                policy = ClearingPolicy.decode(entry.attachments[0])
                found[policy.name] = policy
        return found

    def offer(self, owner: bytes) -> tuple[Entry, Offer] | None:
        """The owner's newest price offer, with its entry."""
        for entry in reversed(self._of(Kind.OFFER)):
            if isinstance(entry.statement, PriceOffer) and entry.statement.owner == owner:
                return entry, Offer.decode(entry.attachments[0])
        return None

    def _of(self, kind: Kind) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind is kind]


def found(
    home: Home, plan: Plan, keys: Keys, *, root: DevelopmentRoot, measurement: Measurement, now: int
) -> tuple[Founding, dict[str, Shipped]]:
    """Say whatever has not been said yet; returns everything said, and the models ready to load."""
    founding = Founding(home)
    author = Author(network_id(plan.origin), plan.chain_id, now)
    authority = keys.authority[:AUTHORITY_THRESHOLD]
    if not founding.entries:
        founding.say(policy_entries(author, authority, root.digest()))
        founding.say(_members(author, plan, keys))
    founding.say(_reviewers(author, plan, keys, founding.keys()))
    registered = founding.keys()
    if has_issuer(plan) and keys.issuer.address not in registered:
        profile = Profile("issuer", f"http://127.0.0.1:{issuer_port(plan)}")
        founding.say((member_entry(author, authority, keys.issuer, Role.ISSUER, profile),))
    founding.say(_policies(author, authority, founding))
    if measurement not in founding.measurements():
        founding.say((approval_entry(author, authority, measurement),))
    return founding, _models(home, founding, author, plan, keys)


def _members(author: Author, plan: Plan, keys: Keys) -> Iterable[Entry]:
    authority = keys.authority[:AUTHORITY_THRESHOLD]
    for number, port in enumerate(plan.full_nodes, start=1):
        profile = Profile(full_node_name(number), f"http://127.0.0.1:{port}", witness_key(keys, number).vkey)
        yield member_entry(author, authority, keys.full_nodes[number - 1], Role.FULL_NODE, profile)
    profile = Profile("gateway", f"http://127.0.0.1:{plan.gateway_port}")
    yield member_entry(author, authority, keys.gateway, Role.GATEWAY, profile)


def _reviewers(author: Author, plan: Plan, keys: Keys, known: frozenset[bytes]) -> Iterable[Entry]:
    authority = keys.authority[:AUTHORITY_THRESHOLD]
    for name, key in zip(plan.reviewers, keys.reviewers, strict=True):
        if key.address not in known:
            yield member_entry(author, authority, key, Role.REVIEWER, Profile(name, ""))


def _policies(author: Author, authority: Sequence[Key], founding: Founding) -> Iterable[Entry]:
    """Shipped policies that are newer than what was said of the same name."""
    said = founding.policies()
    for policy in clearing_policies():
        if policy.name not in said or policy.version > said[policy.name].version:
            yield clearing_entry(author, authority, policy)


def _models(home: Home, founding: Founding, author: Author, plan: Plan, keys: Keys) -> dict[str, Shipped]:
    network, shipped = Network(author.network, plan.chain_id), {}
    shipped_here = models_root()
    for label in dict.fromkeys(label for node in plan.nodes for label in node.models):
        if label in plan.published:
            shipped[label] = kept_model(home, plan.published[label])
            continue
        said = founding.manifest(label)
        folder = Path(plan.models[label]) if label in plan.models else shipped_here / label
        model = prepare_model(
            home, folder, label, keys.publisher.address, said, published=founding.card(label)
        )
        if said is None and model.card is not None:
            founding.say((publish_label(model.card, network, keys.publisher, author.at),))
        if model.manifest != said:
            founding.say((publish_version(model.manifest, network, keys.publisher, author.at),))
        shipped[label] = model
    return shipped
