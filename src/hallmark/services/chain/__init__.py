"""The chain: a development chain on this machine, and what any EVM chain is asked."""
