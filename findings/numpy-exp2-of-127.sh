#!/usr/bin/env bash
# numpy 2.4.6: where a processor has AVX-512, `numpy.exp2` of float32 is not 2 ** 127 at 127, of all the 254 whole numbers whose power is a
# normal float32 the only one. The same wheel is exact at each without AVX-512 (or with NPY_DISABLE_CPU_FEATURES=X86_V4), and so are `power`
# and `ldexp` with it. Such a power can differ between two machines that have the same packages. Needs AVX-512 to be seen.
#
# Seen:
#   AVX-512:      exp2 [127] power [] ldexp [], exp2(127) is 0x1.0000020000000p+127
#   without:      exp2 [] power [] ldexp [], exp2(127) is 0x1.0000000000000p+127
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
grep -qm1 avx512vl /proc/cpuinfo || { echo "This processor has no AVX-512: nothing can be shown here." >&2; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 2>/dev/null
cat >"$folder/powers.py" <<'PY'
import numpy as np

whole = np.arange(-126, 128)
exact = np.array([2.0**n for n in whole.tolist()]).astype(np.float32)
ways = {
    "exp2": np.exp2(whole.astype(np.float32)),
    "power": np.power(np.float32(2), whole.astype(np.float32)),
    "ldexp": np.ldexp(np.float32(1), whole.astype(np.int32)),
}
wrong = " ".join(f"{name} {whole[found != exact].tolist()}" for name, found in ways.items())
print(f"{wrong}, exp2(127) is {float(np.exp2(np.float32(127))).hex()}")
PY
with=$("$folder/venv/bin/python" "$folder/powers.py")
without=$(NPY_DISABLE_CPU_FEATURES=X86_V4 "$folder/venv/bin/python" "$folder/powers.py")
printf 'AVX-512:      %s\nwithout:      %s\n' "$with" "$without"
[ "$with" = 'exp2 [127] power [] ldexp [], exp2(127) is 0x1.0000020000000p+127' ] &&
  [ "$without" = 'exp2 [] power [] ldexp [], exp2(127) is 0x1.0000000000000p+127' ]
