"""The payer's key file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, NotFound
from hallmark.services.sdk.wallet import Wallet


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
