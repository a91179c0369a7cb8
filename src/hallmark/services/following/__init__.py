"""Following a log: what gateways, desks and explorers share.

A client of the log, a follower that verifies what it reads, the anchors.
"""
