"""HTTP for every service: a pooled client, an ASGI server helper, limits, errors and an SSE splitter."""
