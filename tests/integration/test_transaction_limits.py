"""Signing a transaction leaves the process as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

SCRIPT = """
import sys
import msgspec
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.transactions import Call, Fees, sign_transaction

limit = sys.getrecursionlimit()
signed = sign_transaction(
    Call(bytes(20), b"", 21_000), Key(bytes(31) + b"\\1"), chain_id=1, nonce=0, fees=Fees(2, 1)
)
assert len(signed.hash) == 32
assert sys.getrecursionlimit() == limit
try:
    msgspec.json.decode(b"[" * 1_000_000)
except RecursionError:
    print("refused")
"""


def test_signing_leaves_the_recursion_limit_as_it_was() -> None:
    """A library under the one that signs raises it so far that nested JSON would end the process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=600
    )
    assert (done.returncode, done.stdout.strip()) == (0, "refused"), done.stderr
