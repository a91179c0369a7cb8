"""The home directory: where one machine keeps its network's keys, settings, stores and logs.

network.json           the plan: name, origin, ports (made at the first start, then fixed)
trust.toml             the network's trust file, safe to give away
keys/                  private keys, mode 0600
genesis/               the first entries of the log, as exact bytes
artifacts/             packed models and their blob IDs
image/                 the enclave image
services/<name>/       settings, store and log of each service
run/                   lock, process ids, what is running now
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

from hallmark.core.errors import Conflict, Unavailable


class Home:
    """Paths under one home directory, with careful writes."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    def dir(self, *parts: str) -> Path:
        """A directory under the home, made if need be, for its owner only. Raises Unavailable
        `home_unwritable`.
        """
        path = self.path.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(
                "home_unwritable", f"{path} cannot be made.", "Choose another place with --home."
            ) from error
        return path

    def file(self, *parts: str) -> Path:
        """A file's path under the home; its directory exists."""
        return self.dir(*parts[:-1]) / parts[-1]

    def write(self, data: bytes, *parts: str, mode: int = 0o644) -> Path:
        """Write a file whole or not at all: temporary file, fsync, rename. Raises Unavailable
        `home_unwritable`.
        """
        path = self.file(*parts)
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fchmod(stream.fileno(), mode)
                    os.fsync(stream.fileno())
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise Unavailable(
                "home_unwritable", f"{path} cannot be written.", "Is the disk full or read-only?"
            ) from error
        return path

    def write_secret(self, data: bytes, *parts: str) -> Path:
        """Write a private key: mode 0600, never over an existing one. Raises Conflict `key_exists`."""
        if self.file(*parts).exists():
            raise Conflict(
                "key_exists", f"{self.file(*parts)} exists already.", "Keys are never overwritten."
            )
        return self.write(data, *parts, mode=0o600)

    def lock(self) -> IO[bytes]:
        """Hold the home for this process. Raises Conflict `already_running`. Closing the file lets go."""
        stream = open(self.file("run", "lock"), "ab")  # noqa: SIM115 - the caller keeps it open
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            raise Conflict(
                "already_running",
                f"A network is already running from {self.path}.",
                "See `hallmark status`; stop it with `hallmark down`.",
            ) from error
        return stream

    def is_locked(self) -> bool:
        """True while some process holds the home."""
        if not (self.path / "run" / "lock").exists():
            return False
        try:
            self.lock().close()
        except Conflict:
            return True
        return False
