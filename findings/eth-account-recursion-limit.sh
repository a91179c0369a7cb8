#!/usr/bin/env bash
# eth-account 0.14.0 (by way of py_ecc): importing it raises the interpreter's recursion limit from 1,000 to 100,000, for the
# whole process and for good. Decoders that refuse deep nesting by that limit lose their guard in every thread, so whoever
# imports the library beside one has to put the limit back.
#
# Seen:
#   before the import:                       1000
#   after `from eth_account import Account`: 100000
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check eth-account==0.14.0
"$folder/venv/bin/python" - <<'PY'
import sys

before = sys.getrecursionlimit()
from eth_account import Account  # noqa: E402, F401

after = sys.getrecursionlimit()
print(f"before the import:                       {before}")
print(f"after `from eth_account import Account`: {after}")
sys.exit(0 if (before, after) == (1000, 100000) else 1)
PY
