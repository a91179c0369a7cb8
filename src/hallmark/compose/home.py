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
import time
from pathlib import Path
from typing import IO

from hallmark.core.errors import Conflict, InvalidInput, Unavailable

LOCK_TRIES = 10
LOCK_PAUSE_S = 0.03


class Home:
    """Paths under one home directory, with careful writes. Raises InvalidInput `home_not_utf8`: settings and
    store addresses are text, and such a path could not stand in them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        try:
            str(self.path).encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                "home_not_utf8", "The home's path is not UTF-8.", "Name another one with --home."
            ) from error

    def dir(self, *parts: str) -> Path:
        """A directory under the home, made if need be, for its owner only. Raises Unavailable
        `home_unwritable`.
        """
        path = self.path.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unwritable(path, error) from error
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
            raise self._unwritable(path, error) from error
        return path

    def write_secret(self, data: bytes, *parts: str) -> Path:
        """Write a private key: mode 0600, never over an existing one. Raises Conflict `key_exists`."""
        if self.file(*parts).exists():
            raise Conflict(
                "key_exists", f"{self.file(*parts)} exists already.", "Keys are never overwritten."
            )
        return self.write(data, *parts, mode=0o600)

    def lock(self) -> IO[bytes]:
        """Hold the home for this process and whoever inherits the file. Raises Conflict `already_running`,
        Unavailable `home_unwritable`. Closing the file lets go.
        """
        try:
            stream = open(self.file("run", "lock"), "ab")  # noqa: SIM115 - the caller keeps it open
        except OSError as error:
            raise self._unwritable(self.path / "run" / "lock", error) from error
        for attempt in range(LOCK_TRIES):
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return stream
            except OSError:
                # `is_locked` of another process holds it for a moment.
                if attempt + 1 < LOCK_TRIES:
                    time.sleep(LOCK_PAUSE_S)
        stream.close()
        raise Conflict(
            "already_running",
            f"A network is already running from {self.path}, or being started.",
            "See `hallmark status`; stop it with `hallmark down`.",
        )

    def _unwritable(self, path: Path, error: OSError) -> Unavailable:
        return Unavailable(
            "home_unwritable",
            f"{path} cannot be written ({error.strerror}).",
            "Is the disk full or read-only, or does the home belong to somebody else? --home names another.",
        )

    def is_locked(self) -> bool:
        """True while some process holds the home."""
        try:
            stream = open(self.path / "run" / "lock", "rb")  # noqa: SIM115 - closed below
        except OSError:
            return False
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False
