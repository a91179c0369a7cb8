"""Language models in GGUF, through llama.cpp, where the extra `llamacpp` is installed.

Held still: one thread, no flash attention, a cache in float32, one sequence and one context for an answer,
the same steps for the same prompt. Tokens are chosen by us (see `sampling`), greedy ones too. The header goes
through `core.gguf` before the library sees a byte of the file.

The chat template is the file's own, a program in Jinja's language: it runs in Jinja's sandbox, which lets it
reach nothing, but it can take long; it is the word of whoever published the model.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hallmark.core.errors import InvalidInput
from hallmark.core.gguf import MAGIC, GGUFHeader, read_gguf
from hallmark.engines import llama_library
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
    unsupported,
)
from hallmark.engines.sampling import choose, uniform
from hallmark.engines.stepper import Stepper
from hallmark.engines.text import ByteDetokenizer

FLAGS: Final = ("threads=1", "flash_attn=off", "cache=f32", "n_batch=512", "batching=none", "sampler=v1")
MOST_CONTEXT: Final = 1 << 17
STEP: Final = 256
"""Contexts are made for a multiple of so many tokens."""


def describe() -> Description:
    """What the bits of any model in this engine depend on. Raises Unavailable `engine_not_installed`."""
    return Description("llama.cpp/xllamacpp", llama_library.version(), FLAGS, processor_class())


class GGUFEngine(SteppedEngine):
    """A language model with its tokenizer and chat template. `context` is its context length in tokens."""

    def __init__(self, artifact: Artifact, stepper: Stepper, scratch: Path) -> None:
        """Load the model through a private folder under `scratch` that is gone afterwards.

        Raises InvalidInput `bad_artifact` and what `read_gguf` raises; Unavailable `engine_not_installed`.
        """
        data = _weights(artifact)
        header = read_gguf(data)
        self.facts = header.facts()
        self.context = min(header.context, MOST_CONTEXT)
        super().__init__(stepper)
        folder = Path(tempfile.mkdtemp(prefix="model-", dir=scratch))
        try:
            path = folder / "model.gguf"
            path.write_bytes(data)
            self._model = llama_library.Llama(path)
        finally:
            shutil.rmtree(folder)
        table = {token: self._model.piece(token) for token in range(self._model.size)}
        marks = [self._model.text(one) for one in range(self._model.size) if self._model.mark(one)]
        tokenizer = _Tokenizer(self._model, header)
        self._table = table
        self._prompter = Prompter(tokenizer, table, marks, has_template=bool(header.template))
        self.tasks = frozenset({Task.COMPLETION, Task.CHAT} if header.template else {Task.COMPLETION})

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
        yield from steps(
            tokens, self._model.ends, ByteDetokenizer(self._table), sampling.stop, (len(prompt), budget)
        )

    def _tokens(
        self, prompt: Array, budget: int, sampling: Sampling, seed: int
    ) -> Generator[int, None, None]:
        context = self._model.context(-(-(len(prompt) + budget) // STEP) * STEP)
        try:
            logits = context.add([int(one) for one in prompt])
            for step in range(budget):
                token = choose(logits, sampling, uniform(seed, step))
                yield token
                if step + 1 < budget:
                    logits = context.add([token])
        finally:
            context.close()


class _Tokenizer:
    """What `prompt.Tokenizer` asks for."""

    def __init__(self, model: llama_library.Llama, header: GGUFHeader) -> None:
        self._model, template = model, header.template
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(template) if template else None
        except Exception as error:  # Python's own too: SyntaxError, RecursionError, ValueError of a number
            raise InvalidInput("bad_artifact", "The artifact's chat template cannot be read.") from error
        self._marks = {
            f"{name}_token": model.text(header.values[key]) if key in header.values else ""
            for name, key in (
                ("bos", "tokenizer.ggml.bos_token_id"),
                ("eos", "tokenizer.ggml.eos_token_id"),
            )
        }

    def encode(self, text: str) -> Array:
        """Token ids of a text, marks recognised."""
        return self._model.tokens(text)

    def apply_chat_template(self, *, messages: str, add_generation_prompt: bool) -> str:
        """The template applied to messages in JSON."""
        if self._template is None:
            raise unsupported(Task.CHAT)
        known: dict[str, Any] = {"messages": json.loads(messages), **self._marks}
        return self._template.render(add_generation_prompt=add_generation_prompt, **known)


def _refuse(message: object) -> None:
    raise TemplateError(str(message)[:200])


def _weights(artifact: Artifact) -> bytes:
    """The one GGUF file of an artifact. Raises InvalidInput `gguf_unsupported`."""
    named = artifact.files.get(artifact.model.file, b"") if artifact.model.file else b""
    found = [data for data in artifact.files.values() if data.startswith(MAGIC)]
    if len(found) != 1 or (artifact.model.file and named != found[0]):
        raise InvalidInput(
            "gguf_unsupported", "The artifact has not exactly one GGUF file.", "Publish one file a model."
        )
    return found[0]
