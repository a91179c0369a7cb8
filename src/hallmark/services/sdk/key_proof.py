"""That an issuer's keys are everybody's: what the log proves of a key set before anything is bought with it.

1. Its entry stands in the log, below a quorum's checkpoint, and is signed by the issuer that it names.
2. It is this document, for this network and epoch.

The log and its full nodes take one set of a registered issuer for an epoch, so whoever buys gets signatures
by the same keys as all the others. Without that an issuer could sign each buyer's tokens with keys of his
own, and know him by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.statements import IssuerEpoch
from hallmark.core.tokens import IssuerKeys
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.crypto.token_keys import KeySet
from hallmark.services.sdk.offers import logged_entry
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import LoggedPart


class _Listed(msgspec.Struct, frozen=True):
    digest: str
    entry: LoggedPart | None = None


def require_proven(found: Mapping[str, Any], keys: KeySet, verifier: Verifier) -> None:
    """Raises VerificationFailed `issuer_keys_not_proven` unless the gateway's list (`GET /v1/hallmark/offers`
    with proofs) proves that this key set stands in the log.
    """
    try:
        listed = msgspec.convert(found.get("issuers", ()), type=tuple[_Listed, ...])
        part = next(one.entry for one in listed if one.digest == hex0x(keys.digest))
        entry, trust = logged_entry(part, verifier), verifier.trust
    except (msgspec.ValidationError, StopIteration, HallmarkError) as error:
        raise _not_proven() from error
    said, terms = entry.statement, keys.document
    if not isinstance(said, IssuerEpoch) or not entry.attachments or not entry.signatures:
        raise _not_proven()
    same = (said.network, said.issuer, said.epoch, said.document) == (
        trust.network_id,
        unhex(terms.issuer),
        terms.epoch,
        keys.digest,
    )
    document = digest_of(IssuerKeys, entry.attachments[0]) == keys.digest
    signer = recover_statement(said, trust.chain_id, entry.signatures[0])
    if not (same and document and signer == said.issuer):
        raise _not_proven()


def _not_proven() -> VerificationFailed:
    return VerificationFailed(
        "issuer_keys_not_proven",
        "That these keys sign for everybody who buys is not shown by the log.",
        "Nothing was bought. Try again in a moment: a quorum may not have seen a new key set yet.",
    )
