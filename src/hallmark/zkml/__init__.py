"""Zero-knowledge proofs of small models: an ONNX graph becomes integers, the integers become a circuit.

Pure: bytes in, bytes out. The prover, which needs Node, is `services.prover`.
"""
