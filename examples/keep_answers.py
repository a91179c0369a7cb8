"""Keep exact bytes: an httpx transport that writes requests and answers to files, as they were on the wire.

For every Python client that takes an `httpx.Client` or `httpx.AsyncClient`, whatever it drops or writes anew:

    client = openai.OpenAI(base_url=..., http_client=httpx.Client(transport=Keep("kept")))

makes kept/<x-request-id>.request.json, .head.txt and .answer; then

    hallmark receipt kept/ID.answer --from kept/ID.request.json --save r.json

Nothing of Hallmark is imported. The files hold what was asked and answered, and the salts: for their owner.
"""

import os
from pathlib import Path

import httpx


def private(path):
    """A new file for its owner alone, whose bytes are there as soon as they are written."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)


class Tee(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body on its way to its reader, and to a file. Readers may stop and go on: some drain what is left."""

    def __init__(self, stream, path):
        self._stream, self._kept = stream, private(path)

    def __iter__(self):
        for chunk in self._stream:
            self._kept.write(chunk)
            yield chunk

    async def __aiter__(self):
        async for chunk in self._stream:
            self._kept.write(chunk)
            yield chunk

    def close(self):
        """Close the connection's side, and the file."""
        self._kept.close()
        self._stream.close()

    async def aclose(self):
        """Close the connection's side, and the file."""
        self._kept.close()
        await self._stream.aclose()


class Keep(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """See the module's docstring. `folder` is made for its owner only."""

    def __init__(self, folder):
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sync, self._async = httpx.HTTPTransport(), httpx.AsyncHTTPTransport()

    def handle_request(self, request):
        """Send a request, and keep what comes back while it is read."""
        request.headers["accept-encoding"] = "identity"  # a receipt covers what was not compressed
        return self._kept(request, self._sync.handle_request(request))

    async def handle_async_request(self, request):
        """Send a request, and keep what comes back while it is read."""
        request.headers["accept-encoding"] = "identity"
        return self._kept(request, await self._async.handle_async_request(request))

    def _kept(self, request, response):
        name = response.headers.get("x-request-id", "")
        if request.method != "POST" or not name.removeprefix("req-").isalnum():
            return response
        path = self._folder / name
        with private(path.with_suffix(".request.json")) as kept:
            kept.write(request.content)
        with private(path.with_suffix(".head.txt")) as kept:
            kept.write(b"".join(b"%b: %b\n" % pair for pair in response.headers.raw))
        response.stream = Tee(response.stream, path.with_suffix(".answer"))
        return response
