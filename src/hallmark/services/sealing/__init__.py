"""Both ends of the private path: the enclave's, which opens sealed requests, and the client's, which seals
them.
"""
