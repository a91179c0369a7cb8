"""Storage challenges: an answer is right or has a reason."""

from __future__ import annotations

import pytest

from hallmark.core.errors import HallmarkError
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.challenge import answer_challenge, draw_challenge, most_answer, verify_answer
from hallmark.testing.committees import committee_of, slivers_of

SHARDS = 22
DATA = bytes(range(256)) * 20
COMMITTEE = committee_of(7, shards=SHARDS)


@pytest.fixture(scope="module")
def encoded() -> tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]:
    """One encoded blob."""
    return slivers_of(DATA, SHARDS)


def failed(challenge: object, answer: bytes) -> bool:
    """Whether an answer is refused for what it is."""
    with pytest.raises(HallmarkError) as error:
        verify_answer(challenge, answer, SHARDS)  # type: ignore[arg-type]
    return error.value.reason == "challenge_failed"


def test_answers_verify_by_the_id_alone(encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]) -> None:
    """Any seed asks for what the node has; both kinds come up, and the answer holds."""
    metadata, slivers = encoded
    seen = set()
    for number in range(40):
        node = number % 7
        challenge = draw_challenge(COMMITTEE, node, metadata.blob_id, bytes([number]) * 32)
        assert COMMITTEE.owner(metadata.blob_id, challenge.pair) == node
        answer = answer_challenge(metadata, challenge, slivers[challenge.pair, challenge.kind])
        assert len(answer) == most_answer(SHARDS, metadata.shape.symbol)
        assert verify_answer(challenge, answer, SHARDS) == metadata.shape
        seen.add(challenge.kind)
    assert seen == set(Kind)


def test_wrong_answers_are_refused(encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]) -> None:
    """Any changed byte, an answer cut short or longer, that of another seed, or of a changed sliver."""
    metadata, slivers = encoded
    challenge = draw_challenge(COMMITTEE, 3, metadata.blob_id, bytes(32))
    answer = answer_challenge(metadata, challenge, slivers[challenge.pair, challenge.kind])
    for at in range(0, len(answer), 7):
        assert failed(challenge, answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :])
        assert failed(challenge, answer[:at])
    assert failed(challenge, answer + b"\0")
    other = draw_challenge(COMMITTEE, 4, metadata.blob_id, b"\1" * 32)
    assert failed(other, answer)
    lost = bytes(len(slivers[challenge.pair, challenge.kind]))
    assert failed(challenge, answer_challenge(metadata, challenge, lost))


def test_a_seed_has_its_length() -> None:
    """Seeds of other lengths are refused, so that nobody picks what is asked by playing with them."""
    for seed in (b"", bytes(31), bytes(33)):
        with pytest.raises(HallmarkError) as error:
            draw_challenge(COMMITTEE, 0, bytes(32), seed)
        assert error.value.reason == "bad_challenge"
