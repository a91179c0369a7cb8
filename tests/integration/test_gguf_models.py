"""A model in GGUF, from a folder to a witnessed answer: published, opened in the sandbox, served, asked."""

from __future__ import annotations

import json
from pathlib import Path

import openai
import pytest

from hallmark import Client
from hallmark.core.errors import InvalidInput
from hallmark.hub.artifact import pack_files
from hallmark.services.node import image
from hallmark.services.node.image_contents import USUAL
from hallmark.services.node.probe import probe
from hallmark.testing import enclaves
from hallmark.testing.gguf_files import header, write_pydoc
from hallmark.testing.real_network import Network
from hallmark.testing.weights import safetensors

pytestmark = pytest.mark.integration

LABEL = "me/pydoc-gguf"
QUESTION = "What does os.mkfifo do?"
ANSWER = 'os.mkfifo: Create a "fifo" (a POSIX named pipe).'


def test_a_header_that_does_not_hold_is_refused_in_the_sandbox() -> None:
    """The probe runs the same guard as a node, and an image without llama.cpp says what is missing."""
    built = image.build(enclaves.cache(), engines=(*USUAL, "gguf"))
    about = b'{"format":"gguf","file":"m.gguf"}'

    def reason(path: Path, data: bytes) -> str:
        with pytest.raises(InvalidInput) as refused:
            probe(path, pack_files({"model.json": about, "m.gguf": data}), "gguf")
        return refused.value.reason

    assert reason(built, header(version=7)) == "gguf_version"
    assert reason(built, header(data=1)) == "gguf_truncated"
    assert reason(enclaves.usual_image(), header()) == "engine_not_installed"


def test_from_a_folder_to_a_witnessed_answer(network: Network, tmp_path: Path) -> None:
    """A stock client gets the answer whole and streamed; `model` is witnessed, the receipt verifies."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_pydoc(folder / "m.gguf")
    done = network.run("model", "publish", str(folder), "--label", LABEL, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    published = json.loads(done.stdout)
    assert "llama.cpp" in published["engine"]
    served = network.run("node", "serve", LABEL, "--node", "node-1")
    assert served.returncode == 0, served.stdout + served.stderr
    assert published["artifact"] in served.stdout

    client = openai.OpenAI(base_url=f"{network.gateway}/v1", api_key="none")
    asked = {"model": LABEL, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    assert whole.choices[0].message.content == ANSWER
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (10, 21)
    parts = client.chat.completions.create(**asked, stream=True)  # type: ignore[call-overload]
    texts = [part.choices[0].delta.content or "" for part in parts if part.choices]
    assert "".join(texts) == ANSWER
    assert len(texts) > 5

    kept = tmp_path / "receipt.json"
    with Client(home=network.home) as ours:
        answer = ours.ask(QUESTION, model=LABEL, require="witnessed", timeout=60)
        answer.receipt.save(kept)
    checked = network.run("verify", str(kept), "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["marks"]["model"]["state"] == "witnessed"
    card = network.run("model", "history", LABEL, "--json")
    assert json.loads(card.stdout)["versions"][0]["proven"] is True


def test_weights_that_no_engine_runs_are_refused_in_plain_words(network: Network, tmp_path: Path) -> None:
    """Safetensors alone can be published; serving them says what can be served."""
    (tmp_path / "w.safetensors").write_bytes(safetensors({"w": ("F32", (2, 2))}))
    done = network.run("model", "publish", str(tmp_path), "--label", "me/weights-alone")
    assert done.returncode == 0, done.stdout + done.stderr
    served = network.run("node", "serve", "me/weights-alone")
    assert served.returncode != 0
    assert "no_engine" in served.stderr
    assert {"gguf,", "onnx,"} <= set(served.stderr.split())
