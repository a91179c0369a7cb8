"""Starts an enclave's process: sealed image, private mount, control groups, user nobody, bwrap.

The chain is `unshare` (a mount name space of its own, so that no mount outlives the process), `sh` (enters
the control groups, mounts the image), `setpriv` (user and group 65534, no capability), `bwrap` (the rest).
Every link replaces itself by the next, so bwrap is this process's child and dies with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.services.node import cgroups, seccomp
from hallmark.services.node.confinement import (
    CONTROL_FD,
    FILTER_FD,
    NOBODY,
    NSM_FD,
    SEALED,
    Confinement,
)
from hallmark.services.node.loop_device import keep_mounted
from hallmark.services.node.machine import tool
from hallmark.services.node.measure import SealedImage, extract

MOUNT_POINTS: Final = ("/mnt", "/media", "/srv", "/opt")
HIGH_FD: Final = 16
STDERR_KEPT: Final = 4096

_SCRIPT: Final = """
set -e
ulimit -c 0
ulimit -n "$FILES"
for group in $GROUPS_TO_ENTER; do echo $$ >"$group/cgroup.procs"; done
[ -z "$DEVICE" ] || mount -n -t squashfs -o ro,nosuid,nodev "$DEVICE" "$ROOT"
exec "$@"
"""


class Spawned:
    """A process that was started, and this end of its two sockets. `close` ends it."""

    def __init__(
        self, pid: int, control: socket.socket, nsm: socket.socket, errors: int, groups: tuple[Path, ...]
    ) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.control = control
        self.nsm = nsm
        self._errors = errors
        self._groups = groups
        self._reaped = False

    def complaint(self) -> str:
        """The last words on standard error, before serving; for the reason of a failed start."""
        said = b""
        with contextlib.suppress(OSError):
            while part := os.read(self._errors, STDERR_KEPT):
                said = (said + part)[-STDERR_KEPT:]
        return said.decode("utf-8", "replace").strip()

    def kill(self) -> None:
        """End the process at once; its name space dies with it."""
        with contextlib.suppress(ProcessLookupError):
            if not self._reaped:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the process to be gone and give everything back. Call once it has ended or was killed."""
        if self._reaped:
            return
        self._reaped = True
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.control.close()
        self.nsm.close()
        os.close(self._errors)
        os.close(self.pidfd)
        cgroups.remove(self._groups)

    def close(self) -> None:
        """Kill and reap."""
        self.kill()
        self.reap()


class Launcher:
    """Starts enclaves from one sealed image, one after the other. Keeps the image in memory until closed."""

    def __init__(self, sealed: SealedImage, confinement: Confinement, cache: Path) -> None:
        self.sealed = sealed
        self.confinement = confinement
        self._bwrap = tool("bwrap", "bubblewrap")
        self._held: list[int] = []
        self._device = ""
        if confinement.root == SEALED:
            self._device = sealed.attach().path
            mounted = keep_mounted(self._device)
            self._held = [] if mounted is None else [mounted]
            self._root = next(place for place in MOUNT_POINTS if Path(place).is_dir())
        else:
            self._root = str(extract(sealed, cache))

    def launch(self) -> Spawned:
        """Start one enclave; it waits for `Start` on its control socket. Raises Unavailable
        `launch_failed`, `cgroup_failed`, `sandbox_tool_missing`.
        """
        used = self.confinement
        groups = cgroups.create(used.enforced_by, used.limits)
        bwrap = [self._bwrap, *used.command(self._root)]
        shell = [tool("sh", "dash"), "-c", _SCRIPT, "sh"]
        if used.user == NOBODY:
            drop = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]
            chain = [*shell, tool("setpriv", "util-linux"), *drop, "--", *bwrap]
        else:
            chain = [*shell, *bwrap]
        if self._device:
            chain = [tool("unshare", "util-linux"), "--mount", "--propagation", "private", "--", *chain]
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "FILES": str(used.limits.files),
            "GROUPS_TO_ENTER": " ".join(str(group) for group in groups),
            "DEVICE": self._device,
            "ROOT": self._root,
        }
        program = _program_fd(seccomp.starting_program())
        try:
            return _spawn(chain, environment, groups, {FILTER_FD: program})
        except BaseException:
            cgroups.remove(groups)
            raise
        finally:
            os.close(program)

    def close(self) -> None:
        """Release the image; running enclaves keep what they have mounted."""
        while self._held:
            os.close(self._held.pop(0))
        self.sealed.close()


def launch_unconfined() -> Spawned:
    """Start a vanilla node's process: the same code from this installation, without any confinement."""
    chain = [sys.executable, "-B", "-m", "hallmark.services.enclave.boot", "--unconfined"]
    return _spawn(chain, {"PATH": "/usr/bin:/bin"}, (), {})


def _spawn(
    chain: Sequence[str], environment: dict[str, str], groups: tuple[Path, ...], extra: dict[int, int]
) -> Spawned:
    control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nsm, its_nsm = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    errors, its_errors = os.pipe2(os.O_CLOEXEC)
    wanted = {CONTROL_FD: its_control.fileno(), NSM_FD: its_nsm.fileno(), 2: its_errors, **extra}
    high = {target: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, HIGH_FD) for target, source in wanted.items()}
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    actions += [(os.POSIX_SPAWN_DUP2, source, target) for target, source in high.items()]
    try:
        pid = os.posix_spawn(
            chain[0], list(chain), environment, file_actions=actions, setsigmask=(), setsigdef=range(1, 32)
        )
    except OSError as error:
        control.close()
        nsm.close()
        os.close(errors)
        raise Unavailable("launch_failed", f"{chain[0]} cannot be started: {error.strerror}.") from error
    finally:
        its_control.close()
        its_nsm.close()
        for descriptor in (its_errors, *high.values()):
            os.close(descriptor)
    os.set_blocking(errors, False)
    return Spawned(pid, control, nsm, errors, groups)


def _program_fd(program: bytes) -> int:
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    os.write(fd, program)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
