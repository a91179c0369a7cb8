"""The checks: `check(evidence, terms) -> ProvenFault | None`, the same for anybody, at any time.

Each takes two parts that one key signed, or that one signed statement commits to, and in this order

1. reads both, to the last byte;
2. holds both to the network that is judged;
3. recovers who signed, by the chain's domain;
4. compares what the fault is about;
5. names the culprit, and the place at which it went wrong.

What an honest key never signs is all that any of them believes. A place is one fault however many pairs of
statements show it, so that nobody pays twice for it: the fault's id does not depend on which pair was shown,
on their order, or on the signatures' bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.receipt import RECEIPT_VERSION, Receipt
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.faults.evidence import Evidence, Form, decode, read_signed
from hallmark.faults.sanctions import Number

FAULT_TAG: Final = b"hallmark/fault/v1\0"


class Terms(msgspec.Struct, frozen=True):
    """For whom evidence is judged: the network (32 bytes), and the chain whose domain its keys sign for."""

    network: bytes
    chain_id: int


class ProvenFault(msgspec.Struct, frozen=True):
    """A fault that bytes showed: only `verify_fault` makes one. `culprit` is a key's address, 20 bytes;
    `place` what it went wrong at, in bytes that differ by form.
    """

    number: Number
    form: Form
    culprit: bytes
    place: bytes
    network: bytes

    @property
    def id(self) -> bytes:
        """SHA-256(tag || network || u8 form || culprit || place): one for each place, whatever showed it."""
        return sha256(FAULT_TAG, self.network, bytes((self.form,)), self.culprit, self.place)


def verify_fault(data: bytes, terms: Terms) -> ProvenFault:
    """The fault that evidence shows.

    Raises InvalidInput `bad_fault_evidence`, or `bad_document` for a bundle that cannot be read, and
    VerificationFailed with the reason why it shows none.
    """
    evidence = decode(data)
    return CHECKS[evidence.form](evidence, terms)


def check(data: bytes, terms: Terms) -> ProvenFault | None:
    """The fault that evidence shows, or None. Raises InvalidInput for bytes that cannot be read."""
    try:
        return verify_fault(data, terms)
    except VerificationFailed:
        return None


def two_receipts(evidence: Evidence, terms: Terms) -> ProvenFault:
    """F1: one node signed two different receipts for one sequence number."""
    first, first_signature = read_signed(Receipt, evidence.first)
    second, second_signature = read_signed(Receipt, evidence.second)
    _of_network(terms, first.network, second.network)
    for receipt, signature in ((first, first_signature), (second, second_signature)):
        _signed_by_node(receipt, signature, terms)
    if (first.node, first.sequence) != (second.node, second.sequence):
        raise VerificationFailed("fault_places_differ", "The two statements are about different places.")
    _different(first.digest(), second.digest())
    place = first.sequence.to_bytes(8, "big")
    return ProvenFault(Number.EQUIVOCATION, evidence.form, first.node, place, terms.network)


def two_checkpoints(evidence: Evidence, terms: Terms) -> ProvenFault:
    """F1: one full node signed, for the chain, two roots of one log at one size."""
    first, first_signature = read_signed(AnchoredCheckpoint, evidence.first)
    second, second_signature = read_signed(AnchoredCheckpoint, evidence.second)
    _of_network(terms, first.network, second.network)
    signers = (
        recover_statement(first, terms.chain_id, first_signature),
        recover_statement(second, terms.chain_id, second_signature),
    )
    if signers[0] != signers[1]:
        raise VerificationFailed("fault_signers_differ", "Two keys signed the two statements.")
    if (first.origin, first.size) != (second.origin, second.size):
        raise VerificationFailed("fault_places_differ", "The two statements are about different places.")
    _different(first.root, second.root)
    place = first.origin + first.size.to_bytes(8, "big")
    return ProvenFault(Number.EQUIVOCATION, evidence.form, signers[0], place, terms.network)


def receipt_and_bundle(evidence: Evidence, terms: Terms) -> ProvenFault:
    """F2: a node signed a receipt under a key bundle that is another key's, or another network's."""
    receipt, signature = read_signed(Receipt, evidence.first)
    bundle = KeyBundle.decode(evidence.second)
    _of_network(terms, receipt.network)
    _signed_by_node(receipt, signature, terms)
    if digest_of(KeyBundle, evidence.second) != receipt.bundle:
        raise VerificationFailed("fault_bundle_other", "The receipt names another key bundle.")
    if (bundle.network, bundle.signing_key) == (hex0x(receipt.network), hex0x(receipt.node)):
        raise VerificationFailed("fault_not_shown", "The receipt's key is the one that its bundle names.")
    return ProvenFault(Number.BAD_BINDING, evidence.form, receipt.node, receipt.digest(), terms.network)


def _of_network(terms: Terms, *networks: bytes) -> None:
    if any(network != terms.network for network in networks):
        raise VerificationFailed("fault_other_network", "A statement belongs to another network.")


def _signed_by_node(receipt: Receipt, signature: bytes, terms: Terms) -> None:
    if receipt.version != RECEIPT_VERSION:
        raise VerificationFailed("fault_receipt_version", f"Receipt version {receipt.version} is not known.")
    if recover_statement(receipt, terms.chain_id, signature) != receipt.node:
        raise VerificationFailed("bad_signature", "The receipt is not signed by the key that it names.")


def _different(first: bytes, second: bytes) -> None:
    if first == second:
        raise VerificationFailed("fault_same_statement", "Both statements say the same.")


CHECKS: Final[dict[Form, Callable[[Evidence, Terms], ProvenFault]]] = {
    Form.TWO_RECEIPTS: two_receipts,
    Form.TWO_CHECKPOINTS: two_checkpoints,
    Form.RECEIPT_AND_BUNDLE: receipt_and_bundle,
}
