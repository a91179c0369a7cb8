"""What runs inside the measured image: keys, server, receipts. Nothing here opens a path of its own to the outside."""
