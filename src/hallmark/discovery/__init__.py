"""Which models are shown where, by what: records of outcomes and their bounds, the order with its places for
newcomers, the catalogue that is searched, and what was shown. Pure: no clock, no store, no network.
"""
