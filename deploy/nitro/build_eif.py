"""Makes an EIF from an enclave image, without Docker: two deterministic ramdisks, then AWS's `eif_build`.

    python deploy/nitro/build_eif.py --image IMAGE --blobs /usr/share/nitro_enclaves/blobs --out node.eif

The ramdisks are built and tested here; that an enclave boots from them is UNTESTED ON HARDWARE. Ramdisk 1 is
AWS's `init` and `nsm.ko` (it inserts the module, mounts, tells the hypervisor that it lives, then changes
root to /rootfs and runs /cmd with /env). Ramdisk 2 is our image under /rootfs with `cmd` and `env` beside it.
The same image gives the same ramdisks, so PCR2 can be recomputed by anybody who has the image.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from hallmark.services.node import measure

COMMAND = "/usr/bin/python3\n-I\n-S\n-B\n-X\nutf8\n/app/enclave.py\n--vsock\n"
KERNEL_LINE = (
    "reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"
)


def cpio(tree: list[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive (newc) of (path, mode, content): sorted, owner 0, time 0, numbered from 1."""
    parts = []
    for number, (name, mode, content) in enumerate([*sorted(tree), ("TRAILER!!!", 0, b"")], 1):
        path = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        parts += (head, bytes(-len(head) % 4), content, bytes(-len(content) % 4))
    return b"".join(parts)


def compressed(data: bytes) -> bytes:
    """As gzip, without a time or a name."""
    return gzip.compress(data, 9, mtime=0)


def directories(tree: list[tuple[str, int, bytes]]) -> list[tuple[str, int, bytes]]:
    """Entries for every parent directory of `tree`."""
    found = {str(parent) for name, _, _ in tree for parent in Path(name).parents} - {"."}
    return [(name, stat.S_IFDIR | 0o755, b"") for name in found]


def bootstrap(blobs: Path) -> bytes:
    """Ramdisk 1 from AWS's blobs."""
    tree = [(name, stat.S_IFREG | 0o755, (blobs / name).read_bytes()) for name in ("init", "nsm.ko")]
    tree += [(name, stat.S_IFDIR | 0o755, b"") for name in ("dev", "proc", "run", "sys", "tmp", "rootfs")]
    return compressed(cpio(tree))


def application(root: Path) -> bytes:
    """Ramdisk 2 from the extracted image."""
    tree = [
        (
            f"rootfs/{path.relative_to(root)}",
            stat.S_IFREG | stat.S_IMODE(path.stat().st_mode),
            path.read_bytes(),
        )
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] != "dev"
    ]
    tree += [("cmd", stat.S_IFREG | 0o644, COMMAND.encode()), ("env", stat.S_IFREG | 0o644, b"")]
    empty = [(f"rootfs/{name}", stat.S_IFDIR | 0o755, b"") for name in ("dev", "proc", "run", "sys", "tmp")]
    return compressed(cpio([*tree, *directories(tree), *empty]))


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--blobs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tool = shutil.which("eif_build")
    if tool is None:
        parser.exit(1, "eif_build is missing: cargo install aws-nitro-enclaves-image-format\n")
    with tempfile.TemporaryDirectory() as scratch:
        sealed = measure.seal(options.image)
        root = measure.extract(sealed, Path(scratch))
        disks = [Path(scratch) / "boot.gz", Path(scratch) / "application.gz"]
        disks[0].write_bytes(bootstrap(options.blobs))
        disks[1].write_bytes(application(root))
        command = [tool, "--kernel", str(options.blobs / "bzImage"), "--cmdline", KERNEL_LINE]
        command += ["--kernel_config", str(options.blobs / "bzImage.config")]
        for disk in disks:
            command += ["--ramdisk", str(disk)]
        subprocess.run([*command, "--output", str(options.out)], check=True, env=os.environ)


if __name__ == "__main__":
    main()
