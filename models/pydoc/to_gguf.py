"""Writes the weights of this model as a GGUF file: the same numbers, for llama.cpp.

    python models/pydoc/to_gguf.py OUT.gguf

The weights are read out of the initialisers of artifact/model.onnx, so no training is needed and nothing is
fetched. Matrices are transposed back (ONNX multiplies from the right), and the rows of query and key are put
in the order that GGUF's rotary embedding of the llama architecture expects (halves become pairs).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent / "artifact"
sys.path.insert(0, str(HERE.parents[1]))

from onnx_graph import read_graph  # noqa: E402

Values = npt.NDArray[np.float32]
EPSILON = 1e-5
LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")
NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "attn.o_proj.MatMul": "attn_output",
    "mlp.gate_proj.MatMul": "ffn_gate",
    "mlp.up_proj.MatMul": "ffn_up",
    "mlp.down_proj.MatMul": "ffn_down",
}


def write(target: Path, source: Path = HERE) -> None:
    """Write the GGUF file (float32) of the artifact in `source` to `target`."""
    config = json.loads((source / "genai_config.json").read_text())["model"]
    decoder, tokenizer = config["decoder"], json.loads((source / "tokenizer.json").read_text())
    heads = decoder["num_attention_heads"]
    writer = gguf.GGUFWriter(str(target), "llama")
    writer.add_name("pydoc")
    writer.add_context_length(config["context_length"])
    writer.add_embedding_length(decoder["hidden_size"])
    writer.add_block_count(decoder["num_hidden_layers"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(decoder["num_key_value_heads"])
    writer.add_rope_dimension_count(decoder["head_size"])
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _vocabulary(writer, config, tokenizer)
    template = json.loads((source / "tokenizer_config.json").read_text())["chat_template"]
    writer.add_chat_template(template)
    tensors = dict(_tensors(read_graph((source / "model.onnx").read_bytes()).values, heads))
    writer.add_feed_forward_length(tensors["blk.0.ffn_gate.weight"].shape[0])
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(writer: gguf.GGUFWriter, config: dict[str, int], tokenizer: dict[str, Any]) -> None:
    marks = {one["id"]: one["content"] for one in tokenizer["added_tokens"]}
    tokens = {number: text for text, number in tokenizer["model"]["vocab"].items()} | marks
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[number] for number in range(config["vocab_size"])])
    kinds = (gguf.TokenType.CONTROL if n in marks else gguf.TokenType.NORMAL for n in range(len(tokens)))
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)


def _tensors(weights: dict[str, Values], heads: int) -> Iterator[tuple[str, Values]]:
    """GGUF's tensors by name; the embedding is the output's matrix as well, so it stands there once."""
    yield "token_embd.weight", _turned(weights["lm_head.MatMul.weight"])
    for name, values in weights.items():
        match = LAYER.fullmatch(name)
        if match is None:
            continue
        block, part = match.groups()
        if part == "final_norm_layernorm":
            yield "output_norm.weight", values
        elif part == "attn.qkv_proj.MatMul":
            query, key, value = np.split(_turned(values), 3)
            yield f"blk.{block}.attn_q.weight", _paired(query, heads)
            yield f"blk.{block}.attn_k.weight", _paired(key, heads)
            yield f"blk.{block}.attn_v.weight", value
        else:
            turned = values if values.ndim == 1 else _turned(values)
            yield f"blk.{block}.{NAMES[part]}.weight", turned


def _turned(values: Values) -> Values:
    return np.ascontiguousarray(values.T)


def _paired(values: Values, heads: int) -> Values:
    """Rows of each head from halves (i, i + n/2) to pairs (2i, 2i + 1)."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
