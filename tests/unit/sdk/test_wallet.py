"""The payer's key file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, NotFound
from hallmark.services.sdk.money import Money
from hallmark.services.sdk.network import find
from hallmark.services.sdk.wallet import Wallet

ADDRESS = "0x" + "1a" * 20


def place(**chain: object) -> bytes:
    """A home's client.json whose chain has these members, and else such as cannot be meant."""
    found = {"rpc_url": "http://127.0.0.1:1", "chain_id": 1, "token": "", "vault": "0x11", **chain}
    return msgspec.json.encode({"base_url": "http://127.0.0.1:1", "chain": found})


def test_a_wallet_is_one_file_for_its_owner(tmp_path: Path) -> None:
    """Mode 0600, never written over, refused when others can read it."""
    made = Wallet.new(tmp_path)
    assert made.path is not None
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert Wallet.load(tmp_path).address == made.address
    with pytest.raises(Conflict) as caught:
        Wallet.new(tmp_path)
    assert caught.value.reason == "wallet_exists"
    made.path.chmod(0o640)
    with pytest.raises(HallmarkError, match="read by others"):
        Wallet.load(tmp_path)
    with pytest.raises(NotFound):
        Wallet.load(tmp_path / "elsewhere")
    assert [path.name for path in made.path.parent.iterdir()] == [made.path.name]


def test_a_file_that_is_no_key(tmp_path: Path) -> None:
    """A truncated or foreign file is said to be one, and stays."""
    made = Wallet.new(tmp_path)
    assert made.path is not None
    made.path.write_text("ab")
    with pytest.raises(InvalidInput) as caught:
        Wallet.load(tmp_path)
    assert caught.value.reason == "wallet_unreadable"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (None, "no_network"),
        (b'{"base_url": 5', "bad_client_file"),
        (b"\xff", "bad_client_file"),
        (b"[" * 5_000, "bad_client_file"),
        (b'{"base_url": "u"}', "no_chain"),
        (b'{"base_url": "u", "chain": {"rpc_url": "u", "chain_id": 1, "token": "0x11"}}', "bad_client_file"),
        (place(), "bad_chain"),
        (place(token=ADDRESS), "bad_chain"),
        (place(token=ADDRESS, vault=ADDRESS.upper()), "bad_chain"),
        (place(token=ADDRESS, vault=ADDRESS, former=["zz"]), "bad_chain"),
    ],
)
def test_a_home_that_says_nonsense_of_its_money(tmp_path: Path, file: bytes | None, reason: str) -> None:
    """What is missing, what cannot be read and what is no address: each has its reason, and what to do."""
    if file is not None:
        (tmp_path / "client.json").write_bytes(file)
    with pytest.raises(InvalidInput) as caught:
        assert Money(find(None, None, tmp_path)).chain
    assert caught.value.reason == reason
    assert caught.value.hint
