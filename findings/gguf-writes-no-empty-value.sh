#!/usr/bin/env bash
# gguf 0.19.0 (PyPI, llama.cpp's own): what its writer is given and its reader gives back differ, without a word. `add_string` of ""
# and `add_array` of [] write nothing at all, so that the key is absent; so are `add_chat_template("")` and `add_token_merges([])`, and a
# tokenizer of bytes alone has no list of merges. `add_key_value` does write the empty string. Python's floats become 32 bits inside of a
# list, and the reader flattens a list of lists, which the file does hold as one, so that [[1, 2], [3]] and [[1], [2, 3]] read alike.
#
# Seen:
#   add_string ""                 absent
#   add_key_value ""              ''
#   add_array []                  absent
#   add_token_merges []           absent
#   add_float64 0.1               0.1
#   add_array [0.1]               [0.10000000149011612]
#   add_array [[1, 2], [3]]       [1, 2, 3]
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check gguf==0.19.0 2>/dev/null
"$folder/venv/bin/python" - "$folder/values.gguf" <<'PY'
import sys

from gguf import GGUFReader, GGUFValueType, GGUFWriter

writer = GGUFWriter(sys.argv[1], "llama")
writer.add_string("x.text", "")
writer.add_key_value("x.key", "", GGUFValueType.STRING)
writer.add_array("x.list", [])
writer.add_token_merges([])
writer.add_float64("x.number", 0.1)
writer.add_array("x.numbers", [0.1])
writer.add_array("x.lists", [[1, 2], [3]])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
fields = GGUFReader(sys.argv[1]).fields
rows = [
    ('add_string ""', "x.text", "absent"),
    ('add_key_value ""', "x.key", "''"),
    ("add_array []", "x.list", "absent"),
    ("add_token_merges []", "tokenizer.ggml.merges", "absent"),
    ("add_float64 0.1", "x.number", "0.1"),
    ("add_array [0.1]", "x.numbers", "[0.10000000149011612]"),
    ("add_array [[1, 2], [3]]", "x.lists", "[1, 2, 3]"),
]
same = True
for name, key, expected in rows:
    found = repr(fields[key].contents()) if key in fields else "absent"
    same = same and found == expected
    print(f"{name:<29} {found}")
sys.exit(0 if same else 1)
PY
