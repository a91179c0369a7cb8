"""A storage node: keeps its shards' slivers of blobs, confirms them, proves that it has them, mends them."""
