"""Hugging Face's own tools for tests, in an environment with a cache and a token of their own."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Final

from hallmark.services.chain.toolchain import repository_root
from hallmark.testing.stock_environments import python_of

CLIENTS: Final = repository_root() / "tests" / "integration" / "hf_clients"
PATIENCE_S: Final = 300


async def huggingface(script: str, url: str, home: Path, *arguments: str, **more: str) -> Any:
    """What a script of `hf_clients` writes as JSON, run against the hub at `url`; `more` are variables of its
    environment.
    """
    python = await asyncio.to_thread(python_of, "hf-py", CLIENTS / "requirements.txt")
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(CLIENTS / script),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": url,
            "HF_TOKEN": "the-publisher",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            **more,
        },
    )
    try:
        out, told = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, told.decode()[-4000:]
    return json.loads(out.decode().strip().rpartition("\n")[2])
