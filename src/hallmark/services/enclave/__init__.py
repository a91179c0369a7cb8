"""What runs inside the measured image: keys, server, receipts. It opens no path of its own to the outside."""
