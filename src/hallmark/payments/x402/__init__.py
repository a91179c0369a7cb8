"""x402, version 2: HTTP payments by header (x402-foundation/x402, specs/x402-specification-v2.md). What a
stock client sends is read and judged here, and what it expects is written. Version 1 is refused by name.
"""
