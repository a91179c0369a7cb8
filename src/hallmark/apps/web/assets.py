"""GET /assets/<name>: the stylesheets and the built browser code, by exact name, with an ETag.

The embeddable component and the parts that it imports may be loaded by other sites; nothing else may.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from hallmark.core.errors import NotFound

NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
HASHED: Final = re.compile(r"(part|.*)-[A-Za-z0-9_-]{8}\.(js|css|svg|woff2)")
SHARED: Final = re.compile(r"hallmark-marks\.js|part-[A-Za-z0-9_-]+\.js")
ICON: Final = "mark.svg"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


class Asset(msgspec.Struct, frozen=True):
    """A file as it was read: bytes, quoted ETag, and the modification time (ns) that it was read at."""

    body: bytes
    etag: str
    changed: int


class Assets:
    """Serves files of `folders`, the first that has the name; no file below them, none above."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._kept: dict[Path, Asset] = {}

    async def serve(self, request: Request) -> Response:
        """Answer one request. Raises NotFound `unknown_asset`."""
        return await self._answer(request, request.path_params["name"])

    async def icon(self, request: Request) -> Response:
        """The sign of these pages, where browsers ask for it beside JSON, PDFs and files."""
        return await self._answer(request, ICON)

    async def _answer(self, request: Request, name: str) -> Response:
        asset = await run_in_threadpool(self._read, name)
        headers = {"etag": asset.etag, "cache-control": "no-cache"}
        if HASHED.fullmatch(name):
            headers["cache-control"] = "public, max-age=31536000, immutable"
        if SHARED.fullmatch(name):
            headers |= {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
        if asset.etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        return Response(asset.body, headers=headers, media_type=TYPES[Path(name).suffix])

    def _read(self, name: str) -> Asset:
        if NAME.fullmatch(name) and Path(name).suffix in TYPES:
            for folder in self._folders:
                path = folder / name
                if path.is_file() and not path.is_symlink():
                    return self._fresh(path)
        raise NotFound(
            "unknown_asset", "There is no such file.", "The pages may be from an older build: reload."
        )

    def _fresh(self, path: Path) -> Asset:
        changed = path.stat().st_mtime_ns
        kept = self._kept.get(path)
        if kept is None or kept.changed != changed:
            body = path.read_bytes()
            kept = Asset(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', changed)
            self._kept[path] = kept
        return kept
