"""The image: the same bytes twice, nothing in it that does not belong, and no way to run an altered one."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hallmark
from hallmark.core.errors import HallmarkError
from hallmark.services.node import image, image_contents, machine, measure, shared_image
from hallmark.services.node.confinement import SEALED
from hallmark.services.node.loop_device import keep_mounted

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    """What goes into this installation's image."""
    return image_contents.collect(Path(hallmark.__file__).parent)


@pytest.fixture(scope="module")
def built(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two images of the same files, built in different places at different times."""
    made = []
    for name in ("first", "second"):
        directory = tmp_path_factory.mktemp(name)
        image.write_image(files, directory / "root", directory / "image")
        made.append(directory / "image")
    return made[0], made[1]


def test_two_builds_give_one_hash(built: tuple[Path, Path]) -> None:
    """Two independent builds have the same SHA-384, so anybody can check a measurement by building."""
    first, second = (measure.inspect(path, machine.detect()) for path in built)
    assert first.sha384 == second.sha384
    assert (first.pcr0, first.pcr1, first.pcr2) == (second.pcr0, second.pcr1, second.pcr2)
    assert len({first.pcr0, first.pcr1, first.pcr2}) == 3


def test_nothing_unneeded_is_inside(files: dict[str, Path]) -> None:
    """No shell, no tests, no headers, no emulated security module, no host code, no key."""
    unwanted = re.compile(
        r"(^|/)(bash|sh|dash|busybox|perl|gcc|ld|apt|pip)$|/tests?/|\.(h|hpp|pyx|pem|key)$"
        r"|/emulator/|services/(node|gateway|log|sdk)/|/idlelib/|/tkinter/|/verification/"
    )
    assert [inside for inside in files if unwanted.search(inside)] == []
    assert "app/lib/hallmark/services/enclave/boot.py" in files
    assert "usr/bin/python3" in files


def test_modes_and_times_are_fixed(built: tuple[Path, Path]) -> None:
    """Every file is owned by root, not writable, and from 1970."""
    listing = subprocess.run(
        ["unsquashfs", "-lln", "-UTC", str(built[0])], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    lines = [line for line in listing if " squashfs-root" in line]
    assert len(lines) > 900
    for line in lines:
        mode, owner, _, date, hour, *_ = line.split()
        assert owner == "0/0"
        assert (date, hour) == ("1970-01-01", "00:00")
        assert mode[0] == "d" or "w" not in mode


def test_the_manifest_is_what_the_squashfs_holds(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Every line of the manifest is a file of the mounted tree, and every file has its line."""
    sealed = measure.seal(built[0])
    try:
        measure.extract(sealed, tmp_path)
        assert sealed.manifest.count(b"\n") > 900
    finally:
        sealed.close()


def test_an_altered_directory_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    """The fallback directory is compared with the sealed manifest at every start."""
    sealed = measure.seal(built[0])
    try:
        root = measure.extract(sealed, tmp_path)
        victim = root / "app/enclave.py"
        victim.chmod(0o600)
        victim.write_text(victim.read_text() + "\n# altered\n")
        with pytest.raises(HallmarkError) as refused:
            measure.extract(sealed, tmp_path)
        assert refused.value.reason == "image_directory_altered"
    finally:
        sealed.close()


def test_the_measured_copy_cannot_change(built: tuple[Path, Path]) -> None:
    """What was hashed is sealed: no write, no growth, no shrinking, and the seals cannot be undone."""
    sealed = measure.seal(built[0])
    try:
        assert fcntl.fcntl(sealed.fd, fcntl.F_GET_SEALS) & measure.SEALS == measure.SEALS
        for change in (
            lambda: os.write(sealed.fd, b"x"),
            lambda: os.ftruncate(sealed.fd, 10),
            lambda: os.ftruncate(sealed.fd, 1 << 30),
            lambda: fcntl.fcntl(sealed.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        ):
            with pytest.raises(OSError, match="not permitted"):
                change()
    finally:
        sealed.close()


def test_one_changed_byte_changes_the_measurement(built: tuple[Path, Path], tmp_path: Path) -> None:
    """A change in our own code changes PCR0 and PCR2; a change of limits changes PCR1 alone."""
    source = tmp_path / "runtime.py"
    inside = "app/lib/hallmark/services/enclave/runtime.py"
    files = image_contents.collect(Path(hallmark.__file__).parent)
    source.write_bytes(files[inside].read_bytes() + b"# one more line\n")
    image.write_image(files | {inside: source}, tmp_path / "root", tmp_path / "image")
    first = measure.inspect(built[0], machine.detect())
    changed = measure.inspect(tmp_path / "image", machine.detect())
    assert first.pcr0 != changed.pcr0
    assert first.pcr2 != changed.pcr2
    assert first.pcr1 == changed.pcr1


def test_registers_by_hand(built: tuple[Path, Path]) -> None:
    """PCR0 as docs/enclave.md computes it with sha384sum alone."""
    script = (
        f"digest=$(sha384sum {built[0]} | cut -d' ' -f1); "
        "{ head -c 48 /dev/zero; printf \"$(echo $digest | sed 's/../\\\\x&/g')\"; } | sha384sum"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == measure.inspect(built[0], machine.detect()).pcr0


@pytest.mark.skipif(machine.detect().root != SEALED, reason="needs root and loop devices")
def test_hosts_share_one_sealed_image(built: tuple[Path, Path], tmp_path: Path) -> None:
    """A host takes memory and device from another that runs, measures it itself, and outlives the giver."""
    place = tmp_path / "enclave-shared.img"
    place.write_bytes(built[0].read_bytes())
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from hallmark.services.node.shared_image import obtain\n"
        "async def main():\n"
        "    obtain(Path(sys.argv[1])).serve()\n"
        "    print('there', flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )
    giver = subprocess.Popen(
        [sys.executable, "-c", program, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert giver.stdout is not None
    assert giver.stdout.readline() == b"there\n"
    taken = shared_image.obtain(place)
    try:
        held = Path(f"/proc/{giver.pid}/fd").iterdir()
        assert os.fstat(taken.sealed.fd).st_ino in {os.stat(one).st_ino for one in held}
        assert taken.sealed.digest == measure.hashed(os.dup(taken.sealed.fd)).digest
        loop = taken.sealed.attach()
        giver.kill()
        giver.wait()
        mounted = keep_mounted(loop.path)
        assert mounted is not None
        assert os.listdir(f"/proc/self/fd/{mounted}")
        os.close(mounted)
    finally:
        taken.close()
        taken.sealed.close()
    again = shared_image.obtain(place)
    assert again.sealed.attach() is not None
    assert not list(tmp_path.glob(f"*.{giver.pid}.sock"))
    again.close()
    again.sealed.close()
    assert not list(tmp_path.glob("*.sock"))
