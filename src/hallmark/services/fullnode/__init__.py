"""The full node: keeps its own copy of the log, checks every entry, objects to what does not hold, cosigns.

settings   what it is configured with            node      the state machine: fetch, judge, object, cosign
source     leaves from the log or a peer         duties    verdicts and faults that it owes to the log
memory     what it keeps beside its copy         app       HTTP
"""
