"""Artifacts of a few kilobytes that are real models: a tensor model and a language model of 260 byte tokens.

The language model answers every chat with `SCRIPT` when decoded greedily; a raw prompt that does not end in
a letter of the script wanders through a random table, mostly outside valid UTF-8. Its logits depend on
every earlier token.
"""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from hallmark.testing.protobuf import Array, model, node

SCRIPT = "Hé, 👋!"
SPECIALS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
END, ASSISTANT = 256, 259
VOCABULARY = 256 + len(SPECIALS)
HEAD = 8
CONTEXT = 96
TEMPLATE = (
    "{% for message in messages %}<|{{ 'user' if message['role'] == 'tool' else "
    "'system' if message['role'] == 'developer' else message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def pack(files: Mapping[str, bytes]) -> bytes:
    """A deterministic ustar of regular files: sorted names, times and owners zero."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            archive.addfile(info, io.BytesIO(files[name]))
    return buffer.getvalue()


def tensor_artifact(**changes: Any) -> bytes:
    """Scores of x (rows of 4 floats): x @ w + b, with 3 classes; `changes` go into
    model.json.
    """
    described = {
        "format": "onnx",
        "task": "classification",
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", 4], "minimum": -100, "maximum": 100}],
        "outputs": [{"name": "scores", "dtype": "float32", "shape": ["N", 3]}],
        "labels": ["a", "b", "c"],
    }
    return pack({"model.json": _json(described | changes), "model.onnx": tensor_graph()})


def tensor_graph() -> bytes:
    """The ONNX graph of `tensor_artifact`; its second output `ratio` is 1 / x and infinite where x is 0."""
    generator = np.random.default_rng(11)
    weights: dict[str, Array] = {
        "w": generator.normal(size=(4, 3)).astype(np.float32),
        "b": generator.normal(size=3).astype(np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["raw"]),
        node("Add", ["raw", "b"], ["scores"]),
        node("Reciprocal", ["x"], ["ratio"]),
    ]
    outputs = {"scores": ("float32", ("N", 3)), "ratio": ("float32", ("N", 4))}
    return model(nodes, {"x": ("float32", ("N", 4))}, outputs, weights)


def language_artifact(**changes: Any) -> bytes:
    """The language model; `changes` go into model.json."""
    return pack(language_files(**changes))


def language_files(**changes: Any) -> dict[str, bytes]:
    """The files of `language_artifact`."""
    return {
        "model.json": _json({"format": "onnxruntime-genai", "task": "chat"} | changes),
        "model.onnx": language_graph(),
        "tokenizer.json": _json(_tokenizer()),
        "tokenizer_config.json": _json(_tokenizer_config()),
        "genai_config.json": _json(_genai_config()),
    }


def language_graph() -> bytes:
    """Next-token logits: table[token] + (sum of embeddings so far) @ mix; the key-value cache carries it."""
    generator = np.random.default_rng(7)
    table = generator.normal(size=(VOCABULARY, VOCABULARY)).astype(np.float32)
    table[:, END] -= 4
    path = [ASSISTANT, *SCRIPT.encode(), END]
    for before, after in itertools.pairwise(path):
        table[before, after] = 9.0
    embedding = generator.normal(size=(VOCABULARY, HEAD)).astype(np.float32)
    mix = (generator.normal(size=(HEAD, VOCABULARY)) * 0.05).astype(np.float32)
    nodes = [
        node("Gather", ["table", "input_ids"], ["direct"]),
        node("Gather", ["embedding", "input_ids"], ["embedded"]),
        node("Unsqueeze", ["embedded", "one"], ["new"]),
        node("Concat", ["past_key_values.0.key", "new"], ["present.0.key"], axis=2),
        node("Concat", ["past_key_values.0.value", "new"], ["present.0.value"], axis=2),
        node("ReduceSum", ["present.0.key", "two"], ["sum"], keepdims=0),
        node("MatMul", ["sum", "mix"], ["history"]),
        node("Add", ["direct", "history"], ["logits"]),
    ]
    past = ("float32", ("batch", 1, "past", HEAD))
    present = ("float32", ("batch", 1, "all", HEAD))
    inputs = {
        "input_ids": ("int64", ("batch", "new")),
        "attention_mask": ("int64", ("batch", "all")),
        "past_key_values.0.key": past,
        "past_key_values.0.value": past,
    }
    outputs = {
        "logits": ("float32", ("batch", "new", VOCABULARY)),
        "present.0.key": present,
        "present.0.value": present,
    }
    constants = {"one": np.array([1], dtype=np.int64), "two": np.array([2], dtype=np.int64)}
    return model(nodes, inputs, outputs, {"table": table, "embedding": embedding, "mix": mix, **constants})


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


def _byte_characters() -> list[str]:
    """The 256 characters by which GPT-2's byte-level tokenizers write bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def _tokenizer() -> dict[str, object]:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {character: byte for byte, character in enumerate(_byte_characters())}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": 256 + n, "content": text, **flags} for n, text in enumerate(SPECIALS)]
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "unk_token": None,
            "byte_fallback": False,
            "vocab": vocabulary | {text: 256 + n for n, text in enumerate(SPECIALS)},
            "merges": [],
        },
    }


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "eos_token": SPECIALS[0],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "chat_template": TEMPLATE,
    }


def _genai_config() -> dict[str, object]:
    decoder = {
        "session_options": {"provider_options": []},
        "filename": "model.onnx",
        "head_size": HEAD,
        "hidden_size": HEAD,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "num_key_value_heads": 1,
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
    }
    return {
        "model": {
            "type": "llama",
            "bos_token_id": ASSISTANT,
            "eos_token_id": END,
            "pad_token_id": END,
            "vocab_size": VOCABULARY,
            "context_length": CONTEXT,
            "decoder": decoder,
        },
        "search": {"max_length": CONTEXT, "do_sample": False, "past_present_share_buffer": False},
    }
