"""Keys that people name on the command line."""

from __future__ import annotations

from pathlib import Path

from hallmark.core.errors import InvalidInput
from hallmark.crypto.secp256k1 import Key


def named_key(home: Path, name: str) -> Path:
    """The file of a key of this home, such as `reviewer-1`."""
    return home / "keys" / f"{name}.secp256k1"


def read_key(path: Path) -> Key:
    """A file with 32 secret bytes in hex. Raises InvalidInput `no_such_key`, `bad_key_file`."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("no_such_key", f"{path} cannot be read.", "Name a key that is there.") from error
    try:
        return Key(bytes.fromhex(text.removeprefix("0x")))
    except ValueError as error:
        raise InvalidInput(
            "bad_key_file", f"{path} does not hold 64 hexadecimal digits.", "Is it a secp256k1 key?"
        ) from error
