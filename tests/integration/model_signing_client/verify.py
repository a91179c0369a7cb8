"""What OpenSSF's own package says of a signed model: prints "verified", or fails and says why."""

import sys
from pathlib import Path

from model_signing import verifying

folder = Path(sys.argv[1])
config = verifying.Config().use_elliptic_key_verifier(public_key=folder / "model-signing.pub")
try:
    config.verify(folder, folder / "model.sig")
except ValueError as error:
    sys.exit(str(error))
print("verified")
