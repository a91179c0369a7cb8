"""What a stranger gets wrong at the gateway: a code, a sentence, and what to do about it."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/v1/chat/completions", b"", "bad_json"),
        ("POST", "/v1/chat/completions", b"\xff", "bad_json"),
        ("POST", "/v1/chat/completions", b"[" * 100_001, "body_too_large"),
        ("POST", "/v1/chat/completions", b"[" * 50_000, "bad_request"),
        ("POST", "/v1/chat/completions", b"null", "bad_request"),
        ("POST", "/v1/hallmark/route", b"1", "bad_json"),
        ("GET", "/v1/hallmark/receipts/0x" + "11" * 32, b"", "no_such_receipt"),
        ("GET", "/v1/hallmark/receipts/chatcmpl-1", b"", "no_such_receipt"),
        ("GET", "/v1/models/nosuch", b"", "model_not_found"),
        ("GET", "/v1/nothing", b"", "unknown_path"),
    ],
)
async def test_each_has_code_sentence_and_hint(
    ask: Any, method: str, path: str, body: bytes, code: str
) -> None:
    """Nothing is refused without a word on how to go on."""
    status, _, said = await ask.raw(path, body, method=method)
    error = json.loads(said)["error"]
    assert 400 <= status < 500
    assert error["code"] == code
    assert error["message"]
    assert error["hint"] or code == "body_too_large"
