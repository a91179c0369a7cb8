"""An issuer of tokens: sells blind signatures, holds and settles what is spent, pays who earned it."""
