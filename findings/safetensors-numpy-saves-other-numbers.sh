#!/usr/bin/env bash
# safetensors 0.8.0 (PyPI): `safetensors.numpy.save` and `save_file` write an array as if it lay in memory in one piece, from its first
# number on. A transposed, sliced, reversed or repeated array is saved without an error or a warning, with the right shape, and loads
# as other numbers. 0.7.0 saved each of them as it is. Whoever saves `weights.T` has to call `numpy.ascontiguousarray` himself, as the
# docstring of both versions asks. Both also write bfloat16 (of ml_dtypes), which their own `load` cannot read.
#
# Seen:
#   of 0 1 2 3 4 5     0.7.0                0.8.0
#   transposed 2 x 3   0 3 1 4 2 5          0 1 2 3 4 5
#   Fortran's order    0 1 2 3 4 5          0 3 1 4 2 5
#   each second        0 2 4                0 1 2
#   2, 1, 0            2 1 0                2 3 4
#   0, three times     0 0 0                0 1 2
#   bfloat16           KeyError: 'BF16'     KeyError: 'BF16'
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat >"$folder/saved.py" <<'PY'
import ml_dtypes
import numpy as np
from safetensors.numpy import load, save

numbers = np.arange(6, dtype=np.float32)
cases = {
    "transposed 2 x 3": numbers.reshape(2, 3).T,
    "Fortran's order": np.asfortranarray(numbers.reshape(2, 3)),
    "each second": numbers[::2],
    "2, 1, 0": numbers[2::-1],
    "0, three times": np.broadcast_to(numbers[:1], (3,)),
}
for name, array in cases.items():
    loaded = load(save({"a": array}))["a"]
    assert loaded.shape == array.shape
    print(f"{name:<18} {' '.join(f'{number:g}' for number in loaded.flat)}")
try:
    print("bfloat16           ", load(save({"a": numbers.astype(ml_dtypes.bfloat16)})))
except KeyError as error:
    print(f"bfloat16           KeyError: {error}")
PY
for version in 0.7.0 0.8.0; do
  "$folder/venv/bin/pip" install -q --disable-pip-version-check safetensors==$version numpy==2.4.6 ml_dtypes==0.6.0 2>/dev/null
  "$folder/venv/bin/python" "$folder/saved.py" >"$folder/$version"
done
printf '%-18s %-20s %s\n' 'of 0 1 2 3 4 5' 0.7.0 0.8.0
paste -d'|' "$folder/0.7.0" <(cut -c20- "$folder/0.8.0") | while IFS='|' read -r old new; do printf '%-39s %s\n' "$old" "$new"; done
expected="0 3 1 4 2 5|0 1 2 3 4 5|0 2 4|2 1 0|0 0 0|KeyError: 'BF16'|0 1 2 3 4 5|0 3 1 4 2 5|0 1 2|2 3 4|0 1 2|KeyError: 'BF16'"
[ "$(cat "$folder/0.7.0" "$folder/0.8.0" | cut -c20- | paste -sd'|')" = "$expected" ]
