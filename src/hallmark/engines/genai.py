"""The embedded language model, through onnxruntime-genai.

Held still, as in the tensor engine: one thread, no spinning, the extended optimisation level, one sequence
at a time. Greedy decoding is the engine's own argmax and repeats bit for bit; sampling is ours (see
`sampling`), so that a seed of 64 bits in the receipt says everything about the draw.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime_genai as og

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.engines.artifact import Artifact
from hallmark.engines.generation import SteppedEngine, room_for, steps
from hallmark.engines.processor import processor_class
from hallmark.engines.prompt import Prompter
from hallmark.engines.protocol import (
    Array,
    ChatRequest,
    CompletionRequest,
    Delta,
    Description,
    Sampling,
    Task,
)
from hallmark.engines.sampling import choose, uniform
from hallmark.engines.stepper import Stepper
from hallmark.engines.text import ByteDetokenizer, Detokenizer, WindowDetokenizer

FLAGS: Final = ("threads=1", "optimization=extended", "batching=none", "sampler=v1")
OVERLAY: Final = {
    "intra_op_num_threads": 1,
    "inter_op_num_threads": 1,
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
    "graph_optimization_level": "ORT_ENABLE_EXTENDED",
    "log_severity_level": 4,
}
CONFIG_FILE: Final = "genai_config.json"


def describe() -> Description:
    """What the bits of any model in this engine depend on."""
    return Description("onnxruntime-genai", og.__version__, FLAGS, processor_class())


class GenAIEngine(SteppedEngine):
    """A language model with its tokenizer and chat template. `context` is its context length in tokens."""

    def __init__(self, artifact: Artifact, stepper: Stepper, scratch: Path) -> None:
        """Load the model through a private folder under `scratch` that is gone afterwards.

        Raises InvalidInput `bad_artifact` when the files cannot be loaded.
        """
        og.disable_telemetry_events()
        super().__init__(stepper)
        folder = Path(tempfile.mkdtemp(prefix="model-", dir=scratch))
        try:
            self._load(artifact, folder)
        except HallmarkError:
            raise
        except Exception as error:  # the library raises its own classes, which it does not export
            raise InvalidInput("bad_artifact", "The artifact's language model cannot be loaded.") from error
        finally:
            shutil.rmtree(folder)
        self.tasks = frozenset(
            {Task.COMPLETION, Task.CHAT} if self._prompter.has_template else {Task.COMPLETION}
        )

    def _load(self, artifact: Artifact, folder: Path) -> None:
        for name, content in artifact.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            self.context = int(json.loads(artifact.files[CONFIG_FILE])["model"]["context_length"])
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInput("bad_artifact", f"The artifact's {CONFIG_FILE} cannot be read.") from error
        config = og.Config(str(folder))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": OVERLAY}}}))
        self._model = og.Model(config)
        self._tokenizer = og.Tokenizer(self._model)
        self._ends = frozenset(int(token) for token in self._tokenizer.eos_token_ids)
        self._prompter = Prompter.from_files(self._tokenizer, artifact.files)

    def describe(self) -> Description:
        """See `Engine.describe`."""
        return describe()

    def steps(
        self, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int
    ) -> Generator[Delta, None, None]:
        """The answer, one token a step; what `generate` runs on a thread."""
        prompt = self._prompter.encode(request)
        budget = room_for(self.context, len(prompt), sampling.max_tokens)
        tokens = self._tokens(prompt, budget, sampling, seed)
        lengths = (len(prompt), budget)
        yield from steps(tokens, self._ends.__contains__, self._detokenizer(), sampling.stop, lengths)

    def _detokenizer(self) -> Detokenizer:
        table = self._prompter.table
        return ByteDetokenizer(table) if table else WindowDetokenizer(self._tokenizer.decode)

    def _tokens(
        self, prompt: Array, budget: int, sampling: Sampling, seed: int
    ) -> Generator[int, None, None]:
        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(
            max_length=len(prompt) + budget,
            min_length=0,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
        )
        generator = og.Generator(self._model, parameters)
        generator.append_tokens(prompt)
        for step in range(budget):
            if sampling.temperature == 0:
                generator.generate_next_token()
                yield int(generator.get_next_tokens()[0])
            else:
                logits = np.asarray(generator.get_logits(), dtype=np.float32)
                token = choose(logits.reshape(-1, logits.shape[-1])[-1], sampling, uniform(seed, step))
                yield token
                if step + 1 < budget:
                    generator.append_tokens(np.array([token], dtype=np.int32))
