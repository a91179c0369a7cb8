"""A facilitator for x402 servers: says whether a payment would settle, settles it once, keeps receipts."""
