"""Storage challenges: a random symbol of a random sliver that a node must have, answered with Merkle paths.

Whoever asks draws the seed after the node promised; the seed, the node and the blob decide which symbol. The
answer leads from the symbol to the sliver's root, from the pair's roots to the blob's, and with the length to
the blob ID. So the ID is all that the one who checks needs: no copy, no metadata, no word of anybody's.

Layout of an answer:

    length           8        bytes of the blob, little-endian
    primary         32        roots of the pair
    secondary       32
    pair path       32 * d    from the pair to the blob's root; d = ceil(log2 n)
    symbol path     32 * d    from the symbol to the sliver's root
    symbol          s         bytes of a symbol
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.hub.blob_metadata import BlobMetadata, Kind, blob_id_of
from hallmark.hub.committee import Committee
from hallmark.hub.shape import Shape, shape_of
from hallmark.hub.slivers import ProvenSymbol, prove_symbols, verify_symbol
from hallmark.hub.walrus_tree import HASH, hash_leaf, path_length, root_by_path

DOMAIN: Final = b"hallmark.storage-challenge/1\0"
SEED: Final = 32


class Challenge(msgspec.Struct, frozen=True):
    """Which symbol of which sliver of a blob (32 bytes) is asked for."""

    blob_id: bytes
    pair: int
    kind: Kind
    index: int


def draw_challenge(committee: Committee, node: int, identifier: bytes, seed: bytes) -> Challenge:
    """The challenge that a seed (32 bytes) makes for a node and a blob: node and challenger draw the same.

    Raises InvalidInput `bad_challenge`.
    """
    if len(seed) != SEED:
        raise InvalidInput(
            "bad_challenge", "The seed of a challenge has 32 bytes.", "Send it as 64 hex digits."
        )
    pairs = committee.pairs(identifier, node)
    drawn = blake2b(DOMAIN + seed + committee.nodes[node].key_bytes + identifier, digest_size=HASH).digest()
    which, kind, index = (int.from_bytes(drawn[at : at + 8], "big") for at in (0, 8, 16))
    sort = Kind.SECONDARY if kind & 1 else Kind.PRIMARY
    return Challenge(identifier, pairs[which % len(pairs)], sort, index % committee.shards)


def answer_challenge(metadata: BlobMetadata, challenge: Challenge, sliver: bytes) -> bytes:
    """The answer, of the sliver that is asked for; see the module docstring."""
    (symbol,) = prove_symbols(metadata.shape, challenge.kind, sliver, (challenge.index,))
    roots = [metadata.root_of(challenge.pair, kind) for kind in (Kind.PRIMARY, Kind.SECONDARY)]
    length = metadata.length.to_bytes(8, "little")
    return b"".join((length, *roots, metadata.path_of(challenge.pair), symbol.path, symbol.data))


def verify_answer(challenge: Challenge, answer: bytes, shards: int) -> Shape:
    """The shape of the blob whose symbol this is, when the answer is right.

    Raises VerificationFailed `challenge_failed`.
    """
    depth = path_length(shards)
    length, rest = int.from_bytes(answer[:8], "little"), answer[8:]
    primary, secondary = rest[:HASH], rest[HASH : 2 * HASH]
    pair_path, rest = rest[2 * HASH : 2 * HASH + depth], rest[2 * HASH + depth :]
    symbol = ProvenSymbol(rest[depth:], rest[:depth])
    try:
        shape = shape_of(length, shards)
        blob_root = root_by_path(hash_leaf(primary + secondary), challenge.pair, pair_path)
        if len(pair_path) == depth and blob_id_of(length, blob_root) == challenge.blob_id:
            root = primary if challenge.kind is Kind.PRIMARY else secondary
            verify_symbol(shape, root, challenge.index, symbol)
            return shape
    except (InvalidInput, VerificationFailed):
        pass
    raise VerificationFailed(
        "challenge_failed",
        "A storage node's answer does not lead from the symbol that was asked for to the blob ID.",
        "The node lost or changed what it confirmed; it repairs itself when it looks at its slivers.",
    )


def most_answer(shards: int, symbol: int) -> int:
    """Bytes of an answer about a blob with symbols of this size."""
    return 8 + 2 * HASH + 2 * path_length(shards) + symbol
