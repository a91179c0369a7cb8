"""What answers cost and who pays: offers, accounts that are drawn while an answer is made, and x402. Pure: no
clock, no disk, no network.
"""
