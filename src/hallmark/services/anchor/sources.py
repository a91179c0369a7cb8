"""What anchoring takes from the log and from the full nodes. Both are checked, neither is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.document import Hex20, HexBytes, hex0x, unhex
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.client import Pool, Timeouts
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, VerifiedCheckpoint, verify_quorum

TIMEOUTS: Final = Timeouts(connect=2.0, head=5.0, idle=5.0)
MAX_ANSWER: Final = 65_536


class SignatureAnswer(msgspec.Struct, frozen=True):
    """A full node's answer to POST /anchor-signature."""

    signature: HexBytes
    address: Hex20 = "0x" + "00" * 20


async def quorum_checkpoint(pool: Pool, log_url: str, policy: Policy) -> VerifiedCheckpoint:
    """The log's newest checkpoint that a quorum cosigned.

    Raises Unavailable `log_unreachable`, and what `verify_quorum` raises.
    """
    async with pool.request("GET", f"{log_url}/checkpoint", timeouts=TIMEOUTS) as response:
        if response.status != 200:
            raise Unavailable("log_unreachable", f"The log answers {response.status} for its checkpoint.")
        text = await response.read(MAX_ANSWER)
    return verify_quorum(policy, Note.parse(text))


class Quorum(msgspec.Struct, frozen=True):
    """Whose signatures count, how many are needed, and where to ask."""

    signers: tuple[bytes, ...]
    threshold: int
    urls: tuple[str, ...]
    chain_id: int


async def collect_signatures(
    pool: Pool, quorum: Quorum, origin: str, checkpoint: AnchoredCheckpoint
) -> tuple[bytes, ...]:
    """Signatures of `threshold` distinct signers, ascending by address, as the contract wants them.

    All full nodes are asked at once; an answer counts by the key that it recovers to, not by what it claims.
    Raises Unavailable `anchor_quorum_missing`.
    """
    body = msgspec.json.encode(
        {"origin": origin, "size": checkpoint.size, "root": hex0x(checkpoint.root)},
    )
    answers = await asyncio.gather(*(_ask(pool, url, body) for url in quorum.urls), return_exceptions=True)
    by_signer = _valid(answers, quorum, checkpoint)
    if len(by_signer) < quorum.threshold:
        raise Unavailable(
            "anchor_quorum_missing",
            f"{len(by_signer)} of {quorum.threshold} full nodes signed the checkpoint for the chain.",
            "Are the full nodes up and in agreement? Ask each for GET /status.",
        )
    return tuple(by_signer[address] for address in sorted(by_signer)[: quorum.threshold])


def _valid(
    answers: Sequence[bytes | BaseException], quorum: Quorum, checkpoint: AnchoredCheckpoint
) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for answer in answers:
        if isinstance(answer, BaseException):
            if not isinstance(answer, HallmarkError):
                raise answer
            continue
        try:
            address = recover_statement(checkpoint, quorum.chain_id, answer)
        except VerificationFailed:
            continue
        if address in quorum.signers:
            found[address] = answer
    return found


async def _ask(pool: Pool, url: str, body: bytes) -> bytes:
    headers = ((b"content-type", b"application/json"),)
    async with pool.request("POST", f"{url}/anchor-signature", headers, body, timeouts=TIMEOUTS) as response:
        if response.status != 200:
            raise Unavailable("no_signature", f"A full node answers {response.status}.")
        return unhex((await response.json(SignatureAnswer, MAX_ANSWER)).signature)
