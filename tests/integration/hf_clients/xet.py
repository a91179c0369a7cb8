"""Large files over xet, as `huggingface_hub` sends them by default: `xet.py REPOSITORY STEP`.

`first` publishes files that are packed in every way, `second` changes one of them (most of it is known by
then), `evil` tries a pickle. Writes what it found as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from huggingface_hub import HfApi, snapshot_download

MIB = 1 << 20


def contents(step: str) -> dict[str, bytes]:
    """Files by path: random, text, floats, halves that repeat, more than a xorb holds."""
    random = np.random.default_rng(7)
    long = random.bytes(66 * MIB)
    files = {
        "random.safetensors": random.bytes(5 * MIB + 1),
        "words.txt": b"to be or not to be, " * (MIB // 3),
        "floats.onnx": random.normal(size=2 * MIB).astype(np.float32).tobytes(),
        "twice.gguf": 2 * random.bytes(4 * MIB),
        "long.safetensors": long,
    }
    if step == "second":
        files = {
            "long.safetensors": b"changed at its beginning" + long[:-5],
            "halves.gguf": files["twice.gguf"][MIB:],
        }
    if step == "evil":
        files = {"evil.bin": b"cos\nsystem\n(S'ls'\ntR0" + b"N0" * (3 * MIB) + b"N."}
    return files


def main() -> None:
    """See the module docstring."""
    repository, step = sys.argv[1:3]
    api, folder = HfApi(), Path(tempfile.mkdtemp())
    api.create_repo(repository, exist_ok=True)
    files = contents(step)
    for path, data in files.items():
        (folder / path).write_bytes(data)
    try:
        api.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:
        print(json.dumps({"refused": f"{type(error).__name__}: {error}"}))
        return
    down = Path(snapshot_download(repository, cache_dir=folder / "cache"))
    assert all((down / path).read_bytes() == data for path, data in files.items())
    listed = {one.path: one.lfs.sha256 for one in api.list_repo_tree(repository) if one.lfs is not None}
    assert all(listed[path] == hashlib.sha256(data).hexdigest() for path, data in files.items())
    print(json.dumps({"files": sorted(listed), "xet": "HF_HUB_DISABLE_XET" not in os.environ}))


if __name__ == "__main__":
    main()
