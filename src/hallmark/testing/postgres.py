"""A throw-away PostgreSQL server on a loopback port, for tests against the real thing.

Uses the server binaries that are installed (Debian puts them under /usr/lib/postgresql) or on the path. The
server refuses to run as root, so root starts it as `postgres` or `nobody`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hallmark.testing.ports import free_port


def binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, the newest when there are several, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """An empty server; gives its SQLAlchemy URL. Raises FileNotFoundError without binaries."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("no PostgreSQL server binaries")
    account = _account()
    with tempfile.TemporaryDirectory(prefix="hallmark-postgres-") as base:
        data = Path(base, "data")
        if account is not None:
            os.chown(base, account.pw_uid, account.pw_gid)
        port = free_port()
        run(
            account, folder / "initdb", "-D", data, "-A", "trust", "-U", "hallmark", "--no-sync", "-E", "UTF8"
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={base}"
        run(account, folder / "pg_ctl", "-D", data, "-w", "-l", Path(base, "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://hallmark@127.0.0.1:{port}/postgres"
        finally:
            run(account, folder / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def run(account: pwd.struct_passwd | None, *command: str | Path) -> None:
    """Run a command to its end, as another account when there is one. Raises CalledProcessError."""
    subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        cwd="/",
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
