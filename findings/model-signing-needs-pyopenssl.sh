#!/usr/bin/env bash
# model-signing 1.1.1 (PyPI, OpenSSF's own): installed alone it cannot be imported, nor its command run, with a bare key or
# otherwise: signing with certificates, which is always loaded, imports `OpenSSL` (pyOpenSSL), which was brought by sigstore once
# and is not by sigstore 4.5.1, which today's resolution picks. `pip install model-signing pyOpenSSL` helps.
#
# Seen:
#   alone:          No module named 'OpenSSL'
#   with pyOpenSSL: signed and verified
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@" 2>/dev/null; }
pip model-signing==1.1.1 sigstore==4.5.1
cat >"$folder/sign.py" <<'PY'
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

try:
    from model_signing import signing, verifying
except ModuleNotFoundError as error:
    print("alone:         ", error)
    sys.exit(3)
folder = pathlib.Path(sys.argv[1])
model = folder / "model"
model.mkdir()
(model / "weights.bin").write_bytes(b"weights")
key = ec.generate_private_key(ec.SECP256R1())
private, public, signature = folder / "key.pem", folder / "key.pub", folder / "model.sig"
encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
signing.Config().use_elliptic_key_signer(private_key=private).sign(model, signature)
verifying.Config().use_elliptic_key_verifier(public_key=public).verify(model, signature)
print("with pyOpenSSL: signed and verified")
PY
rc=0; "$folder/venv/bin/python" "$folder/sign.py" "$folder" || rc=$?
[ "$rc" = 3 ]
pip pyOpenSSL==26.4.0
"$folder/venv/bin/python" "$folder/sign.py" "$folder"
