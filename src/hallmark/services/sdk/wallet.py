"""The payer's key: one file in the home that only its owner can read.

    HOME/wallet/payer.secp256k1     64 hexadecimal digits, mode 0600, never written over

Whoever has the file has the money. It signs deposits, withdrawals and spending ceilings; requests are signed
by a session key that a ceiling names, which can do nothing else (`sdk.spending`).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, InvalidInput, NotFound, Unauthorized, Unavailable
from hallmark.crypto.secp256k1 import Key

FOLDER: Final = "wallet"
FILE: Final = "payer.secp256k1"
SECRET: Final = 32


class Wallet:
    """A payer's key. `new` makes one in a home, `load` reads the one that is there."""

    def __init__(self, key: Key, path: Path | None = None) -> None:
        """`path` is where it is kept, if it is."""
        self.key, self.path = key, path

    @classmethod
    def new(cls, home: Path) -> Wallet:
        """Make a wallet in this home. Raises Conflict `wallet_exists`, Unavailable `home_unwritable`."""
        path, key = _file(home), Key.generate()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_once(path, key.secret.hex().encode() + b"\n")
        except FileExistsError as error:
            raise Conflict(
                "wallet_exists",
                f"There is a wallet in {home} already.",
                "It is never written over: move its file away first, and keep it.",
            ) from error
        except OSError as error:
            raise Unavailable(
                "home_unwritable", f"{path.parent} cannot be written ({error.strerror}).", "See --home."
            ) from error
        return cls(key, path)

    @classmethod
    def load(cls, home: Path) -> Wallet:
        """The wallet of this home. Raises NotFound `no_wallet`; Unauthorized `wallet_open` when others can
        read its file; InvalidInput `wallet_unreadable`.
        """
        path = _file(home)
        return cls(read_key(path, "wallet"), path)

    @property
    def address(self) -> str:
        """The payer's address, 0x-hex."""
        return hex0x(self.key.address)


def read_key(path: Path, what: str) -> Key:
    """A key that only its owner can read. Raises as `Wallet.load` does; an error calls it `what`."""
    try:
        if path.stat().st_mode & 0o077:
            raise Unauthorized(
                "wallet_open", f"{path.name} can be read by others than its owner.", f"chmod 600 {path}"
            )
        secret = bytes.fromhex(path.read_text().strip())
        if len(secret) != SECRET:
            raise ValueError
        return Key(secret)
    except FileNotFoundError as error:
        raise NotFound(
            "no_wallet", f"There is no {what} in {path.parent}.", "Make a wallet: hallmark wallet new"
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput("wallet_unreadable", f"{path} is no key.", "Put the file back.") from error


def _file(home: Path) -> Path:
    return home / FOLDER / FILE


def _write_once(path: Path, data: bytes) -> None:
    """Whole or not at all, and never over another. Raises FileExistsError, OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
