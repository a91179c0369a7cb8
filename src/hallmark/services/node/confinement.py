"""How an enclave is confined, as data: the boot part of its measurement (PCR1).

PCR1 covers the canonical JSON of `Confinement`: the exact bwrap argument template, the SHA-384 of the first
seccomp filter, the limits and what enforces them, and how the root file system is held. A weaker variant
(a directory instead of the sealed image, rlimits instead of cgroups) therefore has another PCR1, and a
network accepts it only by approving that value.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from hallmark.services.node import seccomp

SEALED: Final = "sealed-squashfs"
DIRECTORY: Final = "verified-directory"
RLIMIT: Final = "rlimit"
NOBODY: Final = "nobody"
INVOKER: Final = "invoker"

CONTROL_FD: Final = 3
NSM_FD: Final = 4
FILTER_FD: Final = 5

_ARGUMENTS: Final = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"),
    *("--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--clearenv", "--hostname", "enclave"),
    *("--ro-bind", "{root}", "/", "--size", "{tmp_bytes}", "--tmpfs", "/tmp"),  # noqa: S108 - inside
    *("--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom"),
    *("--chdir", "/", "--seccomp", str(FILTER_FD), "--"),
    *("/usr/bin/python3", "-I", "-S", "-B", "-X", "utf8", "/app/enclave.py"),
)


class Limits(msgspec.Struct, frozen=True):
    """Caps of one enclave: memory and tmpfs in bytes, tasks and open files counted."""

    memory_bytes: int = 6 << 30
    tasks: int = 128
    files: int = 4096
    tmp_bytes: int = 512 << 20


class Confinement(msgspec.Struct, frozen=True):
    """Everything that PCR1 covers. `root`, `enforced_by` and `user` say which variant this machine allows:
    "nobody" is a user without any right on the host, "invoker" whoever started the host without root.
    """

    root: str
    enforced_by: str
    user: str
    limits: Limits
    arguments: tuple[str, ...]
    seccomp_sha384: str

    def encode(self) -> bytes:
        """The exact bytes that PCR1 measures."""
        return msgspec.json.encode(self, order="deterministic")

    def command(self, root: str) -> list[str]:
        """Arguments for bwrap with the template filled in."""
        values = {"{root}": root, "{tmp_bytes}": str(self.limits.tmp_bytes)}
        return [values.get(argument, argument) for argument in self.arguments]

    def facts(self) -> tuple[str, ...]:
        """What is weaker than it could be, as reason codes for `insecure`; empty for the full variant."""
        weaker = []
        if self.root != SEALED:
            weaker.append("root-is-directory")
        if self.enforced_by == RLIMIT:
            weaker.append("limits-by-rlimit")
        return tuple(weaker)


def confinement(root: str, enforced_by: str, user: str, limits: Limits | None = None) -> Confinement:
    """The confinement of the given variant."""
    digest = hashlib.sha384(seccomp.starting_program()).hexdigest()
    return Confinement(root, enforced_by, user, limits or Limits(), _ARGUMENTS, digest)
