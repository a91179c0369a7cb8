#!/usr/bin/env bash
# xllamacpp 2026.10.11549 (PyPI): `Server.handle_completions` with a list of prompts answers each, but its `usage` counts the first alone,
# prompt and answer, though the second is just as long. Whoever charges by `usage` charges for one answer of however many. `max_tokens` 0
# makes a token, and counts it. Which llama.cpp answered is not said: the fingerprint is that of no build, as is the wheel's `BUILD_INFO`.
# The model is made here: one layer of random numbers, which never ends by itself.
#
# Seen:
#   prompts of 2 and of 3 tokens, 4 tokens each: 2 choices, usage 2 + 4
#   the same two, turned round:                  2 choices, usage 3 + 4
#   the longer alone:                            1 choice,  usage 3 + 4
#   max_tokens 0:                                1 choice,  usage 2 + 1
#   fingerprint:                                 b0-unknown
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6 2>/dev/null
cat >"$folder/count.py" <<'PY'
import json
import sys

import gguf
import numpy as np
import xllamacpp

WIDE, HEADS, LETTERS = 32, 2, "abcdefghijklmnopqrstuvwxyz"
words = [*LETTERS, "ab", "<end>"]
path, random = sys.argv[1], np.random.default_rng(1)
writer = gguf.GGUFWriter(path, "llama")
writer.add_context_length(256)
writer.add_embedding_length(WIDE)
writer.add_block_count(1)
writer.add_feed_forward_length(WIDE)
writer.add_head_count(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(words)
writer.add_token_types([gguf.TokenType.NORMAL] * (len(words) - 1) + [gguf.TokenType.CONTROL])
writer.add_token_merges(["a b"])
writer.add_bos_token_id(len(words) - 1)
writer.add_eos_token_id(len(words) - 1)
writer.add_add_bos_token(False)
writer.add_tensor("token_embd.weight", random.standard_normal((len(words), WIDE), np.float32))
for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
    writer.add_tensor(f"{name}.weight", np.ones(WIDE, np.float32))
for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
    writer.add_tensor(f"blk.0.{name}.weight", random.standard_normal((WIDE, WIDE), np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.cpuparams.n_threads = path, 256, 1
server = xllamacpp.Server(params)


def counted(prompt, most):
    body = {"prompt": prompt, "max_tokens": most, "ignore_eos": True, "seed": 1, "cache_prompt": False}
    answer = server.handle_completions(body)
    answer = json.loads(answer) if isinstance(answer, str) else answer
    usage = answer["usage"]
    return len(answer["choices"]), usage["prompt_tokens"], usage["completion_tokens"], answer["system_fingerprint"]


rows = [
    ("prompts of 2 and of 3 tokens, 4 tokens each:", counted(["xy", "pqr"], 4)),
    ("the same two, turned round:", counted(["pqr", "xy"], 4)),
    ("the longer alone:", counted("pqr", 4)),
    ("max_tokens 0:", counted("xy", 0)),
]
for name, (choices, asked, made, _) in rows:
    print(f"{name:<44} {choices} {'choice, ' if choices == 1 else 'choices,'} usage {asked} + {made}")
print(f"{'fingerprint:':<44} {rows[0][1][3]}")
expected = [(2, 2, 4, "b0-unknown"), (2, 3, 4, "b0-unknown"), (1, 3, 4, "b0-unknown"), (1, 2, 1, "b0-unknown")]
sys.exit(0 if [row for _, row in rows] == expected else 1)
PY
"$folder/venv/bin/python" "$folder/count.py" "$folder/model.gguf" 2>"$folder/log" || { tail -5 "$folder/log"; exit 1; }
