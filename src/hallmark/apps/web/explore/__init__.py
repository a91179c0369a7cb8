"""The explorer's pages: what the log holds, each page with its JSON twin and a way to recompute it."""
