"""The models that ship load in the engine and answer their own example."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hallmark.engines import load
from hallmark.engines.genai import GenAIEngine
from hallmark.engines.protocol import ChatRequest, Message, Sampling, Task
from hallmark.testing.tiny_models import pack

MODELS = Path(__file__).resolve().parents[3] / "models"


def artifact(name: str) -> bytes:
    """The tar of a model that ships; skips when it is not there."""
    folder = MODELS / name / "artifact"
    if not (folder / "model.json").is_file():
        pytest.skip(f"models/{name}/artifact is not there")
    return pack({str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})


@pytest.mark.parametrize(("name", "classes"), [("digits", 10), ("breast-cancer", 2)])
async def test_tensor_models_answer_their_example(name: str, classes: int) -> None:
    """The example's input gives a label and the probabilities behind it, and the labels have names."""
    data = artifact(name)
    engine = load(data, hashlib.sha256(data).digest())
    outputs = await engine.infer(json.loads((MODELS / name / "example.json").read_text()))
    (label,) = outputs["label"].tolist()
    shares = next(array for output, array in outputs.items() if output != "label").reshape(-1)
    assert np.isfinite(shares).all()
    assert 0 <= shares.min() <= shares.max() <= 1
    assert label == (shares.argmax() if len(shares) == classes else round(float(shares[0])))
    assert len(engine.labels) == classes  # type: ignore[attr-defined]


async def test_the_language_model_answers() -> None:
    """The shipped language model chats, within its context, twice the same."""
    data = artifact("pydoc")
    engine = load(data, hashlib.sha256(data).digest())
    assert Task.CHAT in engine.tasks
    request = ChatRequest((Message("user", "What does os.mkfifo do?"),))
    answers = [[delta async for delta in engine.generate(request, Sampling(), 0)] for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][-1].finish == "stop"
    assert len("".join(delta.text for delta in answers[0])) > 10


def test_the_sampler_agrees_with_the_engine_on_the_shipped_model() -> None:
    """At the coldest temperature our draw over the engine's logits gives the tokens of its own argmax."""
    data = artifact("pydoc")
    engine = load(data, hashlib.sha256(data).digest())
    assert isinstance(engine, GenAIEngine)
    request = ChatRequest((Message("user", "what is json.dumps for?"),))
    texts = [
        "".join(delta.text for delta in engine.steps(request, Sampling(temperature=temperature), 3))
        for temperature in (0, 1)
    ]
    assert texts[0] == texts[1] != ""
