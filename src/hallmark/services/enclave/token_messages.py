"""What host and enclave say to each other about tokens (see `control`, whose unions these belong to)."""

from __future__ import annotations

import msgspec


class TokenKeys(msgspec.Struct, frozen=True, tag="token_keys"):
    """A key set of the issuer whose tokens pay here: the exact bytes of its document, and the issuer's
    sealing key with the issuer's signature (`payments.issuing.SealingKey`). Only sets that the log has.
    """

    document: bytes
    sealing: bytes
    signature: bytes


class IssuerAnswer(msgspec.Struct, frozen=True, tag="issuer_answer"):
    """Answer to `HoldWanted` and `TokensDue` with the same id: the issuer's exact words, or a reason."""

    id: int
    reason: str = ""
    body: bytes = b""


class HoldWanted(msgspec.Struct, frozen=True, tag="hold_wanted"):
    """Bring this to the issuer (`payments.issuing.HoldRequest` as JSON); answered by `IssuerAnswer`."""

    id: int
    body: bytes


class TokensDue(msgspec.Struct, frozen=True, tag="tokens_due"):
    """Bring this to the issuer (`payments.issuing.SettleRequest` as JSON), until it takes it or refuses it
    for good: it is on disk before it is sent. Answered by `IssuerAnswer`.
    """

    id: int
    request: bytes
    body: bytes
