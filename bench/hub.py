"""What blobs and models cost: blob IDs beside Mysten's own encoder, slivers, a store's throughput and memory,
a model's cold start by size, searching among many.

    python bench/hub.py [--long 1024] [--models 100000] [--json FILE]

Blob IDs of 1, 64 and 256 MiB for 1,000 shards, by this project and by the published WebAssembly encoder
(@mysten/walrus-wasm), each in a process of its own, one after the other, and compared. Then one blob store,
as `hallmark hub` starts it: blobs put and got over loopback, the longest of `--long` MiB, with the SHA-256 of
the same file beside it. Its peak memory is the kernel's `VmHWM`; what computes an ID is a process beside it,
whose memory is that of the first table. Slivers: a blob encoded into all of them, beside its ID alone;
decoded of the 334 source rows and of 334 rows that are none of them; slivers checked as a storage node does;
one sliver made of others' symbols; a node's 143 pairs made again of the whole blob. Then tensor models, each
loaded in a fresh process: digest checked, graph opened, first answer. Then searches among so many models
(`hub_search`). Nothing is downloaded but the encoder, once.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import hub_search

from hallmark.hub.artifact import pack_files
from hallmark.services.chain.toolchain import find_node
from hallmark.testing.ports import free_port
from hallmark.testing.stock_environments import npm_folder_of
from hallmark.testing.stock_walrus import CLIENTS

MIB: Final = 1 << 20
ID_SIZES: Final = (1, 64, 256)
SLIVER_SIZES: Final = (1, 64)
MODEL_SIZES: Final = (1, 64, 256)
PATIENCE_S: Final = 600
SEARCHES: Final = 2_000
PEAK: Final = """
print(next(int(l.split()[1]) >> 10 for l in open("/proc/self/status") if l.startswith("VmHWM")))
"""
"""What a program says of itself: a child's `ru_maxrss` begins with what its parent had held."""
OURS: Final = """
import sys, time
from pathlib import Path
from hallmark.core.blob_ids import blob_text
from hallmark.hub.walrus import blob_id_of_file
began = time.perf_counter()
print(blob_text(blob_id_of_file(Path(sys.argv[1]))), time.perf_counter() - began)
"""
THEIRS: Final = """
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const { BlobEncoder } = createRequire(process.argv[2])("@mysten/walrus-wasm");
const data = readFileSync(process.argv[3]);
const began = performance.now();
const [id] = new BlobEncoder(1000).compute_metadata(data);
console.log(Buffer.from(id).toString("base64url"), (performance.now() - began) / 1000);
console.log(Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) >> 10);
"""
SLIVERS: Final = """
import os, sys, tempfile, time
from pathlib import Path
from hallmark.hub.blob_metadata import Kind
from hallmark.hub.sliver_file import encode_slivers
from hallmark.hub.slivers import (
    line_of, pair_size, prove_symbols, recover_sliver, restore_rows, sliver_size, verify_sliver, verify_symbol
)
from hallmark.hub.walrus import FileSource, blob_id_of_file
N, SOURCE = 1000, Path(sys.argv[1])
length, file = SOURCE.stat().st_size, SOURCE.open("rb")
def timed(work):
    began = time.perf_counter()
    result = work()
    print(time.perf_counter() - began)
    return result
out = tempfile.TemporaryFile()
identifier = timed(lambda: blob_id_of_file(SOURCE))
metadata = timed(lambda: encode_slivers(FileSource(file.fileno()), length, out.fileno(), range(N), shards=N))
assert metadata.blob_id == identifier
shape = metadata.shape
wide, each = sliver_size(shape, Kind.PRIMARY), pair_size(shape)
def sliver(pair, kind):
    size = sliver_size(shape, kind)
    return os.pread(out.fileno(), size, pair * each + (wide if kind is Kind.SECONDARY else 0))
def decode(rows):
    group = max(1, (8 << 20) // (N * shape.symbol))
    for first in range(0, shape.columns, group):
        count = min(group, shape.columns - first)
        at, size = first * shape.symbol, count * shape.symbol
        parts = {row: os.pread(out.fileno(), size, row * each + at) for row in rows}
        found = restore_rows(shape, parts, 0, count)
    return found
assert decode(range(shape.rows)) == timed(lambda: decode(range(shape.rows)))
assert decode(range(shape.rows)) == timed(lambda: decode(range(N - shape.rows, N)))
some = [(pair, kind) for pair in range(20) for kind in Kind]
timed(lambda: [verify_sliver(metadata, *one, sliver(*one)) for one in some])
def symbols():
    found = {}
    for other in range(1, shape.columns + 1):
        (one,) = prove_symbols(shape, Kind.SECONDARY, sliver(other, Kind.SECONDARY), (0,))
        found[other] = verify_symbol(shape, metadata.root_of(other, Kind.SECONDARY), 0, one)
    return found
found = symbols()
assert timed(lambda: recover_sliver(metadata, 0, Kind.PRIMARY, found)) == sliver(0, Kind.PRIMARY)
again = tempfile.TemporaryFile()
timed(lambda: encode_slivers(FileSource(file.fileno()), length, again.fileno(), range(143), shards=N))
"""
LOADS: Final = """
import asyncio, sys, time
from pathlib import Path
import onnxruntime
from hallmark.engines import load
began = time.perf_counter()
engine = load(Path(sys.argv[1]).read_bytes(), bytes.fromhex(sys.argv[2]))
loaded = time.perf_counter()
asyncio.run(engine.infer({"index": [3]}))
print(loaded - began, time.perf_counter() - loaded)
"""


def run(argv: list[str]) -> tuple[list[str], dict[str, float]]:
    """What a program prints, and its wall seconds, processor seconds and peak memory (MiB, which it prints
    last), all of it.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        out.seek(0)
        said = out.read().decode().split()
    if process.returncode:
        said = ["0"]
    return said[:-1], {
        "wall_s": round(wall, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": int(said[-1]),
    }


def a_file(folder: Path, mib: int) -> Path:
    """A file of so many mebibytes that nobody can compress."""
    path = folder / f"{mib}.bin"
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
    return path


def blob_ids(folder: Path) -> list[dict[str, Any]]:
    """Both encoders over the same files. What one cannot do is said, not left out."""
    script = folder / "theirs.mjs"
    script.write_text(THEIRS)
    anchor = npm_folder_of("walrus-npm", CLIENTS, ["--legacy-peer-deps"]) / "package.json"
    rows = []
    for mib in ID_SIZES:
        path = str(a_file(folder, mib))
        ours, mine = run([sys.executable, "-c", OURS + PEAK, path])
        theirs, wasm = run([str(find_node().node), str(script), str(anchor), path])
        assert not theirs or ours[0] == theirs[0], "the encoders do not agree"
        rows.append(
            {
                "mib": mib,
                "ours": {**mine, "encoding_s": round(float(ours[1]), 2)},
                "wasm": {**wasm, "encoding_s": round(float(theirs[1]), 2)} if theirs else "failed",
            }
        )
    return rows


def slivers(folder: Path) -> list[dict[str, Any]]:
    """What is done with slivers, in MiB of the blob a second, or milliseconds for one sliver."""
    rows = []
    for mib in SLIVER_SIZES:
        said, used = run([sys.executable, "-c", SLIVERS + PEAK, str(a_file(folder, mib))])
        identified, encoded, straight, decoded, checked, recovered, again = map(float, said)
        rows.append(
            {
                "mib": mib,
                "id_s": round(identified, 2),
                "encode_s": round(encoded, 2),
                "encode_mib_s": round(mib / encoded, 1),
                "read_mib_s": round(mib / straight, 1),
                "decode_mib_s": round(mib / decoded, 1),
                "check_ms": round(1000 * checked / 40, 2),
                "recover_ms": round(1000 * recovered, 2),
                "node_repair_mib_s": round(mib / (decoded + again), 1),
                "peak_mib": used["peak_mib"],
            }
        )
    return rows


@contextlib.contextmanager
def store(folder: Path) -> Iterator[tuple[str, int]]:
    """A blob store that runs inside the block: its URL and its process."""
    port, settings = free_port(), folder / "hub.json"
    document = {
        "listen": {"port": port},
        "directory": str(folder / "blobs"),
        "database": f"sqlite:///{folder}/objects.db",
        "anonymous": True,
    }
    settings.write_text(json.dumps(document))
    command = [str(Path(sys.executable).parent / "hallmark"), "hub", "--config", str(settings)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urlopen(f"{url}/status", timeout=5):
                    break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def peak_mib(pid: int) -> int:
    """The most that a process has held in memory so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("the kernel does not say")


def fetch(url: str) -> tuple[float, float]:
    """Seconds to the first and to the last byte."""
    began = time.perf_counter()
    with urlopen(url, timeout=PATIENCE_S) as answer:
        first = 0.0
        while answer.read(MIB):
            first = first or time.perf_counter() - began
    return first, time.perf_counter() - began


def throughput(folder: Path, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Put, get, and get with the strict check, by size."""
    rows = []
    with store(folder) as (url, pid):
        rest = peak_mib(pid)
        for mib in sizes:
            path = a_file(folder, mib)
            began = time.perf_counter()
            hashlib.sha256(path.read_bytes()).digest()
            digest = time.perf_counter() - began
            with path.open("rb") as file:
                headers = {"content-length": str(path.stat().st_size)}
                began = time.perf_counter()
                with urlopen(
                    Request(f"{url}/v1/blobs", file, headers, method="PUT"), timeout=PATIENCE_S
                ) as said:
                    made = json.load(said)
                put = time.perf_counter() - began
            name = made["newlyCreated"]["blobObject"]["blobId"]
            _, got = fetch(f"{url}/v1/blobs/{name}")
            strict, _ = fetch(f"{url}/v1/blobs/{name}?strict_consistency_check=true")
            rows.append(
                {
                    "mib": mib,
                    "put_mib_s": round(mib / put, 1),
                    "get_mib_s": round(mib / got, 1),
                    "sha256_mib_s": round(mib / digest, 1),
                    "strict_first_byte_s": round(strict, 2),
                    "store_peak_mib": peak_mib(pid),
                    "store_at_rest_mib": rest,
                }
            )
    return rows


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """Base 128, least first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tensor_info(name: bytes, kind: int) -> bytes:
    """A vector of one number, as ONNX describes it (`ValueInfoProto`)."""
    shape = field(1, field(1, 1))
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def model(mib: int) -> bytes:
    """An ONNX model that looks one number up in a table of so many mebibytes."""
    table = field(1, mib * MIB // 4) + field(2, 1) + field(8, b"table") + field(9, os.urandom(MIB) * mib)
    node = field(1, b"table") + field(1, b"index") + field(2, b"found") + field(4, b"Gather")
    graph = field(1, node) + field(2, b"lookup") + field(5, table)
    graph += field(11, tensor_info(b"index", 7)) + field(12, tensor_info(b"found", 1))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def cold_starts(folder: Path) -> list[dict[str, Any]]:
    """From a packed artifact on disk to the first answer, in a fresh process; imports are not counted."""
    rows = []
    for mib in MODEL_SIZES:
        described = {"format": "onnx", "file": "model.onnx"}
        packed = pack_files({"model.json": json.dumps(described).encode(), "model.onnx": model(mib)})
        path = folder / f"model-{mib}.tar"
        path.write_bytes(packed)
        said, used = run([sys.executable, "-c", LOADS + PEAK, str(path), hashlib.sha256(packed).hexdigest()])
        load, first = map(float, said)
        rows.append({"mib": mib, "load_s": round(load, 3), "first_answer_s": round(first, 3), **used})
        path.unlink()
    return rows


def table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows under their names."""
    flat = [
        {
            f"{name} {inner}" if inner else name: value
            for name, given in row.items()
            for inner, value in (given.items() if isinstance(given, dict) else [("", given)])
        }
        for row in rows
    ]
    names = list(dict.fromkeys(name for row in flat for name in row))
    print(f"\n{title}\n" + "  ".join(f"{name:>20}" for name in names))
    for row in flat:
        print("  ".join(f"{row.get(name, '-')!s:>20}" for name in names))


def main() -> None:
    """Measure, print, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--long", type=int, default=1024, help="MiB of the longest blob")
    parser.add_argument("--models", type=int, default=100_000, help="labels that are searched")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as where:
        folder = Path(where)
        found = {
            "blob_ids": blob_ids(folder),
            "slivers": slivers(folder),
            "store": throughput(folder, tuple(sorted({*ID_SIZES, asked.long}))),
            "cold_start": cold_starts(folder),
            "search": hub_search.measured(asked.models, SEARCHES),
        }
    for title, rows in found.items():
        table(title, rows)
    print(f"\nload average {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    if asked.json:
        asked.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
