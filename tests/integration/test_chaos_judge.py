"""What the kill runs hold against a client's answer, each thing shown once."""

from __future__ import annotations

import pytest

from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.chaos import Asked, judge
from hallmark.testing.real_network import Network

pytestmark = pytest.mark.integration

WHOLE = Asked("/v1/completions", b"{}", bytes(32), 0.0, stream=False)
STREAM = Asked("/v1/completions", b"{}", bytes(32), 0.0, stream=True)
ERROR = b'{"error":{"message":"No.","type":"x","param":null,"code":"answer_lost"}}'


@pytest.mark.parametrize(
    ("asked", "status", "received", "broke", "wrong"),
    [
        (WHOLE, 200, b'{"id":"x","choices":[]}', "", "complete_answer_without_receipt"),
        (WHOLE, 200, b"", "", "empty_answer"),
        (WHOLE, 200, b'{"id":', "RemoteProtocolError", ""),
        (WHOLE, 503, b"<html>", "", "error_without_code"),
        (WHOLE, 503, ERROR, "", ""),
        (STREAM, 200, b"data: {}\n\ndata: [DONE]\n\n", "", "complete_answer_without_receipt"),
        (STREAM, 200, b"data: {}\n\n", "", "stream_ended_in_silence"),
        (STREAM, 200, b"data: {}\n\n", "ReadError", ""),
        (STREAM, 200, b"data: {}\n\ndata: [DONE]", "ReadError", "done_in_a_broken_stream"),
        (STREAM, 200, b"data: {}\n\ndata: " + ERROR + b"\n\n", "", ""),
    ],
)
def test_the_judge_of_outcomes(
    network: Network, asked: Asked, status: int, received: bytes, broke: str, *, wrong: str
) -> None:
    """What a client may not hold is noticed, what it may hold is not complained about."""
    assert judge(asked, status, received, broke, Verifier.read(network.trust)).wrong == wrong
