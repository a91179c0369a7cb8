#!/usr/bin/env bash
# x402 2.25.0 (PyPI) and @x402/evm 2.27.0 (npm): a price under the asset's smallest unit becomes amount "0", without an error
# or a warning. `$0.0000009` for USDC, which has six decimals, is then served for nothing, in both libraries alike.
#
# Seen:
#   PyPI: $0.000001 -> 1, $0.0000009 -> 0
#   npm:  $0.000001 -> 1, $0.0000009 -> 0
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'x402[evm]==2.25.0' 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import sys

from x402.mechanisms.evm.exact.server import ExactEvmScheme

amounts = [ExactEvmScheme().parse_price(price, "eip155:8453").amount for price in ("$0.000001", "$0.0000009")]
print(f"PyPI: $0.000001 -> {amounts[0]}, $0.0000009 -> {amounts[1]}")
sys.exit(0 if amounts == ["1", "0"] else 1)
PY
cd "$folder"
echo '{"private": true, "overrides": {"viem": "2.54.0"}}' > package.json
npm install --silent --ignore-scripts --no-audit --no-fund --legacy-peer-deps viem@2.54.0 @x402/core@2.27.0 @x402/evm@2.27.0
cat > price.mjs <<'JS'
import { ExactEvmScheme } from "@x402/evm/exact/server";

const amounts = [];
for (const price of ["$0.000001", "$0.0000009"]) {
  amounts.push((await new ExactEvmScheme().parsePrice(price, "eip155:8453")).amount);
}
console.log(`npm:  $0.000001 -> ${amounts[0]}, $0.0000009 -> ${amounts[1]}`);
process.exit(amounts.join() === "1,0" ? 0 : 1);
JS
node price.mjs
