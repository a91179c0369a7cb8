"""Clients that know nothing of us, unchanged: the OpenAI SDK for JavaScript, and `llm`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hallmark.services.chain.toolchain import find_node
from hallmark.testing.running import Network

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent / "node_client"


def test_the_openai_sdk_for_javascript(network: Network, tmp_path: Path) -> None:
    """Chat, streaming, models and errors; the receipt is on the answer and in the stream's last event."""
    for name in ("package.json", "package-lock.json", "ask.mjs"):
        shutil.copy(HERE / name, tmp_path)
    tools = find_node()
    path = f"{Path(tools.node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    env = {**os.environ, "PATH": path}
    subprocess.run(
        [*tools.npm, "ci", "--ignore-scripts"], cwd=tmp_path, env=env, check=True, capture_output=True
    )
    command = [str(tools.node), "ask.mjs", f"{network.gateway}/v1"]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "fifo" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["id"].startswith("0x")
    assert said["receipt"].startswith("0x")
    assert said["refusal"] == "model_not_found"
    assert {"pydoc", "digits"} <= set(said["models"])


def test_llm_on_the_command_line(network: Network, tmp_path: Path) -> None:
    """`llm -m ...` with the gateway as an OpenAI-compatible server."""
    config = f"- model_id: hallmark\n  model_name: pydoc\n  api_base: {network.gateway}/v1\n"
    config += "  api_key_name: hallmark\n"
    (tmp_path / "extra-openai-models.yaml").write_text(config)
    (tmp_path / "keys.json").write_text('{"hallmark": "unused"}')
    command = [str(Path(sys.executable).parent / "llm"), "-m", "hallmark", "What does os.mkfifo do?"]
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
    for more in ([], ["--no-stream"]):
        done = subprocess.run(
            [*command, *more], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "fifo" in done.stdout
