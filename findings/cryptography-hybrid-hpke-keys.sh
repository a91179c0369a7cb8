#!/usr/bin/env bash
# cryptography 50.0.2: its HPKE has the hybrid MLKEM768_X25519 (X-Wing), but the two key classes can neither be written nor read. There
# is no `public_bytes`, no loader, no seed; a public key even has no attribute at all. Whoever publishes such a key (RFC 9458 needs
# its 1,216 bytes) has to keep both halves and join them himself, ML-KEM's part first, and X-Wing's one seed of 32 bytes is for him to expand.
# `Suite` seals single messages and exports no secret, so that OHTTP, which seals its response under one, cannot be built on it.
#
# Seen:
#   MLKEM768X25519PrivateKey: ['public_key']
#   MLKEM768X25519PublicKey:  []
#   Suite:                    ['decrypt', 'encrypt']
#   halves joined by hand, of a seed expanded by hand: opened
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check cryptography==50.0.2
"$folder/venv/bin/python" - <<'PY'
import hashlib
import sys

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

seen = []
for cls in (hpke.MLKEM768X25519PrivateKey, hpke.MLKEM768X25519PublicKey, hpke.Suite):
    seen.append([name for name in dir(cls) if not name.startswith("_")])
    print(f"{cls.__name__ + ':':<25} {seen[-1]}")
expanded = hashlib.shake_256(bytes(32)).digest(96)
mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
sent = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
public = hpke.MLKEM768X25519PublicKey(
    MLKEM768PublicKey.from_public_bytes(sent[:1184]), X25519PublicKey.from_public_bytes(sent[1184:])
)
suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
opened = suite.decrypt(suite.encrypt(b"opened", public), hpke.MLKEM768X25519PrivateKey(mlkem, x25519))
print("halves joined by hand, of a seed expanded by hand:", opened.decode())
sys.exit(0 if seen == [["public_key"], [], ["decrypt", "encrypt"]] else 1)
PY
