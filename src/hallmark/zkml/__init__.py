"""Zero-knowledge proofs of small models: an ONNX graph becomes integers, the integers become a circuit.

Pure: bytes in, bytes out. Nothing here proves: that takes other programs (docs/zkml.md, "By hand").
"""
