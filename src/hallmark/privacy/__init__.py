"""The private path's pure part: what is sealed to an enclave so that nobody on the way reads it.

Oblivious HTTP (RFC 9458, chunked by draft-ietf-ohai-chunked-ohttp-08), Binary HTTP (RFC 9292), sizes that say
little, and the keys that a node's evidence fixes for all windows ahead.
"""
