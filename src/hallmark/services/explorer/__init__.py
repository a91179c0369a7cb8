"""The explorer: an index of the log for people who look things up. Nothing in it is believed; all of it can
be recomputed.
"""
