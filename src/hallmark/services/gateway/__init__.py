"""The gateway: an OpenAI-compatible door to the network's enclaves. It routes, passes bytes on, and follows
each receipt until the quorum has witnessed it. It holds no request and no answer.
"""
