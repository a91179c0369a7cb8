"""Make the integer-exact artifact of a shipped model from its float artifact.

    python models/exact.py pydoc|digits|breast-cancer [--out FOLDER]

writes FOLDER/artifact (model.json, exact.json, weights.safetensors and, for pydoc, tokenizer.json) and the
card beside it. The same float artifact gives the same bytes on every processor: weights are multiplied,
divided and rounded by single operations that IEEE 754 fixes, tables of functions are computed in decimal
with 40 digits. Needs numpy and this repository; nothing is downloaded and nothing is trained.
"""

from __future__ import annotations

import argparse
import json
from decimal import Context, Decimal
from pathlib import Path

import numpy as np
from onnx_graph import Graph, read_graph

from hallmark.core.safetensors import StoredTensor, write_tensors
from hallmark.hub.artifact import pack_files

HERE = Path(__file__).resolve().parent
FORMAT = "integer-exact"
ONE = 1 << 14
TABLE = 1 << 20
LOG2_E = 1.4426950408889634
MOST = 32_767
MOST_SHIFT = 24
PRECISE = Context(prec=40)
TYPES = {"uint8": "U8", "int16": "I16", "int32": "I32"}
TEMPLATE_MARKS = {
    "system": "<|system|>",
    "developer": "<|system|>",
    "user": "<|user|>",
    "assistant": "<|assistant|>",
}
KNOWN_TEMPLATE = (
    "{%- for message in messages -%}{%- if message['role'] == 'assistant' -%}{{ '<|assistant|>' }}"
    "{%- elif message['role'] == 'system' or message['role'] == 'developer' -%}{{ '<|system|>' }}"
    "{%- else -%}{{ '<|user|>' }}{%- endif -%}{{ message['content'] | trim }}{{ '<|end|>' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
Values = dict[str, np.ndarray]


def exp2_table() -> np.ndarray:
    """2^-(i/4096) in units of 2^-20, for i below 4096."""
    two = PRECISE.ln(Decimal(2))
    steps = (PRECISE.exp(-two * Decimal(i) / 4096) * TABLE for i in range(4096))
    return np.array([int(value.to_integral_value()) for value in steps], np.int32)


def sigmoid_table() -> np.ndarray:
    """1 / (1 + e^-x) in units of 2^-20, for x from -16 in steps of 2^-11."""
    made = []
    for step in range(-32768, 32768):
        value = TABLE / (1 + PRECISE.exp(Decimal(-step) / 2048))
        made.append(int(value.to_integral_value()))
    return np.array(made, np.int32)


def matrix(values: Values, name: str, weights: np.ndarray, *, units: int = 0) -> None:
    """Put in weights as int16, each column by the greatest power of two that fits (2^`units` on top)."""
    largest = np.maximum(np.abs(weights).max(axis=0), 2.0**-60)
    shift = np.clip(14 - np.frexp(largest)[1], 0, MOST_SHIFT)
    shift += np.abs(np.rint(np.ldexp(weights, shift + 1))).max(axis=0) <= MOST
    shift = np.minimum(shift, MOST_SHIFT)
    scaled = np.rint(np.ldexp(weights, shift))
    if np.abs(scaled).max() > MOST:
        raise SystemExit(f"{name} has weights that do not fit 16 bits")
    values[name], values[f"{name}.shift"] = scaled.astype(np.int16), (shift + units).astype(np.uint8)


def rounded(values: np.ndarray, one: float = ONE) -> np.ndarray:
    """Values in units of 1 / `one`, as int32."""
    return np.rint(values.astype(np.float64) * one).astype(np.int32)


def floats(graph: Graph) -> Values:
    """The graph's values as float64, which holds each of them."""
    return {name: one.astype(np.float64) for name, one in graph.values.items()}


def language(folder: Path) -> dict[str, bytes]:
    """The files of a language model's integer-exact artifact."""
    graph = read_graph((folder / "model.onnx").read_bytes())
    config = json.loads((folder / "genai_config.json").read_text())["model"]
    decoder, weights = config["decoder"], floats(graph)
    width, heads = decoder["hidden_size"], decoder["num_attention_heads"]
    turn = LOG2_E / float(np.sqrt(np.float64(width // heads)))
    values: Values = {"exp2": exp2_table(), "sigmoid": sigmoid_table()}
    for number in range(decoder["num_hidden_layers"]):
        of, to = f"model.layers.{number}", f"layers.{number}"
        gain = weights[f"{of}.input_layernorm.weight"][:, None]
        qkv = weights[f"{of}.attn.qkv_proj.MatMul.weight"] * gain
        qkv[:, :width] *= turn
        matrix(values, f"{to}.qkv", qkv)
        matrix(values, f"{to}.out", weights[f"{of}.attn.o_proj.MatMul.weight"])
        gates = [weights[f"{of}.mlp.{part}_proj.MatMul.weight"] for part in ("gate", "up")]
        gain = weights[f"{of}.post_attention_layernorm.weight"][:, None]
        matrix(values, f"{to}.gate_up", np.concatenate(gates, axis=1) * gain)
        matrix(values, f"{to}.down", weights[f"{of}.mlp.down_proj.MatMul.weight"])
    gain = weights[f"model.layers.{decoder['num_hidden_layers']}.final_norm_layernorm.weight"][:, None]
    matrix(values, "head", weights["lm_head.MatMul.weight"] * gain)
    values["embedding"] = rounded(np.ascontiguousarray(weights["lm_head.MatMul.weight"].T))
    for name in ("cosine", "sine"):
        table = weights[f"{name[:3]}_cache"][: config["context_length"]]
        values[name] = rounded(table).astype(np.int16)
    hidden = graph.values["model.layers.0.mlp.gate_proj.MatMul.weight"].shape[1]
    shape = {
        "layers": decoder["num_hidden_layers"], "width": width, "heads": heads, "hidden": hidden,
        "vocabulary": config["vocab_size"], "context": config["context_length"],
        "epsilon": epsilon(graph), "ends": [config["eos_token_id"]],
    }  # fmt: skip
    exact = {"version": 1, "model": shape, "chat": chat_marks(folder)}
    model = {"format": FORMAT, "task": "chat", "context": config["context_length"]}
    kept = {"tokenizer.json": (folder / "tokenizer.json").read_bytes()}
    return kept | files(model, exact, values)


def epsilon(graph: Graph) -> int:
    """The norms' epsilon in units of 2^-28; all norms have the same."""
    found = {
        node.attributes["epsilon"]
        for node in graph.nodes
        if node.operation.endswith("SimplifiedLayerNormalization")
    }
    (single,) = found
    return int(np.rint(np.float64(single) * 2**28))  # type: ignore[arg-type]


def chat_marks(folder: Path) -> dict[str, object]:
    """The chat template as tokens; only the one template that these marks say is converted."""
    template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    if template != KNOWN_TEMPLATE:
        raise SystemExit("this chat template is not one that exact.json can say")
    added = {
        t["content"]: t["id"] for t in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    }
    roles = {role: added[mark] for role, mark in TEMPLATE_MARKS.items()}
    return {"roles": roles, "end": added["<|end|>"], "opens": added["<|assistant|>"]}


def digits(folder: Path) -> dict[str, bytes]:
    """The files of digits' integer-exact artifact."""
    weights = floats(read_graph((folder / "model.onnx").read_bytes()))
    values: Values = {"exp2": exp2_table(), "sigmoid": sigmoid_table()}
    values["input.shift"] = np.full(64, 128 + 10, np.uint8)  # 0..16 in units of 2^-10 is 0..1 of 2^-14
    for name in ("first", "second"):
        kernel = weights[f"{name}_weight"]
        matrix(values, name, np.ascontiguousarray(kernel.reshape(len(kernel), -1).T))
    matrix(values, "last", weights["last_weight"])
    for name in ("first", "second", "last"):
        values[f"{name}.bias"] = rounded(weights[f"{name}_bias"])
    stages = [
        {"kind": "conv", "name": "first", "inputs": 1, "outputs": 16, "size": 8, "relu": True},
        {"kind": "conv", "name": "second", "inputs": 16, "outputs": 32, "size": 8, "relu": True},
        {"kind": "pool", "name": "pooled", "inputs": 32, "outputs": 32, "size": 8},
        {"kind": "linear", "name": "last", "inputs": 512, "outputs": 10},
    ]
    exact = {"version": 1, "input": "image", "width": 64, "stages": stages, "ends": "softmax"}
    return files(described(folder), exact, values)


def breast_cancer(folder: Path) -> dict[str, bytes]:
    """The files of breast-cancer's integer-exact artifact: the standardisation is within the weights."""
    weights = floats(read_graph((folder / "model.onnx").read_bytes()))
    slopes = weights["weight"][:, 0] / weights["scale"]
    units = 34  # sums are in units of 2^-34; each column's integers are 14 bits of its slope
    shift = units - 14 + np.frexp(slopes)[1]
    values: Values = {"exp2": exp2_table(), "sigmoid": sigmoid_table()}
    values["input.shift"] = (shift + 128).astype(np.uint8)
    integers = np.rint(np.ldexp(slopes, units - shift))
    values["score"] = integers.astype(np.int16)[:, None]
    values["score.shift"] = np.array([units - 14], np.uint8)
    offset = weights["bias"][0]
    for slope, mean in zip(slopes, weights["mean"], strict=True):  # one by one: no order to choose
        offset -= slope * mean
    values["score.bias"] = rounded(np.array([offset]))
    stages = [{"kind": "linear", "name": "score", "inputs": 30, "outputs": 1}]
    exact = {"version": 1, "input": "features", "width": 30, "stages": stages, "ends": "sigmoid"}
    return files(described(folder), exact, values)


def described(folder: Path) -> dict[str, object]:
    """model.json of a tensor model, with the other format."""
    return json.loads((folder / "model.json").read_text()) | {"format": FORMAT}


def files(model: dict[str, object], exact: dict[str, object], values: Values) -> dict[str, bytes]:
    """An artifact's files of these."""
    stored = {
        name: StoredTensor(
            TYPES[one.dtype.name], one.shape, one.astype(one.dtype.newbyteorder("<")).tobytes()
        )
        for name, one in values.items()
    }
    texts = {"model.json": model, "exact.json": exact}
    made = {name: (json.dumps(value, indent=2) + "\n").encode() for name, value in texts.items()}
    return made | {"weights.safetensors": write_tensors(stored)}


MAKERS = {"pydoc": language, "digits": digits, "breast-cancer": breast_cancer}


def convert(name: str) -> dict[str, bytes]:
    """The files of a shipped model's integer-exact artifact."""
    return MAKERS[name](HERE / name / "artifact")


def write(name: str, out: Path) -> Path:
    """Write the artifact's files and the card into artifact/ below `out`."""
    (out / "artifact").mkdir(parents=True, exist_ok=True)
    for file, content in convert(name).items():
        (out / "artifact" / file).write_bytes(content)
    (out / "artifact" / "README.md").write_bytes((HERE / "exact" / f"{name}.md").read_bytes())
    return out


def main() -> None:
    """Parse the command line, convert, print the artifact's SHA-256."""
    import hashlib

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(MAKERS))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    packed = pack_files(convert(args.model))
    print(f"{args.model}: {len(packed)} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}")
    if args.out:
        write(args.model, args.out)


if __name__ == "__main__":
    main()
