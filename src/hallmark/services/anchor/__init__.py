"""Anchoring: puts quorum-signed checkpoints on a chain and says how deep they are."""
