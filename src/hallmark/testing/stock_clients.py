"""Stock clients of OpenAI-compatible servers, unchanged, against any base URL (`http://.../v1`), each as a
process of its own: the OpenAI SDK for JavaScript, `llm`, and LiteLLM.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hallmark.services.chain.toolchain import find_node, repository_root
from hallmark.testing.stock_environments import npm_folder_of, python_of, with_node

HERE: Final = repository_root() / "tests" / "integration"
QUESTION: Final = "What does os.mkfifo do?"
PATIENCE_S: Final = 300


def openai_for_javascript(base: str) -> dict[str, Any]:
    """What `node_client/ask.mjs` says: `whole`, `id`, `streamed`, `receipt`, `refusal`, `models`."""
    folder = npm_folder_of("openai-npm", HERE / "node_client")
    found: dict[str, Any] = msgspec.json.decode(
        _output([str(find_node().node), "ask.mjs", base], env=with_node(), cwd=folder)
    )
    return found


def llm(base: str, folder: Path, *options: str) -> str:
    """What `llm -m ... QUESTION` prints. `folder` is empty, or was used with the same base before."""
    config = f"- model_id: hallmark\n  model_name: pydoc\n  api_base: {base}\n  api_key_name: hallmark\n"
    (folder / "extra-openai-models.yaml").write_text(config)
    (folder / "keys.json").write_text('{"hallmark": "unused"}')
    command = [str(Path(sys.executable).parent / "llm"), "-m", "hallmark", QUESTION, *options]
    return _output(command, env={**os.environ, "LLM_USER_PATH": str(folder)})


def litellm(base: str, *with_tools: str) -> dict[str, Any]:
    """What `litellm_client/ask.py` says: `whole`, `hallmark`, `streamed`, `refusal`; given a model with tools
    also `tool`, `tool_streamed`.
    """
    source = HERE / "litellm_client"
    command = [
        str(python_of("litellm", source / "requirements.txt")),
        str(source / "ask.py"),
        base,
        *with_tools,
    ]
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it fetches a list at its import
    found: dict[str, Any] = msgspec.json.decode(_output(command, env=env).splitlines()[-1])
    return found


def _output(command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
