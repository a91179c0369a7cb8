"""Confinement as data: what the filters allow, what PCR1 covers, which caps a machine can enforce."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import msgspec
import pytest

from hallmark.core.documents import EnclaveConfiguration, Manifest
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import Listen
from hallmark.services.node import cgroups, image, machine, measure, seccomp, service
from hallmark.services.node.confinement import DIRECTORY, INVOKER, NOBODY, RLIMIT, SEALED, Limits, confinement
from hallmark.services.node.settings import ModelFile, Settings

ALLOW, ERRNO, EPERM = 0x7FFF0000, 0x00050000, 1
X86_64 = 0xC000003E


def judge(program: bytes, number: int, *arguments: int) -> int:
    """What a seccomp program returns for a call: a small interpreter of classic BPF as seccomp uses it."""
    data = struct.pack("<iIQ6Q", number, X86_64, 0, *(list(arguments) + [0] * 6)[:6])
    at, a = 0, 0
    while True:
        code, jt, jf, k = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        if code == 0x20:  # ld [k]
            (a,) = struct.unpack_from("<I", data, k)
        elif code == 0x06:  # ret k
            return int(k)
        elif code == 0x54:  # and k
            a &= k
        elif code == 0x05:  # ja
            at += k
        else:
            taken = {0x15: a == k, 0x35: a >= k, 0x25: a > k, 0x45: bool(a & k)}[code]
            at += jt if taken else jf


READ, OPENAT, MMAP, MPROTECT, EXECVE, CLONE, SOCKET, PRCTL, PRLIMIT = 0, 257, 9, 10, 59, 56, 41, 157, 302
THREAD = 0x3D0F00


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
@pytest.mark.parametrize(
    ("call", "starting", "serving"),
    [
        ((READ, 3, 0, 10), True, True),
        ((OPENAT, 0, 0, os.O_RDONLY | os.O_CLOEXEC), True, True),
        ((OPENAT, 0, 0, os.O_WRONLY), True, False),
        ((OPENAT, 0, 0, os.O_RDONLY | os.O_CREAT), True, False),
        ((OPENAT, 0, 0, os.O_TMPFILE | os.O_RDWR), True, False),
        ((MMAP, 0, 4096, 3), True, True),
        ((MMAP, 0, 4096, 5), True, False),
        ((MPROTECT, 0, 4096, 7), True, False),
        ((EXECVE,), True, False),
        ((CLONE, THREAD), True, True),
        ((CLONE, 17), False, False),
        ((CLONE, THREAD | 0x10000000), False, False),
        ((SOCKET, 1, 1), False, False),
        ((SOCKET, 40, 1), False, False),
        ((53, 1, 1), True, False),
        ((53, 2, 1), False, False),
        ((PRCTL, 15), True, True),
        ((PRCTL, 4, 1), True, False),
        ((PRLIMIT, 0, 7, 0), True, True),
        ((PRLIMIT, 0, 7, 1), True, False),
        ((16, 0, 0x5421), True, True),
        ((16, 0, 0x5412), False, False),
        ((101,), False, False),
        ((165,), False, False),
        ((321,), False, False),
        ((425,), False, False),
        ((272,), False, False),
        ((317, 1), True, False),
    ],
)
def test_what_the_filters_allow(call: tuple[int, ...], starting: bool, serving: bool) -> None:
    """Each row of the table, by interpreting the very bytes that the kernel gets."""
    for program, allowed in ((seccomp.starting_program(), starting), (seccomp.serving_program(), serving)):
        assert judge(program, *call) == (ALLOW if allowed else ERRNO | EPERM)


def test_serving_allows_nothing_that_starting_forbids() -> None:
    """The second filter is a subset, call by call."""
    for number in range(470):
        if judge(seccomp.serving_program(), number) == ALLOW:
            assert judge(seccomp.starting_program(), number) == ALLOW


def test_the_vsock_filter_adds_vsock_alone() -> None:
    """On Nitro AF_VSOCK is allowed, any other family still is not."""
    program = seccomp.serving_program(vsock=True)
    assert judge(program, SOCKET, 40, 1) == ALLOW
    for family in (1, 2, 10, 16, 17):
        assert judge(program, SOCKET, family, 1) == ERRNO | EPERM
    assert judge(program, 16, 4, seccomp.NSM_IOCTL) == ALLOW


def test_clone3_asks_for_clone() -> None:
    """`clone3` is not there, so the C library uses `clone`, whose flags are visible."""
    assert judge(seccomp.serving_program(), 435) == ERRNO | 38


def test_every_weakening_is_another_measurement() -> None:
    """PCR1 differs for each variant, and the weaker ones say what is weaker."""
    variants = [
        confinement(SEALED, "cgroup2", NOBODY),
        confinement(SEALED, "cgroup1", NOBODY),
        confinement(SEALED, RLIMIT, NOBODY),
        confinement(DIRECTORY, "cgroup2", NOBODY),
        confinement(DIRECTORY, RLIMIT, INVOKER),
        confinement(SEALED, "cgroup2", NOBODY, Limits(tasks=1000)),
    ]
    assert len({hashlib.sha384(variant.encode()).digest() for variant in variants}) == len(variants)
    assert [variant.facts() for variant in variants[:4]] == [
        (),
        (),
        ("limits-by-rlimit",),
        ("root-is-directory",),
    ]


def test_the_command_is_the_template_filled_in() -> None:
    """Only the root's path and the size of /tmp are filled in; they are what the template says they are."""
    command = confinement(SEALED, "cgroup2", NOBODY, Limits(tmp_bytes=5)).command("/mnt")
    assert command[command.index("--ro-bind") : command.index("--ro-bind") + 3] == ["--ro-bind", "/mnt", "/"]
    assert command[command.index("--size") + 1] == "5"
    assert "{" not in "".join(command)
    assert {"--unshare-all", "--die-with-parent", "--new-session", "--clearenv"} < set(command)


def hierarchy(top: Path, **files: str) -> Path:
    """A made-up /sys/fs/cgroup."""
    for name, content in files.items():
        place = top / name.replace("__", "/").replace("_dot_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return top


def test_version_2_groups_need_their_controllers(tmp_path: Path) -> None:
    """Version 2 counts only with memory and pids for children; else version 1, else rlimits."""
    two, one, none = tmp_path / "two", tmp_path / "one", tmp_path / "none"
    assert cgroups.enforcer(hierarchy(two, cgroup_dot_subtree_control="cpu memory pids")) == "cgroup2"
    hierarchy(one, memory__cgroup_dot_procs="", pids__cgroup_dot_procs="", cgroup_dot_subtree_control="cpu")
    assert cgroups.enforcer(one) == "cgroup1"
    assert cgroups.enforcer(hierarchy(none, cgroup_dot_subtree_control="cpu")) == RLIMIT


def test_groups_get_their_limits_and_are_swept(tmp_path: Path) -> None:
    """Limits are written where the kernel reads them; groups of a host that is gone are removed."""
    top = hierarchy(tmp_path, cgroup_dot_subtree_control="memory pids")
    (group,) = cgroups.create("cgroup2", Limits(memory_bytes=100, tasks=7), top)
    assert ((group / "memory.max").read_text(), (group / "pids.max").read_text()) == ("100", "7")
    stale = top / f"{cgroups.PREFIX}999999999-1"
    young = top / f"{cgroups.PREFIX}999999999-2"
    stale.mkdir()
    young.mkdir()
    os.utime(stale, (1, 1))
    cgroups.sweep(top)
    assert group.exists()
    assert young.exists()
    assert not stale.exists()


def test_a_group_that_vanishes_while_groups_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host removes its group between being listed and being looked at: the rest is swept, and this
    host starts.
    """
    gone, stale = (tmp_path / f"{cgroups.PREFIX}999999999-{n}" for n in (1, 2))
    stale.mkdir()
    os.utime(stale, (1, 1))
    monkeypatch.setattr(Path, "glob", lambda _place, _pattern: iter((gone, stale)))
    cgroups.sweep(tmp_path)
    assert not stale.exists()


@pytest.mark.parametrize("tail", [b"", b"x" * 24, image.TRAILER.pack(image.MAGIC, 5, 5), bytes(24)])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, tail: bytes) -> None:
    """Neither nonsense nor a wrong trailer passes for an image."""
    path = tmp_path / "image"
    path.write_bytes(b"0123456789" * 10 + tail)
    with pytest.raises(InvalidInput) as refused:
        measure.seal(path)
    assert refused.value.reason == "bad_image"


def test_registers_extend_from_zero(tmp_path: Path) -> None:
    """PCR0 covers the file, PCR1 the confinement, PCR2 the application's lines alone."""
    manifest = b"aa 444 1 app/x\nbb 444 1 usr/y\n"
    data = b"squash" + manifest + image.TRAILER.pack(image.MAGIC, 6, len(manifest))
    (tmp_path / "image").write_bytes(data)
    used = confinement(SEALED, "cgroup2", NOBODY)
    sealed = measure.seal(tmp_path / "image")
    found = sealed.measure(used)
    sealed.close()

    def register(content: bytes) -> bytes:
        return hashlib.sha384(bytes(48) + hashlib.sha384(content).digest()).digest()

    assert found.image == hashlib.sha384(data).digest()
    assert found.pcr0 == register(data)
    assert found.pcr1 == register(used.encode())
    assert found.pcr2 == register(b"aa 444 1 app/x\n")


SETTINGS = Settings(
    listen=Listen(1), health=Listen(2), endpoint="https://x", log_url="http://l", origin="o", chain_id=5,
    owner_key_file="k", database="sqlite://",
)  # fmt: skip


@pytest.mark.parametrize("changes", [{"mode": "other"}, {"mode": "tee"}, {"development_root": "r"}])
def test_settings_that_cannot_work_are_refused(changes: dict[str, str]) -> None:
    """An unknown mode, or a tee node without image or root, is refused and never becomes vanilla."""
    with pytest.raises(HallmarkError) as refused:
        service.check(msgspec.structs.replace(SETTINGS, **changes))
    assert refused.value.reason == "bad_settings"


def test_the_configuration_says_what_is_weaker(tmp_path: Path) -> None:
    """Models by manifest digest, the owner as default payee, and every weakening by name."""
    zero = "0x" + "00" * 32
    manifest = Manifest(
        label="m", version="1", artifact=zero, sha256=zero, size=1, format="", task="", card=zero
    )
    (tmp_path / "m").write_bytes(manifest.encode())
    (tmp_path / "a").write_bytes(b"x")
    model = ModelFile("m", str(tmp_path / "m"), str(tmp_path / "a"))
    settings = msgspec.structs.replace(SETTINGS, models=(model,), insecure=("test",))
    owner = Key(bytes([1]) * 32)
    weaker = confinement(DIRECTORY, RLIMIT, INVOKER)
    cargo = service.load_cargo(settings, owner, weaker)
    written = EnclaveConfiguration.decode(cargo.configuration)
    assert written.models == {"m": "0x" + manifest.digest().hex()}
    assert written.payment == written.owner == "0x" + owner.address.hex()
    assert {"test", "root-is-directory", "limits-by-rlimit"} <= set(written.insecure)
    assert written.insecure == tuple(sorted({*machine.insecure_facts(weaker), "test"}))
    vanilla = EnclaveConfiguration.decode(service.load_cargo(settings, owner, None).configuration)
    assert (vanilla.mode, vanilla.insecure) == (0, ("test", "vanilla"))
